"""Cells of real processes: they find each other, lose each other, come back, and end with all."""

import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.broker.cells_for_tests import (
    Cell,
    cell,
    eventually,
    is_there,
    lock_of,
    plan,
    ring,
    spec,
)
from tests.broker.roles_for_tests import Beat, BeatSettings, Break

from peercell.agents.errors import PeercellError
from peercell.agents.membership_messages import RosterAnswer, RosterQuery
from peercell.agents.observer import FactsAnswer, FactsQuery
from peercell.broker.home import CellHome
from peercell.broker.operator_port import UnreachableError
from peercell.broker.outcomes.recorded import sent
from peercell.broker.processes.crew import Crew, State
from peercell.broker.processes.launch import launch
from peercell.broker.processes.lock import CellRunsError
from peercell.broker.processes.operate import command_peer, stop_cell, wait_until_up
from peercell.broker.processes.plan import StartPeer, StopPeer
from peercell.broker.processes.starter import Spawner
from peercell.broker.processes.worker import Worker
from peercell.broker.replay import replay_peer
from peercell.broker.sockets import endpoint_of, listen

pytestmark = pytest.mark.slow


def hears(running: Cell, peer: str, other: str, more_than: int = 0) -> bool:
    return running.counts(peer).heard.get(other, 0) > more_than


def all_hear(running: Cell, count: int, more_than: int = 0) -> bool:
    return all(hears(running, f"p{at}", f"p{at - 1}", more_than) for at in range(1, count))


def test_twenty_processes_find_each_other_and_account_for_every_message(tmp_path: Path) -> None:
    peers = [f"p{number}" for number in range(20)]
    with cell(tmp_path, ring(20, every_s=0.2)) as running:
        eventually(lambda: all_hear(running, 20, more_than=10), "they do not hear each other")

        def balanced() -> bool:
            """All that was sent was applied or refused, with nothing under way just now."""
            states = [running.status(peer) for peer in [*peers, "directory"]]
            sent = sum(each.sent for each in states)
            arrived = sum(each.applied + sum(each.refused.values()) for each in states)
            return sent == arrived and not any(each.unattributed for each in states)

        eventually(balanced, "messages are not accounted for")
        statuses = [running.status(peer) for peer in peers]
        assert sum(status.missing for status in statuses) == 0
        for status in statuses:
            assert status.handed - status.sent - sum(status.unsent.values()) <= status.waiting
        answer = running.ask("p7", RosterQuery())
        assert isinstance(answer, RosterAnswer)
        assert len(answer.peers) == 21
    for peer in peers[:3]:
        found = replay_peer(tmp_path / f"{peer}.journal")
        assert found.difference is None
        assert (found.peer, found.runs, found.torn_bytes) == (peer, 1, 0)
        assert found.steps > 20


def test_a_killed_peer_is_back_and_heard_within_a_moment(tmp_path: Path) -> None:
    with cell(tmp_path, ring(3)) as running:
        eventually(lambda: hears(running, "p1", "p0"), "they do not hear each other")
        before = running.states()["p1"]
        running.kill("p1")
        took_s = eventually(lambda: hears(running, "p1", "p0"), "it does not come back", 5.0)
        after = running.states()["p1"]
        assert (after.state, after.reason, after.restarts) == (State.UP, "killed by SIGKILL", 1)
        assert after.endpoint == before.endpoint
        assert after.incarnation > before.incarnation
        assert took_s < 5.0

        def news() -> bool:
            return running.counts("p0").up.get("p1") == after.incarnation

        eventually(news, "its neighbour does not know that it is a new run")
    found = replay_peer(tmp_path / "p1.journal")
    assert (found.difference, found.runs) == (None, 2)
    said = Counter(beat.number for beat in sent(tmp_path / "p1.journal", Beat, since_s=0.0))
    assert set(said.values()) == {2}, "a number was said twice to each neighbour"


def test_a_cell_that_starts_again_in_its_folder_finds_itself_at_its_new_addresses(
    tmp_path: Path,
) -> None:
    with cell(tmp_path, ring(4)) as running:
        eventually(lambda: all_hear(running, 4), "they do not hear each other")
        before = running.states()
    with cell(tmp_path, ring(4)) as running:
        eventually(lambda: all_hear(running, 4), "they look for each other where they were", 5.0)
        after = running.states()
        assert all(after[peer].endpoint != before[peer].endpoint for peer in before)
        assert all(after[peer].incarnation > before[peer].incarnation for peer in before)


