"""How a check reads: what holds, what does not, and the command that repeats it."""

from collections.abc import Sequence

from msgspec import Struct

from peercell.broker.conformance.check import Report, check_role
from peercell.broker.conformance.properties import PROPERTIES
from peercell.broker.conformance.worker import Finding
from peercell.broker.terminal.output import Answer
from peercell.grid.nearest import unknown

DEFAULT_SCHEDULES = 500
FAILED = 1
_COLUMNS = ("property", "holds", "schedules", "seed", "why", "repeat")


class PropertyRow(Struct, frozen=True, kw_only=True):
    """What came of a property; `holds` is None where it could not be asked."""

    property: str
    holds: bool | None
    schedules: int
    seed: int | None
    why: str
    repeat: str


def report_of(reference: str, name: str | None, seed: int, schedules: int) -> Answer:
    """Return the answer of a check.

    Parameters
    ----------
    reference : "module:name" of the role
    name : of the one property that is asked for; None for all
    seed : of the first schedule
    schedules : how many in all

    Raises
    ------
    PeercellError : there is no such role or property.
    """
    if name is not None and name not in PROPERTIES:
        raise unknown("property", name, PROPERTIES)
    report = check_role(reference, [name] if name else list(PROPERTIES), seed, schedules)
    rows = [_row(reference, found) for found in report.findings]
    sound = all(row.holds for row in rows)
    data = {
        "role": reference,
        "schedules": report.schedules,
        "sound": sound,
        "compared": report.facts,
        "properties": rows,
    }
    plain = [{key: getattr(row, key) for key in _COLUMNS} for row in rows]
    hint = "" if report.facts else "no peer records a fact: faults were checked for failures only"
    return Answer(data, plain, _COLUMNS, _text(report, rows), hint, 0 if sound else FAILED)


def _row(reference: str, found: Finding) -> PropertyRow:
    repeat = f"peercell agent check {reference} --property {found.name}"
    if found.seed is not None:
        repeat += f" --seed {found.seed}"
    return PropertyRow(
        property=found.name,
        holds=found.holds,
        schedules=found.schedules,
        seed=found.seed,
        why=found.why,
        repeat="" if found.holds else repeat,
    )


def _text(report: Report, rows: Sequence[PropertyRow]) -> str:
    """Return the counts in a line, and two lines for each property that does not hold."""
    holding = sum(row.holds is True for row in rows)
    unasked = sum(row.holds is None for row in rows)
    some = "all" if holding == len(rows) else f"{holding:,}"
    properties = "1 property" if len(rows) == 1 else f"{len(rows)} properties"
    lines = [
        f"{properties}, {report.schedules:,} generated schedules: {some} hold"
        + (f", {unasked} could not be asked" if unasked else "")
    ]
    for row in rows:
        if row.holds is False:
            lines += [f"FAILS {row.property}: {row.why}", f"      repeat with: {row.repeat}"]
    return "\n".join(lines)
