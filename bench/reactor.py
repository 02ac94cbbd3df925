"""What the reactor costs, beside plain PUSH/PULL sockets and beside a host written with asyncio.

    PYTHONPATH=src:. python -m bench.reactor [rounds] > docs/results/reactor.md

Every variant carries the same typed message of about 100 bytes over loopback TCP, between
processes: back and forth (round trip), one to one (throughput, CPU of both ends with their I/O
threads), ten to one (CPU of the receiver). Rounds are interleaved; what is printed are medians, and
medians of the ratios to the plain sockets of the same round.
"""

import gc
import resource
import statistics
import sys
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import NamedTuple

from bench.measure import Goals, made_by, table
from bench.reactor_variants import (
    BenchRole,
    Echo,
    Flood,
    Host,
    Ping,
    Place,
    Sink,
    in_asyncio,
    in_asyncio_with_outbox,
    in_reactor,
    in_reactor_with_journal,
    on_plain_sockets,
    on_plain_sockets_with_maps,
)

from peercell.broker.sockets import endpoint_of, listen

PLAIN = "plain PUSH/PULL"
ROUND_TRIPS = 2_000
SENDERS = 10


class Figures(NamedTuple):
    """What one variant needed in one round; seconds."""

    round_trip_s: float
    message_s: float
    cpu_s: float
    receiver_cpu_s: float


def work(host: Host, role: BenchRole, place: Place, result: Connection) -> None:
    """Be a process: run a role, and report its CPU time and what it measured."""
    gc.collect()
    gc.freeze()
    used = resource.getrusage(resource.RUSAGE_SELF)
    host(role, place)
    now = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = now.ru_utime - used.ru_utime + now.ru_stime - used.ru_stime
    if isinstance(role, Ping):
        result.send((cpu_s, statistics.median(role.trips_s)))
    elif isinstance(role, Sink):
        result.send((cpu_s, role.last_s - role.first_s))
    else:
        result.send((cpu_s, 0.0))


def run(host: Host, roles: dict[str, BenchRole]) -> dict[str, tuple[float, float]]:
    """Run each role in a process of its own; everybody sends to b, and b to a."""
    processes = get_context("fork")
    listeners = {peer: listen() for peer in roles}
    endpoints = {peer: endpoint_of(listener) for peer, listener in listeners.items()}
    results, started = {}, []
    for peer, role in roles.items():
        results[peer], theirs = processes.Pipe(duplex=False)
        others = {"a": endpoints["a"]} if peer == "b" else {"b": endpoints["b"]}
        place = Place(peer, listeners[peer], others)
        process = processes.Process(target=work, args=(host, role, place, theirs))
        process.start()
        started.append(process)
    try:
        for peer, result in results.items():
            if not result.poll(60):
                raise RuntimeError(f"{peer} does not finish in {host.__name__}")
        return {peer: result.recv() for peer, result in results.items()}
    finally:
        for process in started:
            process.join(5)
            process.kill()
        for listener in listeners.values():
            listener.close()


def measure(host: Host, count: int) -> Figures:
    """Return the figures of one variant, from so many messages."""
    trip = run(host, {"a": Ping("b", ROUND_TRIPS), "b": Echo(ROUND_TRIPS)})
    pair = run(host, {"a": Flood(count), "b": Sink(count)})
    crowd: dict[str, BenchRole] = {
        chr(ord("c") + number): Flood(count // SENDERS) for number in range(SENDERS - 1)
    }
    many = run(host, {"a": Flood(count // SENDERS), "b": Sink(count), **crowd})
    return Figures(
        round_trip_s=trip["a"][1],
        message_s=pair["b"][1] / count,
        cpu_s=(pair["a"][0] + pair["b"][0]) / count,
        receiver_cpu_s=many["b"][0] / count,
    )


# Variant: its host, and messages in a round; the slow ones get by with fewer.
VARIANTS: dict[str, tuple[Host, int]] = {
    PLAIN: (on_plain_sockets, 100_000),
    "plain PUSH/PULL, maps": (on_plain_sockets_with_maps, 100_000),
    "reactor": (in_reactor, 100_000),
    "reactor, journal": (in_reactor_with_journal, 100_000),
    "zmq.asyncio": (in_asyncio, 10_000),
    "zmq.asyncio, our outbox": (in_asyncio_with_outbox, 20_000),
}


def page(rounds: int, goals: Goals) -> Iterator[str]:
    """Yield the page of results."""
    yield "# The reactor: what a message costs"
    yield ""
    yield from made_by("python -m bench.reactor", ("pyzmq", "msgspec"))
    yield "The same typed message of about 100 bytes over loopback TCP between processes: back and"
    yield "forth; from one to one, 32 messages a turn; from ten to one. The plain sockets encode,"
    yield "send, receive and decode one message after the other and do nothing else; the reactor"
    yield "also numbers, checks and counts them, and keeps timers. CPU is of both ends with their"
    yield f"threads, from ten to one of the receiver. Medians of {rounds} rounds in which the hosts"
    yield "take turns; in brackets the median of the ratios to the plain sockets of the same round."
    yield ""
    measured: dict[str, list[Figures]] = {name: [] for name in VARIANTS}
    for _ in range(rounds):
        for name, (host, count) in VARIANTS.items():
            measured[name].append(measure(host, count))
    ratios = {name: ratios_to(measured[name], measured[PLAIN]) for name in VARIANTS}
    rows = []
    for name, figures in measured.items():
        median = Figures(*map(statistics.median, zip(*figures, strict=True)))
        ratio = ratios[name]
        rows.append(
            [
                name,
                f"{1e6 * median.round_trip_s:.0f} ({ratio.round_trip_s:.2f})",
                f"{1 / median.message_s:,.0f} ({1 / ratio.message_s:.2f})",
                f"{1e6 * median.cpu_s:.2f} ({ratio.cpu_s:.2f})",
                f"{1e6 * median.receiver_cpu_s:.2f} ({ratio.receiver_cpu_s:.2f})",
            ]
        )
    head = "host | round trip, us | one to one, messages/s | CPU, us | ten to one: CPU, us"
    yield from table(head, rows)
    ours = ratios["reactor"]
    goals.least("throughput one to one, of the plain sockets'", 1 / ours.message_s, 1.0)
    goals.most("round trip, of theirs", ours.round_trip_s, 2.5)
    goals.most("CPU a received message, ten to one, of theirs", ours.receiver_cpu_s, 1.5)
    against_asyncio = ours.cpu_s / ratios["zmq.asyncio"].cpu_s
    goals.most("CPU a message, of a zmq.asyncio host's", against_asyncio, 0.2)
    yield from goals.table()


def main() -> int:
    """Print the page; return 1 when a goal was missed."""
    goals = Goals()
    for line in page(int(sys.argv[1]) if len(sys.argv) > 1 else 5, goals):
        print(line, flush=True)
    return int(bool(goals.missed))


def ratios_to(figures: list[Figures], base: list[Figures]) -> Figures:
    """Return the medians of the ratios within each round."""
    pairs = [
        Figures(*(one / other for one, other in zip(each, plain, strict=True)))
        for each, plain in zip(figures, base, strict=True)
    ]
    return Figures(*map(statistics.median, zip(*pairs, strict=True)))


if __name__ == "__main__":
    sys.exit(main())
