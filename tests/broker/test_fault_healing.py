"""Real processes that are cut off, frozen and crashed: they heal, and nothing is lost."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.broker.cells_for_tests import Cell, cell, eventually, ring
from tests.broker.live_cell import environment

from peercell.broker.faults.aimed import aimed
from peercell.broker.faults.kinds import (
    AnyFault,
    Corrupt,
    Duplicate,
    Failpoint,
    Kill,
    Partition,
    Pause,
    Reorder,
)
from peercell.broker.faults.messages import FaultAdded, FaultsAnswer, FaultsQuery
from peercell.broker.faults.plan import Step
from peercell.broker.operator_port import HostStatus
from peercell.broker.processes.operate import ask_supervisor
from peercell.broker.status.balance import Messages, balance

pytestmark = pytest.mark.slow

# s; the first message after a cut, and what a busy machine may add.
FRESH_S = 2.0


def add(running: Cell, fault: AnyFault, for_s: float | None) -> FaultAdded:
    """Let a fault begin in a cell."""
    roles = {peer: state.role for peer, state in running.states().items()}
    step = Step(fault=fault, for_s=for_s, seed=3)
    answer = ask_supervisor(running.folder, aimed(step, roles, 0.0))
    assert isinstance(answer, FaultAdded)
    return answer


def is_over(running: Cell) -> bool:
    """Return whether no fault is on."""
    answer = ask_supervisor(running.folder, FaultsQuery())
    assert isinstance(answer, FaultsAnswer)
    return not answer.faults


def messages(running: Cell) -> Messages:
    """Return what became of all messages."""

    def counts() -> Mapping[str, HostStatus]:
        return {peer: running.status(peer) for peer in running.states()}

    return balance(counts(), counts(), running.states())


def heard(running: Cell, peer: str, other: str) -> int:
    return running.counts(peer).heard.get(other, 0)


@pytest.mark.parametrize("for_s", [3.0, 10.0, 30.0])
@pytest.mark.parametrize("on", ["p0 from rest", "p0->rest"], ids=["two-way", "one-way"])
def test_the_first_message_comes_soon_after_a_cut(tmp_path: Path, on: str, for_s: float) -> None:
    with cell(tmp_path, ring(3)) as running:
        eventually(lambda: heard(running, "p1", "p0") > 5, "they do not hear each other")
        add(running, Partition(on=on), for_s)
        time.sleep(0.3)
        before, back = heard(running, "p1", "p0"), heard(running, "p0", "p1")
        eventually(lambda: is_over(running), "it does not end", for_s + 5.0)
        assert heard(running, "p1", "p0") <= before + 5
        assert (heard(running, "p0", "p1") > back + 10) is (on == "p0->rest")
        eventually(lambda: heard(running, "p1", "p0") > before + 10, "it stays cut", FRESH_S)
        eventually(lambda: heard(running, "p0", "p1") > back + 10, "it stays cut", FRESH_S)
        assert messages(running).unaccounted == 0


def test_the_first_message_comes_soon_after_the_network_is_back() -> None:
    """A cell in a network of its own, whose device is taken away for 3, 10 and 30 s."""
    alone = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c"]
    if subprocess.run([*alone, "ip link set lo up"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace, or no ip, to be had")
    inside = f"ip link set lo up && exec {sys.executable} -m bench.faults device"
    done = subprocess.run(
        [*alone, inside], capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stderr
    for length_s, fresh_s in json.loads(done.stdout).items():
        late = sum(each > FRESH_S for each in fresh_s)
        assert late <= 0.05 * len(fresh_s), f"after {length_s} s: {sorted(fresh_s)[-5:]}"


def test_a_frozen_peer_costs_its_neighbours_no_more_memory_than_they_have_for_it(
    tmp_path: Path,
) -> None:
    with cell(tmp_path, ring(3, every_s=0.001)) as running:
        eventually(lambda: heard(running, "p1", "p0") > 100, "they do not hear each other")
        pid = running.states()["p0"].pid
        before_mb = _resident_mb(pid)
        add(running, Pause(on="p1"), 8.0)
        eventually(
            lambda: running.status("p0").unsent.get("outbox-full", 0) > 100, "nothing is dropped"
        )
        assert running.status("p0").waiting <= 1024 + 128
        assert _resident_mb(pid) - before_mb < 8.0
        eventually(lambda: is_over(running), "it does not end")
        before = heard(running, "p1", "p0")
        eventually(lambda: heard(running, "p1", "p0") > before + 100, "it does not go on")
        assert messages(running).unaccounted == 0


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


@pytest.mark.parametrize("point", Failpoint)
def test_a_peer_that_ends_at_a_point_comes_back_and_loses_nothing(
    tmp_path: Path, point: Failpoint
) -> None:
    with cell(tmp_path, ring(3)) as running:
        eventually(lambda: heard(running, "p1", "p0") > 5, "they do not hear each other")
        first = running.states()["p0"].pid
        add(running, Kill(on="p0", restart_after_s=0.5, point=point), None)
        eventually(lambda: running.states()["p0"].pid not in {0, first}, "it does not end")
        before = heard(running, "p1", "p0")
        eventually(lambda: heard(running, "p1", "p0") > before + 10, "it does not go on")
        assert messages(running).unaccounted == 0


def test_nothing_is_unaccounted_for_while_everything_goes_wrong(tmp_path: Path) -> None:
    with cell(tmp_path, ring(6)) as running:
        eventually(lambda: heard(running, "p1", "p0") > 5, "they do not hear each other")
        for fault in (Corrupt(share=0.1), Duplicate(share=0.2), Reorder(share=0.3, by_s=0.1)):
            add(running, fault, 6.0)
        add(running, Kill(on="role=heart,any:2", restart_after_s=0.5), None)
        seen = []
        while not is_over(running):
            seen.append(messages(running))
        assert len(seen) > 3
        assert {each.unaccounted for each in seen} == {0}
        last = seen[-1]
        assert last.refused["duplicate"] > 10
        assert last.refused["bad-body"] > 10
        before = heard(running, "p1", "p0")
        eventually(lambda: heard(running, "p1", "p0") > before + 20, "they do not heal")
