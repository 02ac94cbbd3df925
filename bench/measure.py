"""What every measurement needs: CPU time of calls that take turns, goals, tables."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from time import process_time

BLOCK_S = 0.004
DRAWS = 64

Query = Callable[[int], object]


@dataclass
class Goals:
    """What was promised and what was missed."""

    missed: list[str] = field(default_factory=list)

    def least(self, name: str, found: float, goal: float) -> None:
        """Note a ratio that is smaller than its goal."""
        if not found >= goal:
            self.missed.append(f"{name}: {found:.2f}, the goal is at least {goal:g}")

    def most(self, name: str, found: float, goal: float) -> None:
        """Note a number that is larger than its goal."""
        if not found <= goal:
            self.missed.append(f"{name}: {found:.3g}, the goal is at most {goal:g}")


def cpu_us(queries: Mapping[str, Query], rounds: int) -> dict[str, float]:
    """Return the median CPU time of a call in microseconds; the queries take turns."""
    counts = {}
    for name, query in queries.items():
        query(0)
        start = process_time()
        query(1)
        counts[name] = max(1, int(BLOCK_S / max(process_time() - start, 1e-6)))
    found: dict[str, list[float]] = {name: [] for name in queries}
    for turn in range(rounds):
        for name, query in queries.items():
            start = process_time()
            for call in range(counts[name]):
                query((turn + call) % DRAWS)
            found[name].append((process_time() - start) / counts[name] * 1e6)
    return {name: median(times) for name, times in found.items()}


def table(head: str, rows: list[list[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    columns = head.split(" | ")
    yield f"| {head} |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""
