"""How soon peers hear each other after a cut, and what 300 crashes lose.

    PYTHONPATH=src:. python -m bench.faults [kills] > docs/results/faults.md

Everything is measured on real processes, by the journals that they keep. A cut drops each message
at its sender, a pause stops processes, so that their sockets fill. For the crashes, each message
has a number that is never used again: one that somebody has heard and that its sender does not
remember to have sent would be an acknowledged record that was lost.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from bench.measure import Goals, made_by, table
from msgspec import Meta, Struct

from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, Send, SetTimer, Started, TimerFired
from peercell.broker.faults.aimed import aimed
from peercell.broker.faults.kinds import AnyFault, Kill, Partition, Pause
from peercell.broker.faults.messages import FaultAdded
from peercell.broker.faults.plan import Step as Fault
from peercell.broker.home import CellHome
from peercell.broker.journal import Start, Step, read
from peercell.broker.outcomes.recorded import sent
from peercell.broker.processes.crew import PeerSpec, State
from peercell.broker.processes.launch import launch
from peercell.broker.processes.operate import ask_supervisor, peer_states, stop_cell, wait_until_up
from peercell.broker.processes.plan import Plan
from peercell.broker.status.balance import Messages, balance
from peercell.broker.status.live import host_counts

HERE = "bench.faults"
PEERS, EVERY_S = 10, 0.05
CUTS_S = (3.0, 10.0, 30.0)
KILLS = 300
FRESH_GOAL_S = 2.0


class Tick(Message, frozen=True):
    """A number that its sender uses once."""

    number: Annotated[int, Meta(ge=0, le=2**53)]


class TickSettings(Struct, frozen=True):
    """To whom to send ticks, and how often."""

    partners: tuple[str, ...]
    every_s: float


class Clockwork:
    """Sends a tick to all partners every so often; numbers are microseconds of its host."""

    def __init__(self, settings: TickSettings, generator: np.random.Generator) -> None:
        self.settings = settings
        self.generator = generator

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        if not isinstance(event, Started | TimerFired):
            return []
        wait_s = self.settings.every_s * float(self.generator.uniform(0.8, 1.2))
        tick = Tick(int(1e6 * now_s))
        return [*(Send(each, tick) for each in self.settings.partners), SetTimer("tick", wait_s)]


def clockwork(_peer: str, settings: bytes, generator: np.random.Generator) -> Clockwork:
    """Return a clockwork; what the plans below name."""
    return Clockwork(msgspec.json.decode(settings, type=TickSettings), generator)


class Cell:
    """A ring of peers that each talk to four neighbours, while it is entered."""

    def __init__(self) -> None:
        self.temporary = tempfile.TemporaryDirectory(prefix="peercell-")
        self.folder = Path(self.temporary.name) / "cell"
        self.home = CellHome(self.folder)
        self.names = [f"p{number}" for number in range(PEERS)]
        peers = []
        for name in self.names:
            settings = msgspec.json.encode(TickSettings(tuple(partners(self.names, name)), EVERY_S))
            peers.append(
                PeerSpec(peer=name, role="clock", factory=f"{HERE}:clockwork", settings=settings)
            )
        self.plan = Plan(
            cell="bench",
            folder=str(self.folder),
            config="bench",
            peers=tuple(peers),
            unions=(f"{HERE}:Tick",),
        )

    def __enter__(self) -> "Cell":
        launch(self.plan)
        wait_until_up(self.folder, 60.0)
        return self

    def __exit__(self, *_: object) -> None:
        stop_cell(self.folder, 30.0)
        self.temporary.cleanup()

    def add(self, fault: AnyFault, for_s: float | None, seed: int = 0) -> FaultAdded:
        """Let a fault begin."""
        roles = {state.peer: state.role for state in peer_states(self.folder)}
        step = Fault(fault=fault, for_s=for_s, seed=seed)
        answer = ask_supervisor(self.folder, aimed(step, roles, 0.0))
        assert isinstance(answer, FaultAdded)
        return answer

    def messages(self) -> Messages:
        """Return what became of all messages."""
        states = peer_states(self.folder)
        return balance(host_counts(states), host_counts(states), [state.peer for state in states])

    def arrivals(self, peer: str) -> Iterator[tuple[float, str, int]]:
        """Yield when a peer heard whom say which number."""
        for entry in read(self.home.journal(peer)):
            if isinstance(entry, Step) and b"Tick" in bytes(entry.event):
                event = msgspec.msgpack.decode(entry.event)
                if event["type"] == "Received":
                    yield entry.now_s, event["sender"], event["message"][1]


def first_fresh_s(cell: Cell, links: list[tuple[str, str]], healed_s: float) -> list[float]:
    """Return how long after a heal each link carried its first message that was said after it."""
    found = []
    for src, dst in links:
        later = (
            at_s - healed_s
            for at_s, sender, number in cell.arrivals(dst)
            if sender == src and number > 1e6 * healed_s
        )
        found.append(next(later, float("inf")))
    return found


def measure_cuts(goals: Goals) -> Iterator[str]:
    """Yield the table of cuts and pauses."""
    rows = []
    half = [f"p{number}" for number in range(PEERS // 2)]
    on = ",".join(half)
    with Cell() as cell:
        time.sleep(2.0)
        links = [
            (src, dst)
            for src in cell.names
            for dst in partners(cell.names, src)
            if (src in half) is not (dst in half)
        ]
        out = [(src, dst) for src, dst in links if src in half]
        for length_s in CUTS_S:
            for name, fault, hit in (
                ("two-way cut", Partition(on=f"{on}<->rest"), links),
                ("one-way cut", Partition(on=f"{on}->rest"), out),
                ("pause of half of the peers", Pause(on=on), links),
            ):
                added = cell.add(fault, length_s)
                assert added.until_s is not None
                time.sleep(length_s + FRESH_GOAL_S + 1.0)
                fresh_s = first_fresh_s(cell, hit, added.until_s)
                p95_s = float(np.quantile(fresh_s, 0.95, method="higher"))
                numbers = f"{np.median(fresh_s):.2f}", f"{p95_s:.2f}", f"{max(fresh_s):.2f}"
                rows.append([name, f"{length_s:g}", str(len(hit)), *numbers])
                goals.most(f"first message after a {name} of {length_s:g} s, p95, s", p95_s, 2.0)
        counts = cell.messages()
    yield from table("what | for, s | links | median, s | p95, s | worst, s", rows)
    goals.most("unaccounted messages after all cuts", counts.unaccounted, 0)


# In a network of its own the device that carries all traffic of the cell can be taken away.
ALONE = ("unshare", "--user", "--map-root-user", "--net", "sh", "-c")


def device(state: str) -> None:
    """Take the loopback device away, or bring it back."""
    subprocess.run(["ip", "link", "set", "lo", state], check=True)  # noqa: S607 - wherever it is


def cut_device() -> None:
    """Print how long links took to carry a message after cuts of the device, JSON by length."""
    found = {}
    with Cell() as cell:
        time.sleep(2.0)
        links = [(src, dst) for src in cell.names for dst in partners(cell.names, src)]
        for length_s in CUTS_S:
            device("down")
            time.sleep(length_s)
            device("up")
            healed_s = time.clock_gettime(time.CLOCK_REALTIME)
            time.sleep(4.0 * FRESH_GOAL_S)
            found[str(length_s)] = first_fresh_s(cell, links, healed_s)
    print(json.dumps(found))


def measure_device(goals: Goals) -> Iterator[str]:
    """Yield the table of cuts of the device, where a network of its own can be had."""
    inside = f"ip link set lo up && exec {sys.executable} -m {HERE} device"
    done = subprocess.run([*ALONE, inside], capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"Not measured here: {done.stderr.strip().splitlines()[-1]}"
        return
    rows = []
    for length_s, fresh_s in json.loads(done.stdout).items():
        p95_s = float(np.quantile(fresh_s, 0.95, method="higher"))
        numbers = f"{np.median(fresh_s):.2f}", f"{p95_s:.2f}", f"{max(fresh_s):.2f}"
        rows.append([f"{float(length_s):g}", str(len(fresh_s)), *numbers])
        goals.most(f"first message after {length_s} s without network, p95, s", p95_s, 2.0)
    yield from table("for, s | links | median, s | p95, s | worst, s", rows)


def partners(names: list[str], src: str) -> list[str]:
    """Return the peers that one talks to."""
    at = names.index(src)
    return [names[(at + step) % len(names)] for step in (-2, -1, 1, 2)]


def measure_kills(count: int, goals: Goals) -> Iterator[str]:
    """Yield what so many crashes at random moments cost."""
    chance = np.random.default_rng(1)
    unaccounted = 0
    with Cell() as cell:
        time.sleep(1.0)
        for number in range(count):
            up = [each.peer for each in peer_states(cell.folder)[1:] if each.state is State.UP]
            cell.add(Kill(on=str(chance.choice(up))), None, number)
            time.sleep(float(chance.uniform(0.0, 0.2)))
            if number % 25 == 0:
                unaccounted += cell.messages().unaccounted
        wait_until_up(cell.folder, 30.0)
        time.sleep(1.0)
        states = peer_states(cell.folder)[1:]
        restarts = sum(state.restarts for state in states)
        back = sum(state.state is State.UP for state in states)
        unaccounted += cell.messages().unaccounted
        # What is heard is read first: whatever it holds has been said before.
        heard = [
            (sender, number) for name in cell.names for _, sender, number in cell.arrivals(name)
        ]
        said = {
            name: {tick.number for tick in sent(cell.home.journal(name), Tick, since_s=0.0)}
            for name in cell.names
        }
        runs = sum(
            isinstance(entry, Start)
            for name in cell.names
            for entry in read(cell.home.journal(name))
        )
    lost = sum(number not in said[sender] for sender, number in heard)
    yield f"{restarts} crashes by `kill -9`, each at a random moment of a random peer of {PEERS}:"
    yield f"{len(heard):,} messages were heard, and {lost} of them are missing in the journal of"
    yield f"their sender; {runs} runs are recorded, and {back} of {PEERS} peers are back."
    goals.least("crashes", restarts, count)
    goals.most("acknowledged records that were lost", lost, 0)
    goals.least("peers that are back", back, PEERS)
    goals.most("unaccounted messages during and after the crashes", unaccounted, 0)


def page(kills: int, goals: Goals) -> Iterator[str]:
    """Yield the page of results."""
    yield "# Faults: how soon peers hear each other again, and what crashes lose"
    yield ""
    yield from made_by("python -m bench.faults", ("pyzmq", "msgspec"))
    yield f"{PEERS} peers, each a process with a journal, that tell four neighbours something"
    yield f"every {1000 * EVERY_S:.0f} ms. A cut drops each message at its sender; the TCP links"
    yield "below stay. A pause stops processes, so that sockets and outboxes fill up."
    yield ""
    yield "## After a cut"
    yield ""
    yield "From the end of a fault until a link carried a message that was said after it."
    yield ""
    yield from measure_cuts(goals)
    yield ""
    yield "## After the network was away"
    yield ""
    yield "The same cell in a network namespace of its own, whose device is taken down and up"
    yield "again: TCP finds out by itself, and links are made anew."
    yield ""
    yield from measure_device(goals)
    yield ""
    yield "## Crashes"
    yield ""
    yield from measure_kills(kills, goals)
    yield ""
    yield from goals.table()


def main() -> int:
    """Print the page; return 1 when a goal was missed."""
    if sys.argv[1:] == ["device"]:
        cut_device()
        return 0
    goals = Goals()
    for line in page(int(sys.argv[1]) if len(sys.argv) > 1 else KILLS, goals):
        print(line, flush=True)
    return int(bool(goals.missed))


if __name__ == "__main__":
    sys.exit(main())
