"""Ten thousand cells that are hurt by chance, on two processes: what a release has to get through.

Each seed hurts six traders and sixteen members of a gossip for half a minute, heals them, and waits
until they have settled at the optimum and found the mean. Run from the checkout; prints a page of
Markdown, and ends with code 1 when a seed has found something:

    OPENBLAS_NUM_THREADS=1 PYTHONPATH=src:. python -m bench.seeds > docs/results/seeds.md

With --first and --count it runs these alone, which is how a seed is repeated.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from multiprocessing import get_context
from statistics import median
from time import perf_counter, process_time

from bench.measure import made_by, table
from tests.broker.fault_seeds import (
    GOSSIP_ROUNDS_P99,
    SLACK,
    TRADE_ROUNDS_P99,
    gossip,
    trade,
)

COMMAND = "env OPENBLAS_NUM_THREADS=1 python -m bench.seeds"
PROCESSES = 2
EVERY = 500

Outcome = tuple[int, int, int, str, float]
"""Seed, rounds of the traders and of the gossip after they were healed, what it found, CPU s."""


def outcome(seed: int) -> Outcome:
    begun_s = process_time()
    found = []
    rounds = [0, 0]
    for place, run in enumerate((trade, gossip)):
        try:
            rounds[place] = run(seed)
        except AssertionError as error:
            found.append(str(error))
    return seed, rounds[0], rounds[1], "\n".join(found), process_time() - begun_s


def outcomes(first: int, count: int) -> Iterator[Outcome]:
    seeds = range(first, first + count)
    if count < EVERY:
        yield from map(outcome, seeds)
        return
    begun_s = perf_counter()
    with get_context("spawn").Pool(PROCESSES) as pool:
        for done, each in enumerate(pool.imap_unordered(outcome, seeds, chunksize=20), start=1):
            if done % EVERY == 0:
                rate = done / (perf_counter() - begun_s)
                left_s = (count - done) / rate
                print(f"{done} of {count}, about {left_s:.0f} s left", file=sys.stderr, flush=True)
            yield each


def page(found: list[Outcome], took_s: float) -> Iterator[str]:
    broken = [each for each in found if each[3]]
    yield "# Cells that are hurt by chance"
    yield ""
    yield "How a seed hurts is in [tests/broker/fault_seeds.py](../../tests/broker/fault_seeds.py)."
    yield "In every fourth a trader that keeps its memory also lies about its price for"
    yield "a while: what is certified meanwhile is the best for what was said, and nobody but the"
    yield "liar may then be in a dispute."
    yield ""
    yield from made_by(COMMAND, ("mesa", "msgspec"))
    yield f"{len(found):,} seeds took {took_s:.0f} s on {PROCESSES} processes,"
    yield f"{1000.0 * sum(each[4] for each in found) / len(found):.0f} ms of CPU time a seed."
    yield ""
    rows = []
    for name, place, limit in (
        ("traders, to settle at most 1e-6 above the optimum", 1, SLACK * TRADE_ROUNDS_P99),
        ("gossip, to the mean within 1e-5", 2, SLACK * GOSSIP_ROUNDS_P99),
    ):
        rounds = sorted(each[place] for each in found)
        p99 = rounds[int(0.99 * (len(rounds) - 1))]
        rows.append([name, f"{median(rounds):.0f}", str(p99), str(rounds[-1]), str(limit)])
    yield from table("rounds after the heal | median | p99 | most | allowed", rows)
    yield ""
    yield f"Seeds that found something: {len(broken)}."
    for each in broken:
        yield f"\n```\n{each[3]}\n```"


def main() -> int:
    parser = ArgumentParser()
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=10_000)
    given = parser.parse_args()
    begun_s = perf_counter()
    found = sorted(outcomes(given.first, given.count))
    for line in page(found, perf_counter() - begun_s):
        print(line)
    return 1 if any(each[3] for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
