"""What a voltage agent is told: where it is, with whom it speaks, and what it is to keep."""

from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.control.paths import Path
from peercell.agents.control.pricing import Band
from peercell.agents.control.rhythm import Rhythm
from peercell.agents.control.station import Place
from peercell.agents.control.voltage_messages import MEMBERS_MAX, PathEntry
from peercell.agents.units import PeerName, PositiveDurationS

Pu = Annotated[float, Meta(ge=0.0, le=10.0)]
Margin = Annotated[float, Meta(ge=0.0, le=0.5)]


class VoltageSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One voltage agent.

    Parameters
    ----------
    grid : peer that is the grid service
    members : all voltage agents of the cell, this one as well
    place : where it measures and acts
    path : the branches between it and the grid above; its own branch, if it watches one, is last
    rhythm : ticks and epochs, the same for all members
    v_min_pu, v_max_pu : limits of all voltages; narrower ones cost more
    margin_pu : pu by which voltages stay inside; larger bears more noise of meters, costs more
    margin_share : share of a rating by which loadings stay inside
    renew_s : longest time between two corrections of a device, which takes more for silence
    fan_out : neighbours told in a tick; more is faster and costs messages
    """

    name: PeerName
    grid: PeerName
    members: Annotated[tuple[PeerName, ...], Meta(min_length=1, max_length=MEMBERS_MAX)]
    place: Place
    path: Path
    rhythm: Rhythm
    v_min_pu: Pu = 0.95
    v_max_pu: Pu = 1.05
    margin_pu: Margin = 2e-4
    margin_share: Margin = 1e-3
    renew_s: PositiveDurationS = 10.0
    fan_out: Annotated[int, Meta(ge=1, le=16)] = 2

    @property
    def band(self) -> Band:
        """Where voltages are to stay."""
        return Band(v_min_pu=self.v_min_pu, v_max_pu=self.v_max_pu, margin_pu=self.margin_pu)

    def announcement(self, session: int) -> PathEntry:
        """Return what the agent tells the others once in a life: where it is, and its reach."""
        devices = self.place.devices
        return PathEntry(
            owner=self.name,
            epoch=session,
            path=self.path,
            reach_kva=sum(device.rating_kva for device in devices),
            kw_per_price=sum(1.0 / device.weights.active for device in devices),
            kvar_per_price=sum(1.0 / device.weights.reactive for device in devices),
        )
