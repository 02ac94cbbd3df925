"""What one voltage agent sees of the grid and does to it: its own meter and its own devices."""

from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.control.device import Device, DeviceSettings, Response
from peercell.agents.control.voltage_messages import Loading
from peercell.agents.grid_access import GridAccess
from peercell.agents.grid_messages import (
    Corrections,
    GridHello,
    GridRefusal,
    GridReply,
    GridWelcome,
    StateReport,
    Subscription,
)
from peercell.agents.grid_parts import Correction, DeadBand, Name, Reading, View
from peercell.agents.protocol import Action, Record

# What moves by less is not worth a message: a tenth of the margin of the voltages.
_DEAD_BAND = DeadBand(voltage_pu=1e-5, power_kw=1e-3, loading_percent=1e-2)
# Powers that differ by less are the same, in kVA.
_SAME_KVA = 1e-9
_NO_FLOW = 1e-6

Rating = Annotated[float, Meta(gt=0.0, le=1e12)]


class BranchLimit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line or transformer that an agent watches.

    Parameters
    ----------
    branch : its name
    rating_kva : what 100 % stand for
    loading_percent_max : where it is to stay; a larger value uses the branch more
    points_up : whether its first side, into which its flow is measured, is that of the agent
    """

    branch: Name
    rating_kva: Rating
    points_up: bool = False
    loading_percent_max: Annotated[float, Meta(gt=0.0, le=1000.0)] = 100.0


class Place(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an agent measures and acts.

    Parameters
    ----------
    bus : whose voltage it reads; None for none
    devices : assets there that it may move
    branch : that it watches; None for none
    """

    bus: Name | None = None
    devices: Annotated[tuple[DeviceSettings, ...], Meta(max_length=100)] = ()
    branch: BranchLimit | None = None


