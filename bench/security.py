"""What locked links cost: a connection, a message, and a whole cell with keys and without.

    PYTHONPATH=src:. python -m bench.security [rounds] > docs/results/security.md

Everything takes turns with the same without keys: connections one after the other to a host; small
messages between two processes over loopback TCP, 32 a turn and one a turn, in the reactor with all
checks of the gate; the cell rural1, each of its peers a process, from its launch to plans.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import zmq
from bench.measure import Goals, made_by, table
from bench.reactor import ROUND_TRIPS, run
from bench.reactor_variants import (
    BenchRole,
    Echo,
    Flood,
    Locks,
    Offer,
    Ping,
    Place,
    Sink,
    in_reactor,
)
from nacl.signing import SigningKey

from peercell.agents.admission import Admission, Charter, Members, PeerKeys, sign_admission
from peercell.broker.clock import steady_clock
from peercell.broker.inbound import Security
from peercell.broker.journal import Step, read
from peercell.broker.reactor import Doors, Reactor
from peercell.broker.security import guard
from peercell.broker.security.bucket import Bucket
from peercell.broker.security.identity import make_identity, verify
from peercell.broker.sockets import LOOPBACK, LinkKeys, Socket, make, unlock

CONNECTIONS = 200
MESSAGES = 100_000
INTERVALS = 4
ROOT = Path(__file__).parent.parent
PEERS = ("a", "b")
M = TypeVar("M")
OPERATOR = SigningKey.generate()
IDENTITIES = {peer: make_identity(peer) for peer in PEERS}
KEYS = {peer: each.curve_public for peer, each in IDENTITIES.items()}


class Cost(NamedTuple):
    """Of a connection until it can be sent over: seconds, and CPU seconds of both ends."""

    wait_s: float
    cpu_s: float


class Words(NamedTuple):
    """CPU seconds of both ends a message: 32 a turn, and one a turn; and a round trip, seconds."""

    many_s: float
    single_s: float
    round_trip_s: float


class Run(NamedTuple):
    """A cell, in seconds.

    Parameters
    ----------
    up_s : from its launch until its last peer runs
    first_s : from its launch until all traders have a plan of the first interval
    plan_s : from the opening of an interval to the plan of a trader, the median of all
    """

    up_s: float
    first_s: float
    plan_s: float


def locks(peer: str) -> Locks:
    """Return the keys of a process and of those that it may talk with."""
    admissions = tuple(
        sign_admission(
            Admission(
                name,
                "bench",
                "bench",
                1,
                (PeerKeys(each.curve_public, each.public.signing, 0.0, 1e11),),
            ),
            lambda said: OPERATOR.sign(said).signature,
        )
        for name, each in IDENTITIES.items()
    )
    members = Members(Charter("bench", bytes(OPERATOR.verify_key), admissions), verify)
    own = IDENTITIES[peer]
    return Locks(Security(LinkKeys(own.curve_public, own.curve_secret), members), KEYS)


def in_locked_reactor(role: BenchRole, place: Place) -> None:
    """Host a role behind locked links."""
    in_reactor(role, place, None, locks(place.peer))


def used_s() -> float:
    """Return the CPU time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def serve(pipe: Connection, security: Security | None) -> None:
    """Be a host that lets others connect until it is told to end; report the CPU time of that."""
    with Reactor(Doors(LOOPBACK, LOOPBACK), (Offer,), steady_clock(), security) as reactor:
        began_s = used_s()
        pipe.send(reactor.endpoint)
        reactor.watch(pipe.fileno(), lambda: reactor.stop("measured"))
        reactor.run()
        pipe.send(used_s() - began_s)


def connect_all(*, is_locked: bool) -> Cost:
    """Return what connections to a host cost, made one after the other."""
    processes = get_context("fork")
    ours, theirs = processes.Pipe()
    security = locks("b").security if is_locked else None
    host = processes.Process(target=serve, args=(theirs, security))
    host.start()
    endpoint, began_s, waits_s = ours.recv(), used_s(), []
    with zmq.Context() as context:
        for _ in range(CONNECTIONS):
            before_s = time.perf_counter()
            with make(context, zmq.PUSH) as push:
                _open(push, endpoint, is_locked=is_locked)
                waits_s.append(time.perf_counter() - before_s)
    cpu_s = used_s() - began_s
    ours.send("end")
    cpu_s += ours.recv()
    host.join()
    return Cost(statistics.median(waits_s), cpu_s / CONNECTIONS)