def test_a_supervisor_that_is_busy_for_long_is_waited_for(tmp_path: Path) -> None:
    with cell(tmp_path, ring(2)) as running:
        os.kill(running.supervisor, signal.SIGSTOP)
        paused: list[float] = []

        def pause(wait_s: float) -> None:
            """Let it go on after the first question that nobody answered."""
            paused.append(wait_s)
            os.kill(running.supervisor, signal.SIGCONT)

        assert len(wait_until_up(tmp_path, 30.0, pause)) == 3
        assert len(paused) == 1
        os.kill(running.supervisor, signal.SIGKILL)
        with pytest.raises(UnreachableError):
            wait_until_up(tmp_path, 30.0, pause)


def test_the_directory_is_not_needed(tmp_path: Path) -> None:
    """Killed or stopped: nothing is lost, and even a peer that restarts finds the others."""
    with cell(tmp_path, ring(4)) as running:
        eventually(lambda: all_hear(running, 4), "they do not hear each other")
        running.kill("directory")
        command_peer(tmp_path, "directory", StopPeer())
        eventually(lambda: running.states()["directory"].pid == 0, "it is still there")
        lost = running.status("p1").missing
        heard = running.counts("p1").heard["p0"]
        eventually(lambda: hears(running, "p1", "p0", heard + 20), "trade has stopped")
        assert running.status("p1").missing == lost == 0
        running.kill("p2")
        eventually(lambda: hears(running, "p2", "p1"), "it does not find the others")
        eventually(lambda: bool(running.counts("p2").up), "it does not know the others")
        command_peer(tmp_path, "directory", StartPeer())
        eventually(lambda: running.states()["directory"].state is State.UP, "it is not back")


def test_a_peer_that_leaves_is_down_at_once_and_a_stopped_one_stays(tmp_path: Path) -> None:
    with cell(tmp_path, ring(3)) as running:
        eventually(lambda: "p1" in running.counts("p0").up, "they do not know each other")
        running.kill("p1", signal.SIGTERM)
        took_s = eventually(lambda: "p1" not in running.counts("p0").up, "nobody noticed", 4.0)
        # The farewell reaches the neighbours before the process has ended.
        eventually(lambda: running.states()["p1"].pid == 0, "its process is still there")
        state = running.states()["p1"]
        assert (state.state, state.reason) == (State.STOPPED, "SIGTERM")
        assert took_s < 4.0
        command_peer(tmp_path, "p1", StartPeer())
        eventually(lambda: "p1" in running.counts("p0").up, "it is not back")
        command_peer(tmp_path, "p1", StopPeer())
        eventually(lambda: running.states()["p1"].pid == 0, "it is still there")
        assert running.states()["p1"].reason == "stopped by the operator"
        with pytest.raises(PeercellError, match="p9 refused StopPeer") as refusal:
            command_peer(tmp_path, "p9", StopPeer())
        assert refusal.value.why == 'there is no peer "p9" in this cell'


def test_a_broken_peer_is_given_up_with_its_reason_and_harms_nobody(tmp_path: Path) -> None:
    broken = spec("broken", BeatSettings(fails_on_start=True))
    folder = tmp_path / "cell"
    launch(plan(folder, (*ring(2), broken)))
    running = Cell(folder, int(str(lock_of(folder)["pid"])))
    try:
        with pytest.raises(PeercellError, match="broken is failed") as refusal:
            wait_until_up(folder, 30.0)
        assert refusal.value.why == (
            "5 restarts within 60 s did not help; last: RuntimeError: this peer is broken"
        )
        assert running.states()["broken"].restarts == 5
        eventually(lambda: hears(running, "p1", "p0"), "the others are harmed")
        assert "this peer is broken" in (folder / "broken.log").read_text()
    finally:
        stop_cell(folder)
    found = replay_peer(folder / "broken.journal")
    assert (found.difference, found.runs, found.failures) == (None, 6, 6)


def test_a_role_that_fails_on_a_message_comes_back_and_fails_again_in_a_replay(
    tmp_path: Path,
) -> None:
    with cell(tmp_path, ring(2)) as running:
        with pytest.raises(PeercellError, match="does not answer"):
            running.ask("p1", Break(), timeout_s=0.5)
        eventually(lambda: running.states()["p1"].restarts == 1, "it did not come back")
        eventually(lambda: running.states()["p1"].state is State.UP, "it did not come back")
        assert running.states()["p1"].reason.startswith("RuntimeError: told to break at")
    found = replay_peer(tmp_path / "p1.journal")
    assert (found.difference, found.runs, found.failures) == (None, 2, 1)


