"""What a voltage agent does by the first algorithm: push voltages back, by gradient descent.

First algorithm of section III of the paper: least squared deviation of the voltages beyond their
limits, by P and Q of all devices. Only broken voltages are gossiped; in each epoch every device
takes one step against them. Nothing in it weighs what a step costs, so it curtails more than
`voltage_dual`; it needs neither prices nor complete views.
"""

from typing import assert_never, cast, get_args

from peercell.agents.control.device import Device
from peercell.agents.control.paths import Track
from peercell.agents.control.places import Places
from peercell.agents.control.pricing import OVER, UNDER
from peercell.agents.control.rhythm import epoch_of, stamp_of
from peercell.agents.control.state_codec import pack, unpack
from peercell.agents.control.station import Station
from peercell.agents.control.voltage_messages import (
    PathEntry,
    State,
    StateEntry,
    VoltageFact,
    VoltageGossip,
)
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.agents.gossip_map import GossipMap
from peercell.agents.grid_messages import GridReply
from peercell.agents.messages import Message
from peercell.agents.overlay import Neighbourhood
from peercell.agents.protocol import (
    Action,
    Commanded,
    Event,
    PeerDown,
    PeerUp,
    Received,
    Send,
    SetTimer,
    Started,
    TimerFired,
)

TICK = "tick"
# Step by the largest one that a quadratic of this curvature allows is 2.
_STEP = 1.9
# Share of the way back to its plan that a device goes in an epoch in which nothing is near a limit.
_LEAK, _FAR_PU = 0.05, 0.003
_GRID_REPLIES: frozenset[type] = frozenset(get_args(GridReply))


class VoltageGradient:
    """A voltage agent that descends on squared violations; see `Role`."""

    def __init__(self, settings: VoltageSettings) -> None:
        self.settings = settings
        members = sorted(settings.members)
        self._number = {name: number for number, name in enumerate(members)}
        self._me = self._number[settings.name]
        self._station = Station(settings.grid, settings.place, settings.renew_s)
        self._track = Track(settings.path)
        self._neighbourhood = Neighbourhood(settings.name, members)
        self._map = GossipMap[VoltageFact](0)
        self._places = Places()
        self._epoch = self._stamped = -1
        self._left: list[tuple[float, float]] = [(0.0, 0.0)] * len(settings.place.devices)

    @property
    def links(self) -> tuple[str, ...]:
        """With whom it gossips now."""
        return self._map.links

    @property
    def knows_all(self) -> bool:
        """True when the paths of all members are known."""
        return len(self._places.tracks) == len(self._number)

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        match event:
            case Started():
                return self._start(now_s)
            case TimerFired():
                return self._tick(now_s)
            case Received(sender=sender, message=message):
                return self._receive(sender, message)
            case PeerUp(peer=peer):
                return self._meet(peer)
            case PeerDown(peer=peer):
                self._neighbourhood.lose(peer)
                self._map.keep(self._neighbourhood.links)
            case Commanded():
                pass
            case _:
                assert_never(event)
        return []

    def _meet(self, peer: str) -> list[Action]:
        if peer == self.settings.grid:
            return self._station.start()
        self._neighbourhood.regain(peer)
        self._map.keep(self._neighbourhood.links)
        return []

    def _start(self, now_s: float) -> list[Action]:
        session = int(now_s * 1e3) + 1
        self._map = GossipMap[VoltageFact](session)
        self._map.connect(self._neighbourhood.links)
        own = self.settings.announcement(session)
        self._map.put(own)
        self._places.take(own)
        return [*self._station.start(), SetTimer(TICK, self.settings.rhythm.tick_s)]

    def _receive(self, sender: str, message: Message) -> list[Action]:
        if isinstance(message, VoltageGossip) and sender in self._number:
            for entry in self._map.hear(sender, message.parcel, message.entries):
                if isinstance(entry, PathEntry):
                    self._places.take(entry)
            return []
        if sender == self.settings.grid and type(message) in _GRID_REPLIES:
            return self._station.hear(cast("GridReply", message))
        return []

    def _tick(self, now_s: float) -> list[Action]:
        rhythm = self.settings.rhythm
        epoch = rhythm.epoch(now_s)
        if epoch != self._epoch:
            self._descend(self._epoch)
            self._epoch = epoch
        if self._stamped < epoch and not rhythm.is_guarded(now_s) and self._station.sees:
            self._state()
        actions = [*self._station.repeat(), *self._inject(now_s)]
        for peer in self._map.turn(self.settings.fan_out):
            parcel, entries = self._map.parcel_for(peer)
            actions.append(Send(peer, VoltageGossip(parcel, entries, max(epoch, 0), b"")))
        return [*actions, SetTimer(TICK, rhythm.tick_s)]

    def _state(self) -> None:
        """Say a voltage that is near a limit or beyond."""
        self._stamped = self._epoch
        if self.settings.place.bus is None:
            return
        v_pu, band = self._station.v_pu, self.settings.band
        if max(band.excess(OVER, v_pu), band.excess(UNDER, v_pu)) > -_FAR_PU:
            self._map.put(
                StateEntry(self.settings.name, stamp_of(self._epoch, 0), 0, pack(State(v_pu)))
            )

    def _descend(self, epoch: int) -> None:
        """Take one step against what was told in an epoch."""
        devices = self._station.devices()
        if not devices:
            return
        push_kw = push_kvar = 0.0
        told = [
            (entry.owner, state.v_pu)
            for entry in self._map.of(StateEntry)
            if isinstance(entry, StateEntry)
            and epoch_of(entry.epoch) == epoch
            and (state := unpack(entry.told)) is not None
        ]
        band = self.settings.band
        for owner, v_pu in told:
            off = max(band.excess(OVER, v_pu), 0.0) - max(band.excess(UNDER, v_pu), 0.0)
            if off and owner in self._places.tracks:
                per_kw, per_kvar = self._places.tracks[owner].shared(self._track)
                push_kw += per_kw * off
                push_kvar += per_kvar * off
        rate = _STEP * self._places.step_by_reach()
        leak = 0.0 if told else _LEAK
        self._left = [
            _moved(device, left, (rate * push_kw, rate * push_kvar), leak)
            for device, left in zip(devices, self._left, strict=True)
        ]

    def _inject(self, now_s: float) -> list[Action]:
        chosen = [
            device.nearest(device.planned_kw + left[0], left[1])
            for device, left in zip(self._station.devices(), self._left, strict=False)
        ]
        return self._station.inject(chosen, now_s)


def _moved(
    device: Device, left: tuple[float, float], push: tuple[float, float], leak: float
) -> tuple[float, float]:
    """Return by how much a device leaves its plan after a step against a push."""
    p_kw = device.planned_kw + (1.0 - leak) * left[0] - device.rating_kva * push[0]
    q_kvar = (1.0 - leak) * left[1] - device.rating_kva * push[1]
    p_kw, q_kvar = device.nearest(p_kw, q_kvar)
    return p_kw - device.planned_kw, q_kvar
