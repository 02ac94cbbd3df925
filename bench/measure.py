"""What every measurement needs: CPU time of calls that take turns, goals, tables."""

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from statistics import median
from time import process_time

BLOCK_S = 0.004
DRAWS = 64

Query = Callable[[int], object]


@dataclass
class Goals:
    """What was promised, what was reached and what was missed."""

    missed: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def least(self, name: str, found: float, goal: float) -> None:
        """Note a number that shall not be smaller than its goal."""
        if not found >= goal:
            self.missed.append(f"{name}: {found:.2f}, the goal is at least {goal:g}")
        self._note(name, f"at least {goal:g}", found, is_reached=found >= goal)

    def most(self, name: str, found: float, goal: float) -> None:
        """Note a number that shall not be larger than its goal."""
        if not found <= goal:
            self.missed.append(f"{name}: {found:.3g}, the goal is at most {goal:g}")
        self._note(name, f"at most {goal:g}", found, is_reached=found <= goal)

    def _note(self, name: str, goal: str, found: float, *, is_reached: bool) -> None:
        self.rows.append([name, goal, f"{found:.3g}", "" if is_reached else "missed"])

    def table(self) -> Iterator[str]:
        """Yield each goal beside what was reached."""
        yield "## Goals"
        yield ""
        yield from table("what | goal | reached | ", self.rows)


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


def made_by(command: str, packages: Sequence[str]) -> Iterator[str]:
    """Yield the lines that say how, where and when a page was made."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    nice = f"nice -n {os.nice(0)} " if os.nice(0) else ""
    yield f"Made by `PYTHONPATH=src:. {nice}{command}`."
    yield f"{os.cpu_count()} cores shared with others, load {os.getloadavg()[0]:.1f} at the start;"
    yield f"Python {platform.python_version()}, {versions}."
    yield "Ratios are of one run; absolute numbers depend on the hour."
    yield ""


def table(head: str, rows: list[list[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    columns = head.split(" | ")
    yield f"| {head} |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""
