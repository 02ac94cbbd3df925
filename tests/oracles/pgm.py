"""power-grid-model as an oracle: a cell becomes its input straight from ohms, ratings and taps."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from power_grid_model import (
    BranchSide,
    CalculationMethod,
    LoadGenType,
    PowerGridModel,
    WindingType,
    initialize_array,
)
from tests.oracles.fused import (
    FREQUENCY_HZ,
    PHASES,
    Solution,
    constant_power_share,
    groups,
    is_connected,
    placed_assets,
    tap_of,
    two_ended,
)

from peercell.grid.admittance import Index, Real
from peercell.grid.model import Asset, Branch, Cell, Source, Transformer, WindingGroup

_STIFF_VA = 1e20
_UNLIMITED = 1e9
_SHARES = (LoadGenType.const_power, LoadGenType.const_impedance, LoadGenType.const_current)
_Row = dict[str, Any]


class PowerGridModelOracle:
    """A cell in power-grid-model, solved at the switch states and taps of the cell file."""

    name = "PGM"

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.symmetric = cell.phases == 1
        self._group = groups(cell)
        self._next = max(self._group.values()) + 1
        self._ends: dict[str, tuple[str, int]] = {}
        self._generator = "sym_gen" if self.symmetric else "asym_gen"
        rows: dict[str, list[_Row]] = {"node": self._nodes()}
        for element, first, second in two_ended(cell):
            kind, row = self._element(element, first, second)
            self._ends[element.id] = (kind, len(rows.setdefault(kind, [])))
            rows[kind].append(row)
        rows["source"] = [self._source(source) for source in cell.sources]
        self._parts = [
            (number, kind)
            for number, asset in enumerate(cell.assets)
            for kind in _SHARES
            if kind is LoadGenType.const_power or any(_share(asset, kind))
        ]
        rows[self._generator] = self._generators()
        self.model: Any = PowerGridModel(
            {kind: _array(kind, entries) for kind, entries in rows.items() if entries},
            system_frequency=FREQUENCY_HZ,
        )
        self._first_generator = rows[self._generator][0]["id"] if rows[self._generator] else 0

    def update(self, assets: Index, p_kw: Real, q_kvar: Real) -> dict[str, Any]:
        """Return an update of the powers of some constant-power assets, (…, assets) in kW, kvar."""
        rows = initialize_array("update", self._generator, p_kw.shape)
        position = {number: at for at, (number, _) in enumerate(self._parts)}
        rows["id"] = self._first_generator + np.array([position[number] for number in assets])
        if self.symmetric:
            rows["p_specified"], rows["q_specified"] = p_kw * 1e3, q_kvar * 1e3
        else:
            split = np.stack([self._split(self.cell.assets[number]) for number in assets])
            rows["p_specified"] = p_kw[..., None] * split * 1e3
            rows["q_specified"] = q_kvar[..., None] * split * 1e3
        return {self._generator: rows}

    def solve(self, p_kw: Real, q_kvar: Real) -> Solution:
        """Return the state for the power of every asset."""
        result = self.calculate(self._all_powers(p_kw, q_kvar), error_tolerance=1e-10)
        return self._solution(result)

    def calculate(
        self,
        update: dict[str, Any] | None = None,
        *,
        method: CalculationMethod = CalculationMethod.newton_raphson,
        error_tolerance: float = 1e-8,
        outputs: dict[str, list[str]] | None = None,
    ) -> dict[str, Any]:
        """Apply an update for good and return what power-grid-model answers."""
        if update is not None:
            self.model.update(update_data=update)
        answer: dict[str, Any] = self.model.calculate_power_flow(
            symmetric=self.symmetric,
            error_tolerance=error_tolerance,
            max_iterations=100,
            calculation_method=method,
            output_component_types=outputs,
        )
        return answer

    def calculate_batch(
        self, update: dict[str, Any], method: CalculationMethod, outputs: dict[str, list[str]]
    ) -> dict[str, Any]:
        """Return the answers to a batch of updates, none of which stays."""
        answer: dict[str, Any] = self.model.calculate_power_flow(
            symmetric=self.symmetric,
            update_data=update,
            calculation_method=method,
            output_component_types=outputs,
            max_iterations=100,
        )
        return answer

    def rows_of(self, buses: Sequence[str]) -> list[int]:
        """Return where the outputs of nodes hold each bus."""
        return [self._group[bus] for bus in buses]

    @property
    def kinds(self) -> Sequence[str]:
        """The kinds of branch that the model has, for asking for their output."""
        return sorted({kind for kind, _ in self._ends.values()})

    def _id(self) -> int:
        self._next += 1
        return self._next - 1

    def _nodes(self) -> list[_Row]:
        kv = {self._group[bus.id]: bus.kv for bus in self.cell.buses}
        return [{"id": group, "u_rated": kv[group] * 1e3} for group in sorted(kv)]

    def _element(self, element: Branch | Transformer, first: str, second: str) -> tuple[str, _Row]:
        row: _Row = {
            "id": self._id(),
            "from_node": self._group[first],
            "to_node": self._group[second],
            "from_status": is_connected(self.cell, element.id, first),
            "to_status": is_connected(self.cell, element.id, second),
        }
        if isinstance(element, Branch):
            return "line", row | _line(element)
        if self.symmetric:
            return "generic_branch", row | _generic_branch(element)
        return "transformer", row | self._transformer(element)

    def _transformer(self, element: Transformer) -> _Row:
        """Return a transformer of three phases: zero sequence as positive, shift as a clock."""
        tap = tap_of(element)
        assert (element.r0_ohm, element.x0_ohm) == (tap.r_ohm, tap.x_ohm)
        kv = {bus.id: bus.kv for bus in self.cell.buses}
        rated_va = (element.rating_kva or 1000.0) * 1e3
        per_ohm = rated_va / (kv[element.lv_bus] * 1e3) ** 2
        shunt = complex(tap.g_siemens, tap.b_siemens) / per_ohm
        star = WindingType.wye_n
        return {
            "u1": kv[element.hv_bus] * 1e3 * tap.ratio,
            "u2": kv[element.lv_bus] * 1e3,
            "sn": rated_va,
            "uk": abs(complex(tap.r_ohm, tap.x_ohm)) * per_ohm,
            "pk": tap.r_ohm * per_ohm * rated_va,
            "i0": abs(shunt),
            "p0": shunt.real * rated_va,
            "winding_from": star if element.group is WindingGroup.YNYN else WindingType.delta,
            "winding_to": star,
            "clock": round(tap.shift_deg / 30.0) % 12,
            "tap_side": BranchSide.from_side,
            "tap_pos": 0,
            "tap_min": 0,
            "tap_max": 0,
            "tap_nom": 0,
            "tap_size": 0.0,
        }

    def _source(self, source: Source) -> _Row:
        kv = {bus.id: bus.kv for bus in self.cell.buses}[source.bus]
        positive = complex(source.r_ohm, source.x_ohm)
        zero = complex(source.r0_ohm, source.x0_ohm)
        row = {
            "id": self._id(),
            "node": self._group[source.bus],
            "status": 1,
            "u_ref": source.v_pu,
            "u_ref_angle": math.radians(source.angle_deg),
            "sk": _STIFF_VA,
        }
        if positive:
            row["sk"] = (kv * 1e3) ** 2 / abs(positive)
            row["rx_ratio"] = positive.real / positive.imag
            row["z01_ratio"] = abs(zero) / abs(positive) if zero else 1.0
        return row

    def _split(self, asset: Asset) -> Real:
        phases = PHASES[asset.phase]
        return np.array([(phase in phases) / len(phases) for phase in range(3)])

    def _generators(self) -> list[_Row]:
        placed = placed_assets(self.cell)
        nothing = 0.0 if self.symmetric else [0.0] * 3
        return [
            {
                "id": self._id(),
                "node": self._group[placed[number][1]],
                "status": 1,
                "type": kind,
                "p_specified": nothing,
                "q_specified": nothing,
            }
            for number, kind in self._parts
        ]

    def _all_powers(self, p_kw: Real, q_kvar: Real) -> dict[str, Any] | None:
        if not self._parts:
            return None
        rows = initialize_array("update", self._generator, len(self._parts))
        rows["id"] = self._first_generator + np.arange(len(self._parts))
        for at, (number, kind) in enumerate(self._parts):
            asset = self.cell.assets[number]
            p_share, q_share = _share(asset, kind)
            split = 1.0 if self.symmetric else self._split(asset)
            rows["p_specified"][at] = p_kw[number] * p_share * split * 1e3
            rows["q_specified"][at] = q_kvar[number] * q_share * split * 1e3
        return {self._generator: rows}

    def _solution(self, result: dict[str, Any]) -> Solution:
        nodes = result["node"]
        volts = nodes["u_pu"] * np.exp(1j * nodes["u_angle"])
        live = nodes["energized"].astype(bool)
        voltage: dict[str, complex] = {}
        for bus, group in self._group.items():
            if not live[group]:
                continue
            if self.symmetric:
                voltage[bus] = complex(volts[group])
            else:
                phases = zip("abc", volts[group], strict=True)
                voltage |= {f"{bus}.{name}": complex(volt) for name, volt in phases}
        current, losses_w = {}, 0.0
        for element, (kind, row) in self._ends.items():
            out = result[kind][row]
            if out["energized"]:
                losses_w += float(np.sum(out["p_from"] + out["p_to"]))
                current[element] = (float(np.max(out["i_from"])), float(np.max(out["i_to"])))
        return Solution(voltage, current, losses_w / 1e3)


def _share(asset: Asset, kind: LoadGenType) -> tuple[float, float]:
    if kind is LoadGenType.const_impedance:
        return asset.z_p, asset.z_q
    if kind is LoadGenType.const_current:
        return asset.i_p, asset.i_q
    return constant_power_share(asset)


def _line(branch: Branch) -> _Row:
    per_siemens = 1.0 / (2.0 * math.pi * FREQUENCY_HZ)
    assert branch.b_siemens or not branch.g_siemens, "conductance is expressed by a loss angle"
    return {
        "r1": branch.r_ohm,
        "x1": branch.x_ohm,
        "c1": branch.b_siemens * per_siemens,
        "tan1": branch.g_siemens / branch.b_siemens if branch.g_siemens else 0.0,
        "r0": branch.r_ohm if branch.r0_ohm is None else branch.r0_ohm,
        "x0": branch.x_ohm if branch.x0_ohm is None else branch.x0_ohm,
        "c0": branch.b0_siemens * per_siemens,
        "tan0": 0.0,
        "i_n": branch.rating_a or _UNLIMITED,
    }


def _generic_branch(transformer: Transformer) -> _Row:
    tap = tap_of(transformer)
    return {
        "r1": tap.r_ohm,
        "x1": tap.x_ohm,
        "g1": tap.g_siemens,
        "b1": tap.b_siemens,
        "k": tap.ratio,
        "theta": math.radians(tap.shift_deg),
        "sn": (transformer.rating_kva or _UNLIMITED) * 1e3,
    }


def _array(kind: str, rows: list[_Row]) -> Any:
    array = initialize_array("input", kind, len(rows))
    for position, row in enumerate(rows):
        for name, value in row.items():
            array[name][position] = value
    return array
