"""Profiles of a user's own: one CSV file, `time,load-4.p_kw,load-4.q_kvar,…`, into a cell.

Times are ISO 8601 and local, one interval apart throughout; values are kW and kvar, positive where
the asset feeds the grid, so a load's are negative.
"""

import csv
import io
import math
from collections.abc import Container, Sequence
from datetime import datetime
from itertools import pairwise

import numpy as np
from msgspec import structs

from peercell.grid.cellfile import Profiles
from peercell.grid.check import Remark
from peercell.grid.compile.options import Read, Span
from peercell.grid.compile.profile_tables import ProfileTables
from peercell.grid.errors import CompileError
from peercell.grid.model import Asset, AssetKind, Cell
from peercell.grid.nearest import unknown

_UNITS = ("p_kw", "q_kvar")
_CONSUMERS = (AssetKind.LOAD, AssetKind.EV, AssetKind.HEAT_PUMP)


def read_file(path: str, read: Read) -> ProfileTables:
    """Return the profiles in a CSV file; arrays are named as their columns.

    Raises
    ------
    CompileError : the file cannot be read, has a missing or odd header, a row of another length, a
        gap, a value that is no number, or times that are not one interval apart; with its line.
    """
    try:
        return read_profiles(read(path).decode(), path)
    except OSError as error:
        raise CompileError(f"{path} cannot be read", error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise CompileError(f"{path} is not a text file", "it is not UTF-8") from None


def read_profiles(text: str, origin: str) -> ProfileTables:
    """Return the profiles in the text of a CSV file, see `read_file`."""
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    if len(rows) < 3 or not rows[0] or rows[0][0].strip() != "time":
        raise CompileError(
            f"{origin} has no profiles",
            "it needs a header `time,<asset>.p_kw,<asset>.q_kvar,…` and at least two rows",
        )
    columns = [name.strip() for name in rows[0][1:]]
    _check_columns(columns, origin)
    values = np.array(
        [_values(row, columns, f"{origin}:{line}") for line, row in enumerate(rows[1:], start=2)]
    )
    times = [_time(row[0], f"{origin}:{line}") for line, row in enumerate(rows[1:], start=2)]
    _check_interval(times, origin)
    return ProfileTables(
        np.array(times, "datetime64[s]"),
        {name: values[:, place] for place, name in enumerate(columns)},
    )


def _check_columns(columns: Sequence[str], origin: str) -> None:
    for place, column in enumerate(columns):
        unit = column.rpartition(".")[2]
        if unit not in _UNITS:
            raise CompileError(
                f'{origin}:1 has the column "{column}"',
                f"its unit is {unit}, profiles are in kW and kvar",
                "name columns <asset>.p_kw and <asset>.q_kvar, and convert the values",
            )
        if column in columns[:place]:
            raise CompileError(f'{origin}:1 has the column "{column}" twice')


def _values(row: Sequence[str], columns: Sequence[str], place: str) -> list[float]:
    if len(row) != len(columns) + 1:
        raise CompileError(f"{place} has {len(row)} fields", f"the header has {len(columns) + 1}")
    found = []
    for column, field in zip(columns, row[1:], strict=True):
        try:
            value = float(field)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            gap = "a gap" if not field.strip() else f'"{field}", which is no number'
            raise CompileError(
                f"{place} has {gap} in {column}",
                fix="fill gaps before compiling: every step counts",
            )
        found.append(value)
    return found


def _time(field: str, place: str) -> datetime:
    try:
        moment = datetime.fromisoformat(field.strip())
    except ValueError:
        raise CompileError(
            f'{place} has the time "{field}"', "it is not ISO 8601", "2016-05-28T12:00"
        ) from None
    if moment.tzinfo is not None:
        raise CompileError(
            f'{place} has the time "{field}"',
            "it has a time zone, profiles are in local time",
            field.strip()[:16],
        )
    return moment


def _check_interval(times: Sequence[datetime], origin: str) -> None:
    step = times[1] - times[0]
    seconds = step.total_seconds()
    if not 1 <= seconds <= 86_400 or seconds != int(seconds):
        raise CompileError(
            f"{origin}:3 comes {seconds:g} s after the row before",
            "an interval is 1 s to 1 day, in whole seconds",
        )
    for line, (before, after) in enumerate(pairwise(times), start=3):
        if after - before != step:
            gap_s = (after - before).total_seconds()
            raise CompileError(
                f"{origin}:{line} comes {gap_s:g} s after the row before",
                f"the first rows are {seconds:g} s apart, {before} is followed by {after}",
                "give every interval one row",
            )


def with_profiles(
    cell: Cell, tables: ProfileTables, spans: Sequence[Span]
) -> tuple[Cell, Profiles, list[Remark]]:
    """Return a cell whose assets follow the arrays `<asset>.p_kw`, `<asset>.q_kvar`.

    Raises
    ------
    UnknownElementError : an array names an asset that the cell does not have.
    CompileError : a span for which there are no times.
    """
    assets = {asset.id: asset for asset in cell.assets}
    found = []
    for name, values in tables.arrays.items():
        asset = assets.get(name.rpartition(".")[0])
        if asset is None:
            raise unknown("asset", name.rpartition(".")[0], assets)
        if name.endswith(".p_kw") and asset.kind in _CONSUMERS and values.min() > 0.0:
            found.append(
                Remark(asset.id, "its profile always feeds the grid: positive means injection")
            )
    timeline, profiles = tables.cut(spans, set(tables.arrays))
    people = tuple(
        structs.replace(one, assets=tuple(_follow(asset, profiles) for asset in one.assets))
        for one in cell.customers
    )
    return structs.replace(cell, customers=people, timeline=timeline), profiles, found


def _follow(asset: Asset, names: Container[str]) -> Asset:
    """Return an asset whose profiles are its columns, in kW and kvar themselves."""
    p, q = (f"{asset.id}.{unit}" for unit in _UNITS)
    if p in names:
        asset = structs.replace(asset, p_profile=p, p_profile_kw=1.0)
    if q in names:
        asset = structs.replace(asset, q_profile=q, q_profile_kvar=1.0)
    return asset
