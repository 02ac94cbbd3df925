"""How soon the members of a cell know a mean, and what faults cost, beside textbook push-sum.

The class that runs in a cell is the one measured: every member is a `PushSum`, every message is
built, lost or delivered, and acknowledged. A round is one push of every member. Run from the
checkout; prints a page of Markdown, and ends with code 1 when a goal is missed:

    PYTHONPATH=src:. python -m bench.push_sum > docs/results/push_sum.md

With --quick it takes few members and schedules: a smoke test, not a measurement.
"""

import platform
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from math import inf
from statistics import median
from time import process_time

import msgspec
import numpy as np
from bench.measure import Goals, table
from tests.agents.map_crowd import Crowd, Reading
from tests.agents.push_sum_chaos import Chaos
from tests.agents.push_sum_network import Network, delaying, losing, started
from tests.oracles.push_sum import plain_push_sum

from peercell.agents.overlay import overlay
from peercell.agents.push_sum_messages import Sum

COMMAND = "PYTHONPATH=src:. python -m bench.push_sum"
ERRORS = (1e-3, 1e-6)
LOSSES = (0.0, 0.1, 0.3)
ROUNDS_MAX = 400
CRASH_ROUND, DETECTION_ROUNDS = 20, 10
# Rounds to each error, at most: members, loss, with a crash or without.
GOALS = {
    (1_000, 0.0, False): (40, 80),
    (1_000, 0.3, False): (85, 165),
    (1_000, 0.3, True): (90, 165),
    (10_000, 0.0, False): (45, 85),
    (10_000, 0.3, False): (100, 180),
}

Rounds = tuple[float, ...]


def graph(size: int, seed: int) -> dict[str, tuple[str, ...]]:
    """Return an overlay with eight neighbours."""
    return overlay([f"{seed}.{k}" for k in range(size)])


def rounds_to(network: Network, count: int = 0) -> Rounds:
    """Return after how many rounds, `count` of which are over, all are as good as each error."""
    found: list[float] = []
    while len(found) < len(ERRORS) and count < ROUNDS_MAX:
        network.tick()
        count += 1
        error = network.ratio_error
        while len(found) < len(ERRORS) and error <= ERRORS[len(found)]:
            found.append(count)
    return (*found, inf, inf)[: len(ERRORS)]


def undisturbed(size: int, loss: float, seed: int) -> Rounds:
    """Return the rounds of a start from nothing, the opening of the links included."""
    rng = np.random.default_rng(seed)
    return rounds_to(started(graph(size, seed), rng, losing(rng, loss)))


