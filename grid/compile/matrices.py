"""What pandapower itself calculates with: the pi section behind every branch and tap position.

The only module that knows private names of pandapower (the branch matrix that its conversion
leaves behind, and the lookup of its rows); `check` guards against their change.
"""

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from peercell.grid.compile.libraries import (
    Net,
    Table,
    number,
    pandapower,
    pandas,
    quiet,
    submodule,
    text,
    tidy,
)
from peercell.grid.errors import CompileError
from peercell.grid.model import Tap

_BRANCH_TABLES = ("line", "trafo", "trafo3w", "impedance")
_WINDINGS = ("hv", "mv", "lv")

# A tap that differs less from the next than this is the same tap: the changer has no effect.
_SAME = 1e-12


@dataclass(frozen=True)
class Pi:
    """A pi section with an ideal transformer at its from side; ohms referred to the to bus."""

    r_ohm: float
    x_ohm: float
    g_siemens: float
    b_siemens: float
    ratio: float
    shift_deg: float

    def tap(self, position: int) -> Tap:
        """Return the section as one row of a tap table."""
        return Tap(
            position=position,
            ratio=self.ratio,
            shift_deg=self.shift_deg,
            r_ohm=self.r_ohm,
            x_ohm=self.x_ohm,
            g_siemens=self.g_siemens,
            b_siemens=self.b_siemens,
        )


@dataclass(frozen=True)
class TapTable:
    """The positions of one changer, and which of them pandapower applies."""

    taps: tuple[Tap, ...]
    position: int
    # The position that the data state, where pandapower leaves it unused.
    unused_position: int | None = None


class Matrices:
    """The pi sections of a network, in the order of its tables.

    Parameters
    ----------
    net : the network; it is copied, not changed.

    Raises
    ------
    CompileError : pandapower cannot convert the network, or a section has two unequal halves.
    """

    def __init__(self, net: Net) -> None:
        self._bare = _bare(net)
        self._convert()
        sections = self._sections()
        self.lines = sections["line"]
        self.impedances = sections["impedance"]
        self.switches = dict(zip(self._bare.switch.index.tolist(), sections["switch"], strict=True))
        self.transformers = self._tap_tables("trafo", 1)
        self.windings = self._tap_tables("trafo3w", len(_WINDINGS))

    def _convert(self) -> None:
        """Run pandapower's own conversion, as its power flow does with the default options."""
        auxiliary, conversion = submodule("pandapower.auxiliary"), submodule("pandapower.pd2ppc")
        self._bare["_options"] = {}
        auxiliary._add_ppc_options(  # noqa: SLF001 - there is no public way to the branch matrix
            self._bare,
            mode="pf",
            calculate_voltage_angles=True,
            trafo_model="t",
            check_connectivity=False,
            switch_rx_ratio=2,
            init_vm_pu="flat",
            init_va_degree="flat",
            enforce_q_lims=False,
            enforce_p_lims=False,
            recycle=None,
        )
        try:
            with quiet():
                ppc, _ = conversion._pd2ppc(self._bare)  # noqa: SLF001 - as above
        except (ValueError, KeyError, TypeError, UserWarning, FloatingPointError) as error:
            raise CompileError("pandapower cannot convert the network", str(error)) from error
        self._branch = ppc["branch"].real

    def _sections(self) -> dict[str, list[Pi]]:
        """Return the pi sections of the last conversion by table."""
        rows = self._bare["_pd2ppc_lookups"]["branch"]
        return {
            table: self._table(table, *rows[table]) if table in rows else []
            for table in (*_BRANCH_TABLES, "switch")
        }

    def _table(self, table: str, first: int, last: int) -> list[Pi]:
        columns = submodule("pandapower.pypower.idx_brch")
        branch = self._branch[first:last]
        self._refuse_halves(table, branch, columns)
        ohm = self._to_kv(table) ** 2 / self._bare.sn_mva
        parts = (
            branch[:, columns.BR_R] * ohm,
            branch[:, columns.BR_X] * ohm,
            branch[:, columns.BR_G] / ohm,
            branch[:, columns.BR_B] / ohm,
            np.where(branch[:, columns.TAP] == 0.0, 1.0, branch[:, columns.TAP]),
            _half_turn(branch[:, columns.SHIFT]),
        )
        return [Pi(*(tidy(value) for value in row)) for row in zip(*parts, strict=True)]

    def _refuse_halves(self, table: str, branch: npt.NDArray[np.float64], columns: Table) -> None:
        """Raise CompileError where the two halves of a section differ: the model has one value."""
        pairs = (
            (columns.BR_R_ASYM, columns.BR_R), (columns.BR_X_ASYM, columns.BR_X),
            (columns.BR_G_ASYM, columns.BR_G), (columns.BR_B_ASYM, columns.BR_B),
        )  # fmt: skip
        for difference, value in pairs:
            uneven = np.abs(branch[:, difference]) > 1e-9 * np.abs(branch[:, value])
            if uneven.any():
                position = int(np.flatnonzero(uneven)[0]) % len(self._bare[table])
                raise CompileError(
                    f"{table} {self._bare[table].index[position]} has two unequal halves",
                    "its parameters differ between the two ends, a cell's branches are symmetric",
                    f"set the same values at both ends in net.{table}",
                )

    def _to_kv(self, table: str) -> npt.NDArray[np.float64]:
        """Return the nominal voltage at the to side of each section of a table."""
        frame, kv = self._bare[table], self._bare.bus["vn_kv"]
        sides = {
            "line": ["to_bus"],
            "trafo": ["lv_bus"],
            # pandapower's auxiliary star bus has the voltage of the high-voltage bus.
            "trafo3w": ["hv_bus", "mv_bus", "lv_bus"],
            "impedance": ["to_bus"],
            "switch": ["element"],
        }[table]
        return np.concatenate([kv.loc[frame[side]].to_numpy(np.float64) for side in sides])

    def _tap_tables(self, table: str, windings: int) -> list[TapTable]:
        """Return one tap table a transformer (or winding), by converting at every position."""
        frame = self._bare[table]
        given = frame["tap_pos"].tolist()
        changers = [_changer(row) for row in frame.to_dict("records")]
        if "tap_changer_type" in frame:
            types = zip(frame["tap_changer_type"].tolist(), changers, strict=True)
            kinds = ["Ratio" if changer.sleeps else kind for kind, changer in types]
            frame["tap_changer_type"] = pandas().Series(kinds, frame.index, dtype=object)
        rows: list[dict[int, Pi]] = [{} for _ in range(windings * len(frame))]
        for step in range(max((len(changer.positions) for changer in changers), default=0)):
            now = [changer.positions[min(step, len(changer.positions) - 1)] for changer in changers]
            frame["tap_pos"] = [
                position if changer.moves else old
                for position, changer, old in zip(now, changers, given, strict=True)
            ]
            self._convert()
            for place, section in enumerate(self._sections()[table]):
                rows[place][now[place % len(frame)]] = section
        return [_tap_table(row, changers[place % len(frame)]) for place, row in enumerate(rows)]