def _open(push: Socket, endpoint: str, *, is_locked: bool) -> None:
    if is_locked:
        unlock(push, locks("a").security.keys, KEYS["b"])
    push.connect(endpoint)
    if not push.poll(5000, zmq.POLLOUT):
        raise RuntimeError("nobody lets us in")


def talk(*, is_locked: bool) -> Words:
    """Return what messages cost."""
    host = in_locked_reactor if is_locked else in_reactor
    trip = run(host, {"a": Ping("b", ROUND_TRIPS), "b": Echo(ROUND_TRIPS)})
    pair = run(host, {"a": Flood(MESSAGES), "b": Sink(MESSAGES)})
    many_s = (pair["a"][0] + pair["b"][0]) / MESSAGES
    return Words(many_s, (trip["a"][0] + trip["b"][0]) / (2 * ROUND_TRIPS), trip["a"][1])


def run_cell(folder: Path, *, is_locked: bool) -> Run:
    """Run some intervals of rural1, each peer a process, and return how it went."""
    name = "locked" if is_locked else "open"
    words = [sys.executable, "-m", "peercell", "run", str(ROOT / "configs/rural1.toml")]
    words += ["--set", f"clock.intervals={INTERVALS}", "--set", "clock.speed=120"]
    words += ["--name", name, "-o", "json"]
    if is_locked:
        words += ["--set", f"security.keys={folder / 'keys'}"]
    with tempfile.TemporaryDirectory(dir=folder) as runs:
        environment = {**os.environ, "PEERCELL_HOME": runs, "OPENBLAS_NUM_THREADS": "1"}
        began_s = time.time_ns() / 1e9
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        if not done.stdout or json.loads(done.stdout)["settled"] != INTERVALS:
            raise RuntimeError(done.stderr)
        home = Path(runs) / name
        begun_s = [next(read(path)).now_s for path in home.glob("*.journal")]
        plans = [list(_plans(path)) for path in home.glob("*.trader.journal")]
    up_s = max(begun_s) - began_s
    first_s = max(each[0][1] for each in plans) - began_s
    waits_s = [settled_s - opened_s for each in plans for opened_s, settled_s in each]
    return Run(up_s, first_s, statistics.median(waits_s))


def _plans(path: Path) -> Iterator[tuple[float, float]]:
    """Yield when trade was opened and when the plan was there, for each interval of a trader."""
    opened_s: dict[int, float] = {}
    for entry in read(path):
        if not isinstance(entry, Step):
            continue
        for action in msgspec.msgpack.decode(entry.actions) or ():
            fact = action.get("fact") if isinstance(action, dict) else None
            if not fact:
                continue
            if fact[0] == "EpochOpened":
                opened_s[fact[1]] = entry.now_s
            elif fact[0] == "TraderSettled":
                yield opened_s[fact[1]], entry.now_s


def page(rounds: int, goals: Goals) -> Iterator[str]:
    """Yield the page of results."""
    yield "# What locked links cost"
    yield ""
    yield from made_by("python -m bench.security", ("pyzmq", "msgspec", "pynacl"))
    yield "Locked and open take turns; medians of the rounds, in brackets those of the ratios"
    yield "within each."
    yield ""
    yield from connections(rounds, goals)
    # A round trip depends on which core a thread wakes up on, so it takes more rounds.
    yield from messages(3 * rounds, goals)
    yield from cells(rounds, goals)
    yield from goals.table()


