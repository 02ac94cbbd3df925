"""What a process of a cell costs, beside one that is started from nothing; and many at once.

    PYTHONPATH=src:. python -m bench.processes [peers …] > docs/results/processes.md

Everything is measured on real cells: memory and start of a peer from the fork server and cold; the
time from `kill -9` of a peer to the next message that it handles; the CPU of idle peers; and so
many peers (200 unless said otherwise) that each send a message a second, with how late their timers
are.
"""

import os
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from bench.measure import Goals, made_by, table
from msgspec import Meta, Struct

from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, Send, SetTimer, Started, TimerFired
from peercell.broker.home import CellHome
from peercell.broker.journal import Start, Step, read
from peercell.broker.operator_port import HostMessage, HostStatus, StatusQuery, ask
from peercell.broker.processes.crew import Crew, PeerSpec, State
from peercell.broker.processes.launch import launch
from peercell.broker.processes.operate import peer_states, stop_cell, wait_until_up
from peercell.broker.processes.plan import Plan
from peercell.broker.processes.starter import ForkServer, Spawner, Starter
from peercell.broker.processes.worker import Worker
from peercell.broker.sockets import endpoint_of, listen
from peercell.broker.wire import Codec

HERE = "bench.processes"
IDLE_PEERS = 20
IDLE_S = 15.0
CROWD, CROWD_S = 200, 20.0
CONTROL = Codec(HostMessage)


class Beat(Message, frozen=True):
    """One of many."""

    number: Annotated[int, Meta(ge=0, le=2**53)]


class BeatSettings(Struct, frozen=True):
    """To whom to send a beat, and how often; never when to nobody."""

    partners: tuple[str, ...] = ()
    every_s: float = 1.0


class Heart:
    """Sends a beat to one partner after the other."""

    def __init__(self, settings: BeatSettings, generator: np.random.Generator) -> None:
        self.settings = settings
        self.generator = generator
        self.number = 0

    def step(self, event: Event, _now_s: float) -> list[Action]:
        """See Role.step."""
        if not self.settings.partners or not isinstance(event, Started | TimerFired):
            return []
        after_s = self.settings.every_s
        if isinstance(event, Started):
            # Those that are started together would otherwise beat together for ever.
            return [SetTimer("beat", after_s * float(self.generator.uniform()))]
        self.number += 1
        partner = self.settings.partners[self.number % len(self.settings.partners)]
        return [Send(partner, Beat(self.number)), SetTimer("beat", after_s)]


def heart(_peer: str, settings: bytes, generator: np.random.Generator) -> Heart:
    """Return a heart; what the plans below name."""
    return Heart(msgspec.json.decode(settings, type=BeatSettings), generator)


def spec(peer: str, settings: BeatSettings) -> PeerSpec:
    encoded = msgspec.json.encode(settings)
    return PeerSpec(peer=peer, role="heart", factory=f"{HERE}:heart", settings=encoded)


def ring(count: int, every_s: float) -> tuple[PeerSpec, ...]:
    """Return peers that each talk to four neighbours."""
    names = [f"p{number}" for number in range(count)]
    return tuple(
        spec(
            name,
            BeatSettings(tuple(names[(at + step) % count] for step in (-2, -1, 1, 2)), every_s),
        )
        for at, name in enumerate(names)
    )


class Cell:
    """A cell that runs while it is entered."""

    def __init__(self, peers: tuple[PeerSpec, ...]) -> None:
        self.temporary = tempfile.TemporaryDirectory(prefix="peercell-")
        self.folder = Path(self.temporary.name) / "cell"
        self.plan = Plan(
            cell="bench",
            folder=str(self.folder),
            config="bench",
            peers=peers,
            unions=(f"{HERE}:Beat",),
        )

    def __enter__(self) -> "Cell":
        launch(self.plan)
        wait_until_up(self.folder, 120.0)
        return self

    def __exit__(self, *_: object) -> None:
        stop_cell(self.folder, 30.0)
        self.temporary.cleanup()

    def pids(self) -> list[int]:
        """Return the processes of the peers, without the directory."""
        return [each.pid for each in peer_states(self.folder)[1:]]