def test_all_processes_end_with_a_killed_supervisor_and_its_lock_is_stale(
    tmp_path: Path,
) -> None:
    with cell(tmp_path, ring(3)) as running:
        pids = running.pids
        os.kill(running.supervisor, signal.SIGKILL)
        eventually(lambda: not any(map(is_there, pids)), "processes outlive their supervisor")
        assert lock_of(tmp_path)["pid"] == running.supervisor
    with cell(tmp_path, ring(3)) as again:
        assert lock_of(tmp_path)["pid"] == again.supervisor
        eventually(lambda: all_hear(again, 3), "they do not hear each other")
        assert "took over a stale lock" in (tmp_path / "supervisor.log").read_text()


def test_the_peers_come_back_when_the_fork_server_is_killed(tmp_path: Path) -> None:
    with cell(tmp_path, ring(2)) as running:
        stat = Path(f"/proc/{running.states()['p0'].pid}/stat").read_text()
        os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)

        def back() -> bool:
            states = running.states().values()
            return all(each.state is State.UP and each.restarts == 1 for each in states)

        eventually(back, "they do not come back")
        eventually(lambda: all_hear(running, 2), "they do not hear each other")


def test_a_cell_runs_once_and_another_beside_it(tmp_path: Path) -> None:
    with cell(tmp_path / "one", ring(2)) as one, cell(tmp_path / "two", ring(2)) as two:
        with pytest.raises(PeercellError, match='cell "one" runs already') as refusal:
            launch(plan(tmp_path / "one", ring(2)))
        assert f'"pid":{one.supervisor}' in refusal.value.why
        eventually(lambda: all_hear(one, 2) and all_hear(two, 2), "they disturb each other")
        assert one.supervisor != two.supervisor
    assert issubclass(CellRunsError, PeercellError)
    assert not (tmp_path / "one" / "cell.lock").exists()


def test_many_peers_share_a_process_when_packed(tmp_path: Path) -> None:
    with cell(tmp_path, ring(12), pack=5) as running:
        eventually(lambda: all_hear(running, 12), "they do not hear each other")
        states = running.states()
        assert len({state.pid for state in states.values()}) == 4
        assert states["p0"].endpoint == states["p4"].endpoint != states["p5"].endpoint
        running.kill("p7")
        eventually(lambda: hears(running, "p7", "p6"), "they do not come back")


def test_the_observer_has_the_facts_of_all(tmp_path: Path) -> None:
    with cell(tmp_path, ring(3)) as running:

        def facts() -> set[str]:
            answer = running.ask("directory", FactsQuery())
            assert isinstance(answer, FactsAnswer)
            return {fact.peer for fact in answer.facts}

        eventually(lambda: facts() == {"p0", "p1", "p2"}, "facts are missing")


def test_a_frozen_neighbour_is_given_up_within_ten_seconds_and_ended_in_the_end(
    tmp_path: Path,
) -> None:
    with cell(tmp_path, ring(3)) as running:
        eventually(lambda: "p1" in running.counts("p0").up, "they do not know each other")
        running.kill("p1", signal.SIGSTOP)
        took_s = eventually(lambda: "p1" not in running.counts("p0").up, "nobody noticed", 15.0)
        assert took_s <= 10.0
        assert set(running.counts("p0").up) == {"p2"}
        assert "PeerSuspected(peer='p1'" in (tmp_path / "p0.log").read_text()


def test_a_process_can_be_started_from_nothing(tmp_path: Path) -> None:
    """The way of systems without a fork server; it ends with its supervisor, too."""
    CellHome(tmp_path).prepare()
    listener, starter = listen(), Spawner()
    crew = Crew(
        name="p0",
        folder=str(tmp_path),
        peers=(spec("p0", BeatSettings()),),
        unions=("tests.broker.roles_for_tests:BeatMessage",),
        endpoint=endpoint_of(listener),
        seeds={},
        journal_bytes_max=0,
    )
    worker = Worker(crew, tmp_path / "p0.crew", listener, 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        worker.start(starter, 0.0)
    pid = worker.pid
    worker.hear(1.0)
    assert worker.state is State.UP
    starter.close()
    worker.hear(2.0)
    assert worker.end(starter, 2.0) is None
    assert worker.reason == "the supervisor is gone"
    assert not is_there(pid)
    assert not (tmp_path / "p0.journal").exists()
    worker.close()
