"""What `peercell grid check` finds: slips in the cell file with their line, and the power flow."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence

from peercell.broker.cells import LoadedCell
from peercell.grid.check import Remark, remarks
from peercell.grid.feeder import Feeder
from peercell.grid.model import Record
from peercell.grid.profiles import power_at
from peercell.grid.study import operating_point, powers_at, solve_all
from peercell.grid.summary import Summary, summary

_STEPS_AT_ONCE = 96


class Slip(Record, frozen=True):
    """Something to look at: `where` is file:line of the first of the `elements`."""

    elements: tuple[str, ...]
    where: str
    text: str


class CellCheck(Record, frozen=True):
    """A checked cell: what was understood, what looks wrong, how the power flow converges.

    `iterations` is for the nominal powers, `iterations_steps` the most of any profile row (None
    without profiles).
    """

    summary: Summary
    warnings: tuple[Slip, ...]
    converged: bool
    iterations: int
    iterations_steps: int | None


def slips(loaded: LoadedCell, feeder: Feeder) -> tuple[Slip, ...]:
    """Return what looks wrong in a cell file, equal remarks together."""
    path = loaded.folder / "cell.json"
    lines = path.read_text().splitlines()
    return tuple(
        Slip(elements=elements, where=f"{path}:{_line_of(elements[0], lines)}", text=text)
        for text, elements in _grouped([*remarks(loaded.cell), *_unfed(feeder)])
    )


def _grouped(found: Iterable[Remark]) -> list[tuple[str, tuple[str, ...]]]:
    """Return each text of the remarks once, with the elements that it is about."""
    elements = defaultdict(list)
    for remark in found:
        elements[remark.text].append(remark.element)
    return [(text, tuple(names)) for text, names in elements.items()]


def remark_lines(found: Iterable[Remark]) -> list[str]:
    """Return remarks as lines, equal ones together."""
    return [f"{_names(elements)}: {text}" for text, elements in _grouped(found)]


def _names(elements: Sequence[str]) -> str:
    more = f" and {len(elements) - 1} more" if len(elements) > 1 else ""
    return f'"{elements[0]}"{more}'


def _unfed(feeder: Feeder) -> Iterable[Remark]:
    """Yield the buses without a source."""
    return (Remark(bus, cause) for bus, cause in feeder.dead.items())


def _line_of(element: str, lines: list[str]) -> int:
    """Return the number of the first line that holds an element's id; 1 when none does."""
    wanted = f'"id":{json.dumps(element)}'
    return next(
        (n for n, line in enumerate(lines, start=1) if wanted in line.replace('": "', '":"')), 1
    )


def slip_text(slip: Slip) -> str:
    """Return a slip in one line."""
    return f"{slip.where}: {_names(slip.elements)}: {slip.text}"


def check_cell(loaded: LoadedCell, feeder: Feeder, warnings: tuple[Slip, ...]) -> CellCheck:
    """Return the check of a cell whose power flow converges everywhere.

    Raises
    ------
    CollapseError : it does not, at nominal power or at a row of the profiles, which is named.
    """
    point = operating_point(feeder, *powers_at(feeder, loaded.profiles, None))
    return CellCheck(
        summary=summary(loaded.cell, loaded.profiles),
        warnings=warnings,
        converged=True,
        iterations=point.iterations,
        iterations_steps=_iterations_steps(loaded, feeder),
    )


def _iterations_steps(loaded: LoadedCell, feeder: Feeder) -> int | None:
    """Return the most iterations that any row of the profiles takes."""
    timeline = loaded.cell.timeline
    most = None
    for first in range(0, timeline.steps, _STEPS_AT_ONCE):
        rows = range(first, min(first + _STEPS_AT_ONCE, timeline.steps))
        p_kw, q_kvar = power_at(loaded.cell, loaded.profiles, rows)
        solved = solve_all(feeder, p_kw, q_kvar, [timeline.time(row) for row in rows])
        most = max(most or 0, solved.iterations)
    return most