def private_mb(pid: int) -> float:
    """Return the memory that a process shares with no other."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) / 1024


def cpu_s(pids: list[int]) -> float:
    """Return the CPU time that processes have used, to 10 ms each."""
    ticks = os.sysconf("SC_CLK_TCK")
    used = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used += int(fields[11]) + int(fields[12])
    return used / ticks


def start_and_memory(starter: Starter, folder: Path, count: int) -> tuple[list[float], float]:
    """Start peers one after the other; return the seconds each took, and private MB after 2 s."""
    took_s, workers = [], []
    for number in range(count):
        listener: socket.socket = listen()
        name = f"{type(starter).__name__.lower()}{number}"
        crew = Crew(
            name=name,
            folder=str(folder),
            peers=(spec(name, BeatSettings()),),
            unions=(f"{HERE}:Beat",),
            endpoint=endpoint_of(listener),
            seeds={},
        )
        worker = Worker(crew, folder / f"{name}.crew", listener, 0.0)
        before_s = time.perf_counter()
        worker.start(starter, 0.0)
        while worker.state is not State.UP:
            worker.hear(0.0)
        took_s.append(time.perf_counter() - before_s)
        workers.append(worker)
    time.sleep(2.0)
    memory_mb = statistics.median(private_mb(worker.pid) for worker in workers)
    for worker in workers:
        worker.stop(starter, "measured", 0.0)
        while not worker.hear(0.0):
            pass
        worker.end(starter, 0.0)
        worker.close()
    return took_s, memory_mb


def measure_starts(count: int, goals: Goals) -> Iterator[str]:
    """Yield memory and start of warm and cold peers."""
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    results = {}
    with tempfile.TemporaryDirectory(prefix="peercell-") as temporary:
        folder = Path(temporary)
        CellHome(folder).prepare()
        makers: dict[str, Callable[[], Starter]] = {
            "fork server": lambda: ForkServer([HERE]),
            "cold": Spawner,
        }
        for name, make in makers.items():
            starter = make()
            took_s, memory_mb = start_and_memory(starter, folder, count + 1)
            starter.close()
            # The first one waits for the fork server to load.
            results[name] = memory_mb, 1000 * statistics.median(took_s[1:])
    rows = [[name, f"{mb:.1f}", f"{ms:.1f}"] for name, (mb, ms) in results.items()]
    yield from table("started | private MB | ready after, ms", rows)
    warm, cold = results["fork server"], results["cold"]
    goals.most("private memory of a NumPy agent, of a cold process'", warm[0] / cold[0], 0.3)
    goals.most("time until ready, of a cold process'", warm[1] / cold[1], 0.2)


def measure_return(rounds: int, goals: Goals) -> str:
    """Return how long it takes from kill -9 to the next message that is handled."""
    took_s = []
    # Another peer each time: who fails again within a minute is kept waiting on purpose.
    with Cell(ring(max(5, rounds), every_s=0.01)) as cell:
        time.sleep(1.0)
        for number in range(rounds):
            pid = cell.pids()[number]
            killed_s = time.clock_gettime(time.CLOCK_REALTIME)
            os.kill(pid, signal.SIGKILL)
            time.sleep(1.0)
            took_s.append(first_message_s(cell.folder / f"p{number}.journal") - killed_s)
    median_ms, worst_ms = 1000 * statistics.median(took_s), 1000 * max(took_s)
    goals.most("kill -9 to the next message handled, median, ms", median_ms, 250.0)
    return (
        f"From `kill -9` to the next message handled: {median_ms:.0f} ms, at worst {worst_ms:.0f}."
    )


def first_message_s(journal: Path) -> float:
    """Return when the latest run of a peer was first told a beat."""
    first_s = 0.0
    for entry in read(journal):
        if isinstance(entry, Start):
            first_s = 0.0
        elif isinstance(entry, Step) and not first_s and b"Beat" in bytes(entry.event):
            first_s = entry.now_s
    return first_s


def measure_idle(goals: Goals) -> str:
    """Return the CPU time of a peer in a second in which nothing happens."""
    peers = tuple(spec(f"p{number}", BeatSettings()) for number in range(IDLE_PEERS))
    with Cell(peers) as cell:
        # Newly started peers compare more often.
        time.sleep(15.0)
        pids, before_s = cell.pids(), time.perf_counter()
        used_s = -cpu_s(pids)
        time.sleep(IDLE_S)
        used_s += cpu_s(pids)
        idle_ms = 1000 * used_s / len(pids) / (time.perf_counter() - before_s)
    goals.most("CPU of an idle peer, ms/s", idle_ms, 0.6)
    return f"A peer to which nothing happens uses {idle_ms:.2f} ms of CPU a second."


def measure_crowd(count: int) -> tuple[list[str], float]:
    """Return the row of so many peers at a message a second, and their 99 % lateness in ms."""
    before_s = time.perf_counter()
    with Cell(ring(count, every_s=1.0)) as cell:
        up_s = time.perf_counter() - before_s
        time.sleep(15.0)
        pids, used_s = cell.pids(), -cpu_s(cell.pids())
        time.sleep(CROWD_S)
        used_s += cpu_s(pids)
        memory_mb = statistics.median(map(private_mb, pids))
        late = [status(each.control, each.peer) for each in peer_states(cell.folder)[1:]]
    p50_ms = 1000 * statistics.median(each.late_p50_s for each in late)
    p99_ms = 1000 * statistics.median(each.late_p99_s for each in late)
    numbers = f"{up_s:.1f}", f"{100 * used_s / CROWD_S:.0f}", f"{memory_mb:.1f}"
    return [str(count), *numbers, f"{p50_ms:.1f}", f"{p99_ms:.1f}"], p99_ms


def status(control: str, peer: str) -> HostStatus:
    answer = ask(control, peer, StatusQuery(), CONTROL, 10.0)
    assert isinstance(answer, HostStatus)
    return answer


def page(crowds: list[int], rounds: int, goals: Goals) -> Iterator[str]:
    """Yield the page of results."""
    yield "# Processes: what a peer costs"
    yield ""
    yield from made_by("python -m bench.processes", ("pyzmq", "msgspec", "numpy"))
    yield "All peers are real processes of real cells, with journals, membership and NumPy loaded."
    yield ""
    yield "## Start and memory"
    yield ""
    yield from measure_starts(10, goals)
    yield "## Return and rest"
    yield ""
    yield measure_return(rounds, goals)
    yield measure_idle(goals)
    yield ""
    yield "## Many at once"
    yield ""
    yield "Each sends a message a second to one of its four neighbours; late is by how much timers"
    yield "fire after they are due, of half and of 99 % of the timers of the median peer."
    yield ""
    rows = []
    for count in crowds:
        row, late_ms = measure_crowd(count)
        rows.append(row)
        if count == CROWD:
            goals.most(f"timers of {count} peers, 99 % late by, ms", late_ms, 100.0)
    head = "peers | up after, s | % of a core | private MB each | late, half, ms | late, 99 %, ms"
    yield from table(head, rows)
    yield from goals.table()


def main() -> int:
    """Print the page; return 1 when a goal was missed."""
    goals = Goals()
    crowds = [int(count) for count in sys.argv[1:]] or [CROWD, 500]
    for line in page(crowds, 5, goals):
        print(line, flush=True)
    return int(bool(goals.missed))


if __name__ == "__main__":
    sys.exit(main())
