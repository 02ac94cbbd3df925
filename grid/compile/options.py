"""What a user may ask of a compilation, and what comes out of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from peercell.grid.cellfile import Profiles
from peercell.grid.check import Remark
from peercell.grid.errors import CompileError
from peercell.grid.model import Cell

Read = Callable[[str], bytes]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Span:
    """A stretch of local time of the profiles, from `start` until just before `end`."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{_short(self.start)}/{_short(self.end)}"


def _short(moment: datetime) -> str:
    return moment.isoformat("T", "minutes")


def parse_span(text: str) -> Span:
    """Return the span that `2016-05-23/2016-05-29` names; a bare end date is included.

    Raises
    ------
    CompileError : not two dates or times with a slash between, or an end before the start.
    """
    first, slash, last = text.partition("/")
    try:
        start, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    except ValueError:
        raise _bad_span(text) from None
    if re.fullmatch(r"\d{4}-\d\d-\d\d", last.strip()):
        end += timedelta(days=1)
    if not slash or end <= start:
        raise _bad_span(text)
    return Span(start, end)


def _bad_span(text: str) -> CompileError:
    return CompileError(
        f'"{text}" is not a window',
        "a window is two dates, the first before the second",
        "--window 2016-05-23/2016-05-29",
    )


@dataclass(frozen=True)
class CompileOptions:
    """How to turn a network into a cell.

    Attributes
    ----------
    name, title : of the cell; empty: taken from the source.
    pv_scale : multiplies the power and rating of every PV plant without a battery.
    windows : which stretches of the profiles to keep; none keeps all.
    generators_as_injections : freeze voltage-holding generators at the Q that pandapower finds.
    standard_profiles : give loads and PV without a profile one of SimBench's, see `standard`.
    csv_profiles : name of a file with profiles of the user's own, see `csv_profiles`.
    """

    name: str = ""
    title: str = ""
    pv_scale: float = 1.0
    windows: tuple[Span, ...] = ()
    generators_as_injections: bool = False
    standard_profiles: bool = False
    csv_profiles: str = ""


@dataclass(frozen=True)
class Agreement:
    """How far our solution of the cell is from pandapower's of the network.

    `point` says which operating point both solved.
    """

    difference_pu: float
    bus: str
    point: str


@dataclass(frozen=True)
class Compiled:
    """A cell with its profiles, what was odd on the way, and how well it agrees."""

    cell: Cell
    profiles: Profiles
    warnings: tuple[Remark, ...]
    agreement: Agreement