class Station:
    """The meter and the devices of one agent, behind a link to the grid service.

    Parameters
    ----------
    grid : peer that is the grid service
    place : where it measures and acts
    renew_s : longest time between two corrections
    """

    def __init__(self, grid: str, place: Place, renew_s: float) -> None:
        self.place = place
        self._renew_s = renew_s
        self._access = GridAccess(grid)
        assets = tuple(device.asset for device in place.devices)
        self._view = View(
            buses=() if place.bus is None else (place.bus,),
            branches=() if place.branch is None else (place.branch.branch,),
            assets=assets,
        )
        self._reading: Reading | None = None
        self._rev = -1
        self._wanted = [(0.0, 0.0)] * len(assets)
        self._told_s: float | None = None
        # The prices and the reading that the devices follow now.
        self._followed: tuple[float, float] | None = None
        self._seen: Reading | None = None

    def start(self) -> list[Action]:
        """Ask who one is and for readings, from the beginning: also after the service restarted."""
        self._rev, self._told_s = -1, None
        if self.place == Place():
            return []
        return [
            *self._access.ask(GridHello(0)),
            *self._access.ask(Subscription(0, self._view, _DEAD_BAND)),
        ]

    def repeat(self) -> list[Action]:
        """Return what is still to be answered."""
        return [*self._access.repeat()]

    def hear(self, reply: GridReply) -> list[Action]:
        """Take in what the grid service says."""
        request = self._access.hear(reply)
        if isinstance(reply, StateReport):
            if reply.reading is not None and reply.stamp.rev >= self._rev:
                self._rev, self._reading = reply.stamp.rev, reply.reading
        elif isinstance(reply, GridWelcome) and request is not None:
            return [*self._access.repeat()]
        elif isinstance(reply, GridRefusal) and request is not None:
            return [Record(reply)]
        return []

    @property
    def sees(self) -> bool:
        """True when there is a voltage or a flow to speak of, or there never will be."""
        if self.place == Place():
            return True
        return self._reading is not None and (self.place.bus is None or self._voltage() is not None)

    @property
    def v_pu(self) -> float:
        """Voltage at the own bus; 1 where none is measured."""
        return self._voltage() or 1.0

    def _voltage(self) -> float | None:
        if self._reading is None or not self._reading.voltages_pu:
            return None
        return self._reading.voltages_pu[0]

    def loading(self, margin: float) -> Loading | None:
        """Return the watched branch; None without one, and where it carries nothing.

        Parameters
        ----------
        margin : share of the rating to stay below the limit
        """
        limit = self.place.branch
        if limit is None or self._reading is None or not self._reading.loadings_percent:
            return None
        percent = self._reading.loadings_percent[0]
        if percent is None:
            return None
        share = percent / 100.0
        carried_kva = share * limit.rating_kva
        if carried_kva <= _NO_FLOW:
            return Loading(-1.0, 0.0)
        active = min(max(self._reading.flows_kw[0] / carried_kva, -1.0), 1.0)
        if limit.points_up:
            active = -active
        excess = share - limit.loading_percent_max / 100.0 + margin
        return Loading(excess, -active / limit.rating_kva)

    def devices(self) -> list[Device]:
        """Return the devices as they stand now, on their present plans; none before a reading."""
        if self._reading is None:
            return []
        return [
            device.at(asset.planned_kw, asset.stored_kwh, asset.lent_kwh)
            for device, asset in zip(self.place.devices, self._reading.assets, strict=True)
        ]

    def off(self) -> tuple[float, float]:
        """Return by how many kW and kvar the devices stay below what was wanted of them."""
        if self._reading is None:
            return 0.0, 0.0
        off_kw = off_kvar = 0.0
        for wanted, asset in zip(self._wanted, self._reading.assets, strict=True):
            off_kw += wanted[0] + asset.planned_kw - asset.p_kw
            off_kvar += wanted[1] + asset.planned_kvar - asset.q_kvar
        return off_kw, off_kvar

    def answers(self, price_kw: float, price_kvar: float) -> list[Response]:
        """Return how each device answers at these prices."""
        return [device.response(price_kw, price_kvar) for device in self.devices()]

    def follow(self, price_kw: float, price_kvar: float, now_s: float) -> list[Action]:
        """Make each device follow these prices; costs next to nothing while nothing has changed."""
        prices = (price_kw, price_kvar)
        if prices == self._followed and self._reading is self._seen and not self._is_due(now_s):
            return []
        self._followed, self._seen = prices, self._reading
        chosen = [device.best(price_kw, price_kvar) for device in self.devices()]
        return self.inject(chosen, now_s)

    def inject(self, chosen: list[tuple[float, float]], now_s: float) -> list[Action]:
        """Correct the devices to these kW and kvar, if that is news or they wait for a word."""
        if self._reading is None or not chosen:
            return []
        wanted = [
            (p_kw - asset.planned_kw, q_kvar)
            for (p_kw, q_kvar), asset in zip(chosen, self._reading.assets, strict=True)
        ]
        moved = any(
            abs(new[0] - old[0]) > _SAME_KVA or abs(new[1] - old[1]) > _SAME_KVA
            for new, old in zip(wanted, self._wanted, strict=True)
        )
        if not moved and not self._is_due(now_s):
            return []
        self._wanted, self._told_s = wanted, now_s
        corrections = tuple(
            Correction(device.asset, p_kw, q_kvar)
            for device, (p_kw, q_kvar) in zip(self.place.devices, wanted, strict=True)
        )
        return [*self._access.ask(Corrections(0, corrections))]

    def _is_due(self, now_s: float) -> bool:
        """Return whether devices wait for a word, so as not to take the agent for silent."""
        return self._told_s is None or now_s - self._told_s >= self._renew_s

    @property
    def moved(self) -> tuple[float, float]:
        """By how many kW and kvar the devices are wanted to leave their plans, added up."""
        return sum(p for p, _ in self._wanted), sum(q for _, q in self._wanted)