def _bare(net: Net) -> Net:
    """Return a copy of the branches alone, all in service, every switch gone but those with z."""
    with quiet():
        bare = copy.deepcopy(net)
        for name, table in net.items():
            if isinstance(table, pandas().DataFrame) and "in_service" in table:
                if name in ("bus", *_BRANCH_TABLES):
                    bare[name]["in_service"] = True
                else:
                    bare[name] = table.iloc[:0].copy()
        switch = bare.switch
        bare.switch = switch[(switch["et"] == "b") & (switch["z_ohm"] > 0)].copy()
        bare.switch["closed"] = True
        pandapower().create_ext_grid(bare, bare.bus.index[0])
    return bare


def _half_turn(degree: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return angles within (-180, 180]."""
    return np.asarray(180.0 - np.mod(180.0 - degree, 360.0))


@dataclass(frozen=True)
class _Changer:
    """The tap changer of one row of a transformer table."""

    positions: tuple[int, ...] = (0,)
    position: int = 0
    moves: bool = False
    sleeps: bool = False
    unused_position: int | None = None


def _changer(row: dict[str, object]) -> _Changer:
    """Return the changer of a transformer.

    pandapower 3 ignores the position of a changer whose `tap_changer_type` is empty, which is so in
    every network of SimBench 1.6 (its issue 69). Such a changer *sleeps*: as a ratio changer it has
    a table, and standing at neutral it leaves pandapower's result as it is.
    """
    low, high, now = (number(row.get(f"tap_{end}"), np.nan) for end in ("min", "max", "pos"))
    if not np.isfinite([low, high, now]).all() or now != round(now):
        return _Changer()
    position, unused = round(now), None
    sleeps = (
        text(row.get("tap_changer_type")) not in ("Ratio", "Symmetrical", "Ideal", "Tabular")
        and not row.get("tap_dependency_table")
        and text(row.get("tap_side")) in _WINDINGS
        and number(row.get("tap_step_percent")) != 0.0
    )
    if sleeps:
        position = round(number(row.get("tap_neutral")))
        unused = round(now) if round(now) != position else None
    ends = range(min(round(low), position), max(round(high), position) + 1)
    return _Changer(tuple(ends), position, moves=True, sleeps=sleeps, unused_position=unused)


def _tap_table(rows: dict[int, Pi], changer: _Changer) -> TapTable:
    """Return a table; of one row where the position changes nothing at this transformer."""
    values = np.array([(s.r_ohm, s.x_ohm, s.ratio, s.shift_deg) for s in rows.values()])
    if np.ptp(values, axis=0).max() <= _SAME * np.abs(values).max():
        return TapTable((rows[changer.position].tap(changer.position),), changer.position)
    taps = tuple(section.tap(position) for position, section in sorted(rows.items()))
    return TapTable(taps, changer.position, changer.unused_position)
