"""pandapower as an oracle: a net written from a cell, with pandapower's own switches."""

import math
from typing import Any

import numpy as np
import pandapower as pp
from tests.oracles.fused import FREQUENCY_HZ, Solution, placed_assets, tap_of, two_ended

from peercell.grid.admittance import Real
from peercell.grid.model import Branch, Cell, Source, Transformer

_SN_MVA = 1.0
_UNLIMITED_KA = 1e6


class PandapowerOracle:
    """A balanced cell as a pandapower net, at the switch states and taps of the cell file."""

    name = "runpp"

    def __init__(self, cell: Cell) -> None:
        assert cell.phases == 1
        self.cell = cell
        self.net: Any = pp.create_empty_network(f_hz=FREQUENCY_HZ)
        self._bus = {bus.id: pp.create_bus(self.net, vn_kv=bus.kv) for bus in cell.buses}
        self._kv = {bus.id: bus.kv for bus in cell.buses}
        self._element: dict[str, tuple[str, int]] = {}
        for element, first, second in two_ended(cell):
            kind = "l" if isinstance(element, Branch) else "t"
            self._element[element.id] = (kind, self._add(element, first, second))
        for source in cell.sources:
            self._add_source(source)
        for switch in cell.switches:
            if switch.other_bus is not None:
                kind, other = "b", self._bus[switch.other_bus]
            elif switch.branch in self._element:
                kind, other = self._element[str(switch.branch)]
            else:
                continue
            pp.create_switch(self.net, self._bus[switch.bus], other, et=kind, closed=switch.closed)
        self._add_loads()

    def set(self, p_kw: Real, q_kvar: Real) -> None:
        """Give every asset its power."""
        self.net.load["p_mw"] = -p_kw / 1e3
        self.net.load["q_mvar"] = -q_kvar / 1e3

    def solve(self, p_kw: Real, q_kvar: Real) -> Solution:
        """Return the state for the power of every asset."""
        self.set(p_kw, q_kvar)
        pp.runpp(
            self.net,
            tolerance_mva=1e-10,
            numba=False,
            calculate_voltage_angles=True,
            trafo_model="pi",
            max_iteration=50,
        )
        return self._solution()

    def _add(self, element: Branch | Transformer, first: str, second: str) -> int:
        if isinstance(element, Branch):
            return int(
                pp.create_line_from_parameters(
                    self.net,
                    self._bus[first],
                    self._bus[second],
                    length_km=1.0,
                    r_ohm_per_km=element.r_ohm,
                    x_ohm_per_km=element.x_ohm,
                    c_nf_per_km=element.b_siemens / (2 * math.pi * FREQUENCY_HZ) * 1e9,
                    g_us_per_km=element.g_siemens * 1e6,
                    max_i_ka=(element.rating_a or _UNLIMITED_KA) / 1e3,
                )
            )
        tap = tap_of(element)
        kv = self._kv[second]
        per_ohm = _SN_MVA / kv**2
        shunt = complex(tap.g_siemens, tap.b_siemens) / per_ohm
        assert shunt.imag <= 0.0, "a transformer magnetises"
        return int(
            pp.create_transformer_from_parameters(
                self.net,
                self._bus[first],
                self._bus[second],
                sn_mva=_SN_MVA,
                vn_hv_kv=self._kv[first] * tap.ratio,
                vn_lv_kv=kv,
                vk_percent=abs(complex(tap.r_ohm, tap.x_ohm)) * per_ohm * 100.0,
                vkr_percent=tap.r_ohm * per_ohm * 100.0,
                pfe_kw=shunt.real * _SN_MVA * 1e3,
                i0_percent=abs(shunt) * 100.0,
                shift_degree=tap.shift_deg,
            )
        )

    def _add_source(self, source: Source) -> None:
        bus = self._bus[source.bus]
        if source.r_ohm or source.x_ohm:
            inner = pp.create_bus(self.net, vn_kv=self._kv[source.bus])
            pp.create_line_from_parameters(
                self.net,
                inner,
                bus,
                length_km=1.0,
                r_ohm_per_km=source.r_ohm,
                x_ohm_per_km=source.x_ohm,
                c_nf_per_km=0.0,
                max_i_ka=_UNLIMITED_KA,
            )
            bus = inner
        pp.create_ext_grid(self.net, bus, vm_pu=source.v_pu, va_degree=source.angle_deg)

    def _add_loads(self) -> None:
        placed = placed_assets(self.cell)
        pp.create_loads(
            self.net,
            [self._bus[bus] for _, bus in placed],
            p_mw=[-asset.p_kw / 1e3 for asset, _ in placed],
            q_mvar=[-asset.q_kvar / 1e3 for asset, _ in placed],
            const_z_p_percent=[asset.z_p * 100.0 for asset, _ in placed],
            const_i_p_percent=[asset.i_p * 100.0 for asset, _ in placed],
            const_z_q_percent=[asset.z_q * 100.0 for asset, _ in placed],
            const_i_q_percent=[asset.i_q * 100.0 for asset, _ in placed],
        )

    def _solution(self) -> Solution:
        result = self.net.res_bus
        volts = result.vm_pu.to_numpy() * np.exp(1j * np.radians(result.va_degree.to_numpy()))
        voltage = {
            bus: complex(volts[row]) for bus, row in self._bus.items() if np.isfinite(volts[row])
        }
        line, transformer = self.net.res_line, self.net.res_trafo
        ends = {
            "l": (line.i_from_ka.to_numpy(), line.i_to_ka.to_numpy()),
            "t": (transformer.i_hv_ka.to_numpy(), transformer.i_lv_ka.to_numpy()),
        }
        current = {
            name: (float(ends[kind][0][row]) * 1e3, float(ends[kind][1][row]) * 1e3)
            for name, (kind, row) in self._element.items()
            if np.isfinite(ends[kind][0][row])
        }
        own = [row for kind, row in self._element.values() if kind == "l"]
        losses = float(np.nansum(line.pl_mw.to_numpy()[own])) + float(
            np.nansum(transformer.pl_mw.to_numpy())
        )
        return Solution(voltage, current, losses * 1e3)
