"""Voltage agents on the stage: roofs along a feeder, the grid service that solves it, 0.95..1.05.

Agents are named b.BUS, the grid service grid. Of the talk among agents nothing is shown; what they
ask of the grid, and the prices that they come to, are.
"""

from collections.abc import Sequence

from tests.grid.builders import chain
from tests.plays.stage import Stage, number

from peercell.agents.control.rhythm import rhythm_for
from peercell.agents.control.voltage_dual import VoltageDual
from peercell.agents.control.voltage_messages import EpochsStalled, VoltageControlled
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.agents.grid_messages import Corrections, StateQuery, StateReport
from peercell.agents.grid_parts import AssetReading, View
from peercell.agents.messages import Message
from peercell.agents.protocol import Commanded, Role
from peercell.broker.solving.control_cell import GRID, ControlPeers, control_peers
from peercell.grid.control_case import CaseFile, ControlCase, control_case
from peercell.grid.control_device import DeviceEntry
from peercell.grid.service import WINDOW_S, GridService

_QUERY = 1


class Controlling:
    """Agents at the roofs of a feeder of three buses, fed at bus 0."""

    def __init__(self) -> None:
        self.roofs: list[DeviceEntry] = []

    @property
    def _case(self) -> ControlCase:
        file = CaseFile(cell="chain", devices=tuple(self.roofs))
        return control_case(file, chain(3, p_kw=-1.0, r_ohm=0.2), {})

    @property
    def _peers(self) -> ControlPeers:
        return control_peers(self._case, rhythm_for(len(self.roofs)))

    def role(self, name: str) -> Role:
        """See Cast.role."""
        if name == GRID:
            return GridService(self._case.cell, {}, self._peers.service)
        told = self._peers.agents[name]
        assert isinstance(told, VoltageSettings)
        return VoltageDual(told)

    def text(self, thing: Message) -> str:
        """See Cast.text."""
        match thing:
            case VoltageControlled():
                powers = f"{number(thing.p_kw)} kW, {number(thing.q_kvar)} kvar"
                return f"follows {thing.limits} prices, at {thing.v_pu:.3f} pu: {powers}"
            case EpochsStalled():
                return "acts alone: others have been silent for some epochs"
            case Corrections(corrections=(one,)):
                return f"move {one.asset} by {number(one.p_kw)} kW, {number(one.q_kvar)} kvar"
            case _:
                return ""

    def do(self, stage: Stage, verb: str, words: Sequence[str]) -> list[str]:
        """See Cast.do: `roof 2 20` (bus 2, 20 kW of sun), `show`."""
        match verb, words:
            case "roof", [bus, power_kw]:
                self.roofs.append(DeviceEntry(f"pv-{bus}", bus, planned_kw=float(power_kw)))
            case "show", []:
                return self._shown(stage)
            case _:
                raise KeyError(verb)
        return []

    def _shown(self, stage: Stage) -> list[str]:
        """Ask the grid service what stands, as an operator does."""
        buses = tuple(roof.bus for roof in self.roofs)
        view = View(buses=buses, assets=tuple(roof.id for roof in self.roofs))
        stage.world.give(GRID, Commanded(_QUERY, StateQuery(_QUERY, view)))
        stage.world.run(stage.world.now_s + 2.0 * WINDOW_S)
        report = stage.world.replies[_QUERY]
        assert isinstance(report, StateReport)
        assert report.reading is not None
        volts = zip(buses, report.reading.voltages_pu, strict=True)
        return [
            " ".join(f"bus {bus} {v_pu or 0.0:.3f} pu" for bus, v_pu in volts),
            *map(_asset, report.reading.assets),
        ]


def _asset(asset: AssetReading) -> str:
    powers = f"{number(asset.p_kw)} kW, {number(asset.q_kvar)} kvar"
    return f"{asset.asset} {powers} of {number(asset.planned_kw)} kW of sun"
