"""OpenDSS as an oracle: a cell becomes a script, one line an element."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import opendssdirect as dss_direct
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
from peercell.grid.model import Asset, Branch, Cell, Phase, Source, Transformer, WindingGroup

_UNLIMITED_A = 1e9
_STIFF_OHM = 1e-7


class OpenDssOracle:
    """A cell in OpenDSS, at the switch states and taps of the cell file.

    A balanced cell becomes its circuit of one phase with a third of the power, or on request the
    three phases that OpenDSS is used with. In both a transformer has no phase shift: the angles of
    the answer are turned back by the shift of the way from the source, so they hold in radial cells
    only.
    """

    name = "OpenDSS"

    def __init__(self, cell: Cell, tolerance: float = 1e-10, *, phases: int = 0) -> None:
        self.cell = cell
        self.dss: Any = dss_direct.dss.NewContext()
        self._balanced = cell.phases == 1
        self._phases = phases or cell.phases
        self._group = groups(cell)
        self._kv = {bus.id: bus.kv for bus in cell.buses}
        self._share = 1.0 / 3.0 if self._phases == 1 else 1.0
        for line in self._script(tolerance):
            self.dss.Text.Command(line)
        self._node_order = [name.lower() for name in self.dss.Circuit.AllNodeNames()]

    def set(self, assets: Index, p_kw: Real, q_kvar: Real) -> None:
        """Give some assets their power."""
        loads = self.dss.Loads
        for number, p, q in zip(assets.tolist(), p_kw.tolist(), q_kvar.tolist(), strict=True):
            loads.Idx(number + 1)
            loads.kW(-p * self._share)
            loads.kvar(-q * self._share)

    def calculate(self) -> tuple[Any, Any, Any]:
        """Solve and return all voltages in V, all branch loadings in %, and the losses in W."""
        self.dss.Solution.Solve()
        circuit = self.dss.Circuit
        return circuit.AllBusVolts(), self.dss.PDElements.AllPctNorm(), circuit.Losses()

    def solve(self, p_kw: Real, q_kvar: Real) -> Solution:
        """Return the state for the power of every asset."""
        self.set(np.arange(p_kw.size), p_kw, q_kvar)
        volts, _, losses = self.calculate()
        assert self.dss.Solution.Converged()
        flat = np.asarray(volts, np.float64).reshape(-1, 2)
        by_node = dict(zip(self._node_order, flat[:, 0] + 1j * flat[:, 1], strict=True))
        return Solution(self._voltages(by_node), {}, float(losses[0]) / 1e3 / self._share)

    def _voltages(self, by_node: dict[str, complex]) -> dict[str, complex]:
        found: dict[str, complex] = {}
        turn = self._turns() if self._balanced else dict.fromkeys(self._group.values(), 1.0 + 0j)
        for bus, group in self._group.items():
            base = self._kv[bus] * 1e3 / math.sqrt(3)
            for phase in range(self.cell.phases):
                volt = by_node.get(f"b{group}.{phase + 1}")
                if volt is not None and abs(volt) > 0.01 * base:
                    name = bus if self._balanced else f"{bus}.{'abc'[phase]}"
                    found[name] = complex(volt * turn[group] / base)
        return found

    def _turns(self) -> dict[int, complex]:
        """Return by which factor the shifts on the way from a source turn each group."""
        turns = {self._group[source.bus]: 1.0 + 0.0j for source in self.cell.sources}
        ways = [
            (self._group[first], self._group[second], _shift_deg(element))
            for element, first, second in two_ended(self.cell)
            if is_connected(self.cell, element.id, first)
            and is_connected(self.cell, element.id, second)
        ]
        for _ in range(len(self._group)):
            known = len(turns)
            for first, second, shift_deg in ways:
                factor = complex(np.exp(-1j * math.radians(shift_deg)))
                if first in turns and second not in turns:
                    turns[second] = turns[first] * factor
                elif second in turns and first not in turns:
                    turns[first] = turns[second] / factor
            if len(turns) == known:
                break
        return turns

    def _script(self, tolerance: float) -> Iterator[str]:
        yield "Clear"
        yield f"Set DefaultBaseFrequency={FREQUENCY_HZ}"
        for number, source in enumerate(self.cell.sources):
            yield self._source(number, source)
        for element, first, second in two_ended(self.cell):
            if isinstance(element, Branch):
                yield from self._line(element, first, second)
            else:
                yield from self._transformer(element)
        for number, (asset, bus) in enumerate(placed_assets(self.cell)):
            yield self._load(number, asset, bus)
        yield f"Set Tolerance={tolerance}"
        yield "Set MaxIterations=500"
        yield "Set ControlMode=OFF"
        yield "Solve"

    def _bus(self, bus: str) -> str:
        return f"b{self._group[bus]}"

    def _end(self, element: str, bus: str) -> str:
        """Return the bus of an element's end, a bus of its own where a switch opens it."""
        if is_connected(self.cell, element, bus):
            return self._bus(bus)
        return f"open_{_name(element)}_{_name(bus)}"

    def _source(self, number: int, source: Source) -> str:
        new = "New Circuit.cell" if number == 0 else f"New Vsource.s{number}"
        kv = self._kv[source.bus] / (math.sqrt(3) if self._phases == 1 else 1.0)
        positive = [source.r_ohm, source.x_ohm]
        if positive == [0.0, 0.0]:
            positive = [0.0, _STIFF_OHM]
        zero = [source.r0_ohm, source.x0_ohm]
        if self._balanced or zero == [0.0, 0.0]:
            zero = positive
        return (
            f"{new} phases={self._phases} bus1={self._bus(source.bus)} basekv={kv!r} "
            f"pu={source.v_pu!r} angle={source.angle_deg!r} Z1={positive} Z0={zero} Z2={positive}"
        )

    def _line(self, branch: Branch, first: str, second: str) -> Iterator[str]:
        r0, x0, b0 = branch.r0_ohm, branch.x0_ohm, branch.b0_siemens
        if self._balanced:
            r0, x0, b0 = branch.r_ohm, branch.x_ohm, branch.b_siemens
        per_siemens = 1e9 / (2.0 * math.pi * FREQUENCY_HZ)
        buses = [self._end(branch.id, bus) for bus in (first, second)]
        amp = branch.rating_a or _UNLIMITED_A
        yield (
            f"New Line.{_name(branch.id)} phases={self._phases} bus1={buses[0]} "
            f"bus2={buses[1]} length=1 r1={branch.r_ohm!r} x1={branch.x_ohm!r} "
            f"c1={branch.b_siemens * per_siemens!r} r0={r0!r} x0={x0!r} c0={b0 * per_siemens!r} "
            f"normamps={amp} emergamps={amp}"
        )
        if branch.g_siemens:
            for end, bus in enumerate(buses):
                yield from self._shunts(f"{branch.id}-{end}", bus, complex(branch.g_siemens / 2.0))

    def _transformer(self, element: Transformer) -> Iterator[str]:
        tap = tap_of(element)
        assert element.group is WindingGroup.DYN or self._balanced
        root3 = math.sqrt(3) if self._phases == 1 else 1.0
        lv_kv, hv_kv = self._kv[element.lv_bus], self._kv[element.hv_bus] * tap.ratio
        rated_kva = element.rating_kva or 1000.0
        per_ohm = rated_kva / 1000.0 / lv_kv**2 * 100.0
        buses = [self._end(element.id, bus) for bus in (element.hv_bus, element.lv_bus)]
        kva = rated_kva * self._share
        lag = "lag" if round(tap.shift_deg / 30.0) % 12 == 1 else "lead"
        connection = "" if self._balanced else f"conns=[delta wye] leadlag={lag}"
        yield (
            f"New Transformer.{_name(element.id)} phases={self._phases} windings=2 "
            f"buses=[{buses[0]} {buses[1]}] {connection} kvs=[{hv_kv / root3!r} {lv_kv / root3!r}] "
            f"kvas=[{kva!r} {kva!r}] %Rs=[{tap.r_ohm * per_ohm / 2!r} {tap.r_ohm * per_ohm / 2!r}] "
            f"xhl={tap.x_ohm * per_ohm!r} %noloadloss=0 %imag=0 ppm_antifloat=0 normhkva={kva!r}"
        )
        shunt = complex(tap.g_siemens, tap.b_siemens) / 2.0
        if shunt:
            # Referred to the nominal voltage of the high-voltage side.
            ratio = self._kv[element.hv_bus] * tap.ratio / lv_kv
            yield from self._shunts(f"{element.id}-hv", buses[0], shunt / ratio**2)
            yield from self._shunts(f"{element.id}-lv", buses[1], shunt)

    def _shunts(self, name: str, bus: str, siemens: complex) -> Iterator[str]:
        """Yield reactors to earth with that admittance, resistive and inductive."""
        new = f"phases={self._phases} bus1={bus}"
        if siemens.real:
            yield f"New Reactor.{_name(name)}-g {new} R={1.0 / siemens.real!r} X=0"
        if siemens.imag:
            yield f"New Reactor.{_name(name)}-b {new} R=0 X={-1.0 / siemens.imag!r}"

    def _load(self, number: int, asset: Asset, bus: str) -> str:
        phases, kv = self._phases, self._kv[bus]
        place = self._bus(bus)
        if not self._balanced and asset.phase is not Phase.ABC:
            place, phases = f"{place}.{PHASES[asset.phase][0] + 1}", 1
        kv = kv / math.sqrt(3) if phases == 1 else kv
        p_share, q_share = constant_power_share(asset)
        shares = (asset.z_p, asset.i_p, p_share, asset.z_q, asset.i_q, q_share)
        is_constant = (p_share, q_share) == (1.0, 1.0)
        zipv = " ".join(repr(share) for share in shares)
        model = "model=1" if is_constant else f"model=8 zipv=[{zipv} 0]"
        return (
            f"New Load.l{number} phases={phases} bus1={place} conn=wye kv={kv!r} "
            f"kw={-asset.p_kw * self._share!r} kvar={-asset.q_kvar * self._share!r} {model} "
            f"vminpu=0.0 vlowpu=0.0 vmaxpu=10"
        )


def _name(text: str) -> str:
    """Return an id without the dots that OpenDSS reads as phases."""
    return text.replace(".", "_")


def _shift_deg(element: Branch | Transformer) -> float:
    return tap_of(element).shift_deg if isinstance(element, Transformer) else 0.0