def crashed(size: int, loss: float, seed: int) -> Rounds:
    """Return the rounds from the crash of every tenth member at once, noticed 10 rounds later."""
    rng = np.random.default_rng(seed)
    network = started(graph(size, seed), rng, losing(rng, loss))
    for _ in range(CRASH_ROUND):
        network.tick()
    names = list(network.members)
    dead = [names[k] for k in rng.permutation(size)[: size // 10]]
    for name in dead:
        network.stop(name)
    for _ in range(DETECTION_ROUNDS):
        network.tick()
    links = overlay(network.members)
    for name, member in network.members.items():
        for peer in dead:
            member.close_link(peer)
        for peer in links[name]:
            network.open(name, peer)
    return rounds_to(network, DETECTION_ROUNDS)


def textbook(size: int, loss: float, seed: int) -> Rounds:
    """Return the rounds of plain push-sum on the same overlay, infinite where it never arrives."""
    rng = np.random.default_rng(seed)
    links = graph(size, seed)
    place = {name: k for k, name in enumerate(links)}
    inputs = rng.uniform(0.9, 1.1, size)
    mean = inputs.mean()
    found: list[float] = []
    near = [[place[peer] for peer in peers] for peers in links.values()]
    plain = plain_push_sum(near, inputs, loss, rng)
    for count, (mass, weight) in enumerate(islice(plain, ROUNDS_MAX), 1):
        error = float(np.abs(mass / weight - mean).max() / np.abs(inputs - mean).max())
        while len(found) < len(ERRORS) and error <= ERRORS[len(found)]:
            found.append(count)
    return (*found, inf, inf)[: len(ERRORS)]


def shown(runs: list[Rounds]) -> str:
    """Return the median and the most of some runs for each error."""
    parts = []
    for each in zip(*runs, strict=True):
        most = max(each)
        parts.append("never" if most == inf else f"{median(each):.0f} ({most:.0f})")
    return ", ".join(parts)


def speed(sizes: dict[int, int], goals: Goals) -> Iterator[str]:
    """Yield the table of rounds; `sizes` says how many seeds of each size."""
    rows = []
    for size, seeds in sizes.items():
        for loss in LOSSES:
            row = [f"{size:,}", f"{loss:.0%}"]
            for crash, measure in ((False, undisturbed), (True, crashed)):
                runs = [measure(size, loss, seed) for seed in range(seeds)]
                row.append(shown(runs))
                for k, goal in enumerate(GOALS.get((size, loss, crash), ())):
                    name = f"{size:,} members, loss {loss:.0%}, crash {crash}, {ERRORS[k]:.0e}"
                    goals.most(name, max(run[k] for run in runs), goal)
            row.append(shown([textbook(size, loss, seed) for seed in range(seeds)]))
            rows.append(row)
    yield from table("members | loss | rounds | rounds after a crash | textbook", rows)


def late(seeds: int) -> Iterator[str]:
    """Yield the table of rounds when messages and acknowledgements take some."""
    rows = []
    for delay in (0, 1, 2, 4):
        row = [f"0 to {delay}"]
        for loss in (0.0, 0.3):
            runs = []
            for seed in range(seeds):
                rng = np.random.default_rng(seed)
                runs.append(rounds_to(started(graph(100, seed), rng, delaying(rng, loss, delay))))
            row.append(shown(runs))
        rows.append(row)
    yield from table("delay in rounds | no loss | 30% loss", rows)


def chaos(schedules: int, goals: Goals) -> Iterator[str]:
    """Yield what became of the mass in random schedules."""
    counts: Counter[str] = Counter()
    mass, ratio = 0, 0.0
    for seed in range(schedules):
        run = Chaos(seed)
        run.run(wild=200, calm=400)
        counts += run.network.counts
        mass = max(mass, run.network.mass_error)
        ratio = max(ratio, run.network.ratio_error)
    goals.most("mass error in units", mass, 0)
    rows = [[name.replace("change", "new input"), f"{count:,}"] for name, count in counts.items()]
    yield from table("what | times", rows)
    yield f"{schedules:,} schedules. The largest error of the total mass afterwards is {mass} units"
    yield f"of 2^-40, the largest of any estimate {ratio:.0e}."
    yield ""


def sizes_on_the_wire(goals: Goals) -> Iterator[str]:
    """Yield the table of message sizes."""
    rows = []
    for count in (1, 2, 4, 8, 16):
        said = Sum(1_795_000_000_000, 1_795_000_000_001, 2**32 - 1, bytes(8 * (count + 1)))
        early = msgspec.structs.replace(said, seq=100)
        longest = len(msgspec.msgpack.encode(said))
        rows.append([str(count), str(len(msgspec.msgpack.encode(early))), str(longest)])
        if count == 4:
            goals.most("bytes of a message with four sums", longest, 70)
    yield from table("sums | bytes, first messages | bytes, after 65,535 messages on a link", rows)


def news(seeds: int) -> Iterator[str]:
    """Yield the table of how soon all know a new value of each, by map and by push-sum."""
    rows = []
    for size in (13, 39, 118):
        for loss in (0.0, 0.3):
            runs = [spread(size, loss, seed) for seed in range(seeds)]
            ticks = [tick for run in runs for tick in run[0]]
            halves = [spread_by_means(size, loss, seed) / 2 for seed in range(seeds)]
            rows.append(
                [
                    str(size),
                    f"{loss:.0%}",
                    f"{median(ticks):.0f} ({max(ticks)})",
                    f"{median(run[1] for run in runs):,.0f}",
                    f"{median(halves):.0f} ({max(halves):.0f})",
                ]
            )
    head = "members | loss | map: ticks until exact | map: bytes a member and tick"
    yield from table(f"{head} | push-sum: ticks to 1e-3", rows)


def spread(size: int, loss: float, seed: int) -> tuple[list[int], float]:
    """Return the ticks that each of some epochs took, and the bytes a member has sent in each."""
    crowd = Crowd(size, graph(size, seed), bytes_max=65_536)
    rng = np.random.default_rng(seed)
    taken: list[int] = []
    for epoch in range(1, 5):
        for k, name in enumerate(crowd.names):
            crowd.maps[k].put(Reading(name, epoch, 1.0))
        ticks = 0
        while not crowd.know(epoch):
            crowd.tick(rng, loss)
            ticks += 1
        taken.append(ticks)
    return taken, crowd.bytes_sent / sum(taken) / size


def spread_by_means(size: int, loss: float, seed: int) -> int:
    """Return the rounds until all know what one member states to a thousandth, times the members.

    That is the paper's way: each component of a vector is a sum to which one member contributes.
    """
    rng = np.random.default_rng(seed)
    network = started(graph(size, seed), rng, losing(rng, loss))
    for k, name in enumerate(network.members):
        network.set_input(name, (float(k == 0),))
    rounds = 0
    # The error is relative to the largest deviation, the mean is smaller by the members.
    while network.ratio_error > ERRORS[0] / (size - 1):
        network.tick()
        rounds += 1
    return rounds


def cost(goals: Goals) -> str:
    """Return the CPU time of a push with its arrival and acknowledgement."""
    rng = np.random.default_rng(0)
    network = started(graph(200, 0), rng)
    for _ in range(10):
        network.tick()
    start = process_time()
    for _ in range(50):
        network.tick()
    used_us = (process_time() - start) / 50 / 200 * 1e6
    goals.most("us a push", used_us, 200.0)
    return f"A push with its arrival and its acknowledgement takes {used_us:.0f} us of CPU time."


def page(sizes: dict[int, int], schedules: int, goals: Goals) -> Iterator[str]:
    """Yield the page of results."""
    yield "# Push-sum and map: rounds, faults, sizes"
    yield ""
    yield f"Made by `{COMMAND}`."
    yield f"Python {platform.python_version()}, numpy {np.__version__}. Rounds are exact and the"
    yield "same each time; only CPU time depends on the machine."
    yield ""
    yield "## Rounds until all know the mean"
    yield ""
    yield "Eight neighbours each, one push a member and round. Error: the largest of any member by"
    yield "the largest deviation of an input. To 1e-3, 1e-6: median (most) over the seeds. A crash"
    yield f"takes every tenth member at once in round {CRASH_ROUND}, is noticed {DETECTION_ROUNDS}"
    yield "rounds later, and rounds count from it. Textbook: Kempe, Dobra and Gehrke on the same"
    yield "links, without a crash."
    yield ""
    yield from speed(sizes, goals)
    yield "With 100 members, when each message and each acknowledgement takes some rounds:"
    yield ""
    yield from late(3)
    yield "## Chaos"
    yield ""
    yield "12 to 40 members, 200 rounds with 30 % loss, 10 % duplicates, delays of up to 6 rounds"
    yield "and the events below, then 400 rounds without."
    yield ""
    yield from chaos(schedules, goals)
    yield "## Message sizes"
    yield ""
    yield "The message itself, with both session numbers; the envelope of the wire comes on top."
    yield ""
    yield from sizes_on_the_wire(goals)
    yield cost(goals)
    yield ""
    yield "## News: a new value of every member"
    yield ""
    yield "Eight neighbours, two of them told each tick: two rounds of push-sum. Median (most) over"
    yield "seeds and epochs. A reading takes 17 bytes in a map. Push-sum carries a vector with one"
    yield "component a member, which would take 8 bytes for each in every message."
    yield ""
    yield from news(3)
    yield "## Goals"
    yield ""
    yield from [f"- missed: {line}" for line in goals.missed] or ["All goals are reached."]


def main() -> int:
    """Print the page; return 1 when a goal was missed."""
    quick = "--quick" in sys.argv[1:]
    goals = Goals()
    sizes = {100: 2} if quick else {100: 5, 1_000: 5, 10_000: 2}
    for line in page(sizes, 20 if quick else 1_000, goals):
        print(line, flush=True)
    return 1 if goals.missed and not quick else 0


if __name__ == "__main__":
    sys.exit(main())
