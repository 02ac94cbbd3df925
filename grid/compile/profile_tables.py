"""Which times and arrays a network's profiles hold: SimBench's tables as plain arrays by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from peercell.grid.cellfile import Profiles
from peercell.grid.compile.libraries import Table, pandas, quiet, simbench, submodule
from peercell.grid.compile.options import Span
from peercell.grid.errors import CompileError
from peercell.grid.model import Timeline, Window

Real = npt.NDArray[np.float64]
Times = npt.NDArray[np.datetime64]

# SimBench's storages share names with other tables; what is added to theirs.
STORAGE = "_storage"
BATTERY = "_battery"

_TIME_FORMAT = "%d.%m.%Y %H:%M"


@dataclass(frozen=True)
class ProfileTables:
    """Arrays by name, all over the same times; `times` are local and may skip or repeat an hour."""

    times: Times
    arrays: dict[str, Real]

    def cut(self, spans: Sequence[Span], names: set[str]) -> tuple[Timeline, Profiles]:
        """Return the timeline of some spans (none: all of it) and the named arrays over it.

        Raises
        ------
        CompileError : a span for which there are no times.
        """
        step = np.median(np.diff(self.times))
        chosen = [self._rows(span) for span in spans] or [np.arange(self.times.size)]
        rows = np.concatenate(chosen)
        # A new window starts where the clock jumps: between spans, and for daylight saving time.
        breaks = np.flatnonzero(np.diff(self.times[rows]) != step) + 1
        windows = tuple(
            Window(start=_moment(self.times[run[0]]), steps=int(run.size))
            for run in np.split(rows, breaks)
        )
        timeline = Timeline(step_s=int(step / np.timedelta64(1, "s")), windows=windows)
        arrays = {name: self.arrays[name][rows].astype(np.float32) for name in sorted(names)}
        return timeline, arrays

    def _rows(self, span: Span) -> npt.NDArray[np.int64]:
        inside = (self.times >= np.datetime64(span.start)) & (self.times < np.datetime64(span.end))
        if not inside.any():
            raise CompileError(
                f"there are no profiles in the window {span}",
                f"they run from {_moment(self.times[0])} to {_moment(self.times[-1])}",
            )
        return np.flatnonzero(inside)


def _moment(time: np.datetime64) -> datetime:
    return datetime.fromisoformat(str(time.astype("datetime64[s]")))


def storage_plant(profile: str) -> str:
    """Return the plant's profile within a storage's: "PV5" of "Storage_PV5_H0-A".

    A storage that stands for those of a whole network ("lv_rural1") has its plants' name.
    """
    return profile.split("_")[1] if profile.startswith("Storage_") else profile


def profile_tables(tables: dict[str, Table]) -> ProfileTables | None:
    """Return the profiles that a SimBench network carries, None where there are none.

    Battery profiles are made: what a storage's recorded operation leaves beside its plant's output.
    They are relative to the rating that both share, positive when the battery discharges.
    """
    full = {name: table for name, table in tables.items() if len(table.columns) > 1}
    if not full:
        return None
    arrays: dict[str, Real] = {}
    for name, table in full.items():
        tail = STORAGE if name == "storage" else ""
        for column in table.columns:
            if column != "time":
                arrays[f"{column}{tail}"] = table[column].to_numpy(np.float64)
    if "storage" in full:
        _add_batteries(arrays, [column for column in full["storage"] if column != "time"])
    return ProfileTables(_times(next(iter(full.values()))["time"]), arrays)


def _add_batteries(arrays: dict[str, Real], storages: Sequence[str]) -> None:
    plants = {storage: storage_plant(storage) for storage in storages}
    missing = sorted(set(plants.values()) - arrays.keys())
    if missing:
        # SimBench keeps only the profiles that a plant of the network uses directly.
        table = simbench_table("RESProfile")
        arrays |= {name: table[name].to_numpy(np.float64) for name in missing if name in table}
    for storage, plant in plants.items():
        if plant in arrays:
            arrays[storage + BATTERY] = arrays[storage + STORAGE] - arrays[plant]


def _times(column: Any) -> Times:
    """Return a column of times as an array, in SimBench's format or ISO 8601."""
    try:
        parsed = pandas().to_datetime(column, format=_TIME_FORMAT)
    except ValueError:
        parsed = pandas().to_datetime(column, format="ISO8601")
    return np.asarray(parsed.to_numpy("datetime64[s]"))


def simbench_table(name: str) -> Table:
    """Return one whole profile table of SimBench's scenario 2: "LoadProfile" or "RESProfile"."""
    simbench()
    extract = submodule("simbench.networks.extract_simbench_grids_from_csv")
    read = submodule("simbench.converter.read_and_write")
    with quiet():
        return read.read_csv_data(extract.complete_data_path(2), ";", name)
