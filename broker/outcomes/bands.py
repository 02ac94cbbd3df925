"""How one column of a table spreads over another one, group by group."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import click
import numpy as np
from msgspec import Struct

from peercell.agents.errors import PeercellError
from peercell.broker.outcomes.tables import Table

_BAND = re.compile(r"p(\d{1,2}|100)-p(\d{1,2}|100)")


class Band(Struct, frozen=True):
    """Two quantiles, between 0 and 1."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"p{100 * self.low:.0f} to p{100 * self.high:.0f}"


class Curve(Struct, frozen=True):
    """What a group has over x: how many values, their median and two quantiles, at each of its x.

    `label` is the value that the group shares, "" where there are no groups.
    """

    label: str
    x: tuple[Any, ...]
    count: tuple[int, ...]
    low: tuple[float, ...]
    middle: tuple[float, ...]
    high: tuple[float, ...]


class Columns(Struct, frozen=True):
    """Names of the columns to draw; `by` is "" without groups."""

    x: str
    y: str
    by: str = ""


def band(text: str) -> Band:
    """Return the quantiles of a text such as `p10-p90`."""
    found = _BAND.fullmatch(text.strip())
    if found is None or int(found[1]) > int(found[2]):
        raise click.BadParameter(f"{text!r} is no band; write it as p10-p90")
    return Band(int(found[1]) / 100.0, int(found[2]) / 100.0)


def find(tables: Mapping[str, Table], asked: Columns) -> tuple[Table, Columns]:
    """Return the first table that has all columns, and their names.

    A name may leave out its end: `residual` is `residual_eur_per_kwh`, if there is no other one.

    Raises
    ------
    PeercellError : no table has them, or one of them holds no numbers to draw.
    """
    wanted = [name for name in (asked.x, asked.y, asked.by) if name]
    for table in tables.values():
        found = [_column(table, name) for name in wanted]
        if all(found):
            if table.columns[found[1]] not in {int, float, bool}:
                raise PeercellError(f"{found[1]} has no numbers to draw")
            return table, Columns(*found)
    known = {name: None for table in tables.values() for name in table.columns}
    for name in wanted:
        if not any(_column(table, name) for table in tables.values()):
            close = get_close_matches(name, known, n=1)
            meant = f' (did you mean "{close[0]}"?)' if close else ""
            raise PeercellError(f'there is no column "{name}"{meant}', f"there are {_list(known)}")
    raise PeercellError(
        f"no table has {_list(wanted)} together",
        "; ".join(f"{name} has {_list(table.columns)}" for name, table in tables.items()),
    )


def curves(table: Table, columns: Columns, band: Band) -> Iterator[Curve]:
    """Yield a curve for each group, in the order of their values.

    Over rounds an interval that has ended keeps its last value: it would leave those that take
    longest among themselves otherwise.
    """
    groups: dict[Any, dict[Any, list[float]]] = {}
    for row in _carried(table.rows) if columns.x == "round" else table.rows:
        x, y = row[columns.x], row[columns.y]
        if x is not None and y is not None:
            group = groups.setdefault(row[columns.by] if columns.by else "", {})
            group.setdefault(x, []).append(float(y))
    for label in sorted(groups, key=_order):
        values = groups[label]
        at = sorted(values, key=_order)
        spread = np.array(
            [np.quantile(values[x], (band.low, 0.5, band.high)) for x in at], np.float64
        )
        low, middle, high = (tuple(each.tolist()) for each in spread.T)
        count = tuple(len(values[x]) for x in at)
        yield Curve(str(label), tuple(at), count, low, middle, high)


def _carried(rows: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield rows of rounds, with the last one of each interval again up to the last of all."""
    ends: dict[tuple[int, int], Mapping[str, Any]] = {}
    for row in rows:
        yield row
        interval = row.get("run", 0), row["interval"]
        if row["round"] >= ends.get(interval, row)["round"]:
            ends[interval] = row
    last = max((row["round"] for row in ends.values()), default=0)
    for row in ends.values():
        for number in range(row["round"] + 1, last + 1):
            yield {**row, "round": number}


def _column(table: Table, name: str) -> str:
    """Return the column of a table that is meant; empty for none."""
    if name in table.columns:
        return name
    longer = [column for column in table.columns if column.startswith(f"{name}_")]
    return longer[0] if len(longer) == 1 else ""


def _order(value: Any) -> tuple[bool, Any]:
    """Return what puts numbers before texts."""
    return isinstance(value, str), value


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