def connections(rounds: int, goals: Goals) -> Iterator[str]:
    """Yield what a connection costs."""
    yield "## A connection"
    yield ""
    yield f"{CONNECTIONS} links are made to a host, one after the other, each until it can be sent"
    yield "over. CPU is of both ends with their threads: the handshake, the question who belongs to"
    yield "the cell, and the note of which connection is whose."
    yield ""
    taken = in_turns(connect_all, rounds)
    opened, locked = (Cost(*medians(each)) for each in zip(*taken, strict=True))
    rows = [
        [name, f"{1e3 * each.wait_s:.2f}", f"{1e3 * each.cpu_s:.2f}"]
        for name, each in (("open", opened), ("locked", locked))
    ]
    yield from table("links | until it can be sent over, ms | CPU, ms", rows)
    yield ""
    wait_ms = 1e3 * statistics.median(lock.wait_s - bare.wait_s for bare, lock in taken)
    cpu_ms = 1e3 * statistics.median(lock.cpu_s - bare.cpu_s for bare, lock in taken)
    goals.most("time a connection, ms more than open", wait_ms, 2.0)
    goals.most("CPU a connection, ms more than open", cpu_ms, 2.0)


def messages(rounds: int, goals: Goals) -> Iterator[str]:
    """Yield what a message costs."""
    yield "## A message"
    yield ""
    yield "About 100 bytes from process to process, through all checks of the gate; the bucket of"
    yield "the sender is wide open for once. CPU is of both ends with their threads."
    yield ""
    taken = in_turns(talk, rounds)
    ratios = [
        [with_keys / without for without, with_keys in zip(*each, strict=True)] for each in taken
    ]
    middle = Words(*medians(ratios))
    opened, locked = (Words(*medians(each)) for each in zip(*taken, strict=True))
    rows = [
        [
            name,
            f"{1e6 * each.many_s:.2f} ({ratio.many_s:.2f})",
            f"{1e6 * each.single_s:.1f} ({ratio.single_s:.2f})",
            f"{1e6 * each.round_trip_s:.0f} ({ratio.round_trip_s:.2f})",
        ]
        for name, each, ratio in (("open", opened, Words(1, 1, 1)), ("locked", locked, middle))
    ]
    head = "links | CPU, 32 messages a turn, us | CPU, one a turn, us | round trip, us"
    yield from table(head, rows)
    yield ""
    goals.most("CPU a small message, 32 a turn, of open links'", middle.many_s, 2.0)
    goals.most("CPU a small message, one a turn, of open links'", middle.single_s, 2.0)


def in_turns(measure: Callable[..., M], rounds: int) -> list[tuple[M, M]]:
    """Return what was measured of open links and of locked ones, round by round."""
    return [(measure(is_locked=False), measure(is_locked=True)) for _ in range(rounds)]


def medians(rows: Iterable[Iterable[float]]) -> list[float]:
    """Return the median of each column."""
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def cells(rounds: int, goals: Goals) -> Iterator[str]:
    """Yield what a whole cell costs."""
    yield "## A cell"
    yield ""
    yield f"`peercell run configs/rural1.toml`, {INTERVALS} intervals, 35 processes: seconds from"
    yield "the launch until the last peer runs, and until all traders have a certified plan of the"
    yield "first interval, which opens so long after the launch that all should be there; and from"
    yield "the opening of an interval to the plan of a trader, the median of all."
    yield ""
    with tempfile.TemporaryDirectory(prefix="peercell-") as temporary:
        folder = Path(temporary)
        make_keys = [sys.executable, "-m", "peercell", "keys", "cell"]
        make_keys += [str(ROOT / "configs/rural1.toml"), "--out", str(folder / "keys")]
        subprocess.run(make_keys, check=True, capture_output=True)
        taken = in_turns(partial(run_cell, folder), rounds)
    opened, locked = (medians(each) for each in zip(*taken, strict=True))
    rows = [
        [name, *(f"{each:.2f}" for each in middle)]
        for name, middle in (("open", opened), ("locked", locked))
    ]
    yield from table("links | all up after, s | first plan after, s | opening to plan, s", rows)
    yield ""
    ratio = statistics.median(lock.first_s / bare.first_s for bare, lock in taken)
    goals.most("time from launch to the first plan of rural1, of that without keys", ratio, 1.3)


def main() -> int:
    """Print the page; return 1 when a goal was missed."""
    # One sender says here in a second what a cell says in an hour.
    guard.Bucket = partial(Bucket, rate_per_s=1e9, burst=1e9)
    goals = Goals()
    for line in page(int(sys.argv[1]) if len(sys.argv) > 1 else 3, goals):
        print(line, flush=True)
    return int(bool(goals.missed))


if __name__ == "__main__":
    sys.exit(main())
