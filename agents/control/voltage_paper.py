"""What a voltage agent does by the letter of the paper: fixed steps, and push-sum for the prices.

The second algorithm as section III tells it: each agent raises the multiplier of its own limit in
proportion to what it measures, and a push-sum over all multipliers tells every agent all of them.
Nobody waits for anybody. It is here to compare with: a step that is safe for all is a small one, so
that mild cases take tens of epochs and severe ones never end; `voltage_dual` takes a handful.
"""

from hashlib import blake2b
from typing import assert_never, cast, get_args

import numpy as np

from peercell.agents.control.places import Places
from peercell.agents.control.pricing import OVER, UNDER
from peercell.agents.control.station import Station
from peercell.agents.control.voltage_messages import PathEntry, VoltageFact, VoltageGossip
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.agents.gossip_map import GossipMap
from peercell.agents.grid_messages import GridReply
from peercell.agents.messages import Message
from peercell.agents.overlay import overlay
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
from peercell.agents.push_sum import INPUT_MAX, PushSum
from peercell.agents.push_sum_messages import Heard, Sum

TICK = "tick"
_STEP = 1.9
_GRID_REPLIES: frozenset[type] = frozenset(get_args(GridReply))


class VoltagePaper:
    """A voltage agent of the paper's second algorithm, for at most 64 members; see `Role`."""

    def __init__(self, settings: VoltageSettings) -> None:
        self.settings = settings
        self._members = sorted(settings.members)
        self._me = self._members.index(settings.name)
        self._station = Station(settings.grid, settings.place, settings.renew_s)
        self._neighbours = overlay(self._members)[settings.name]
        self._map = GossipMap[VoltageFact](0)
        self._places = Places()
        self._sums = PushSum([0.0] * len(self._members), 1)
        seed = int.from_bytes(blake2b(settings.name.encode(), digest_size=8).digest())
        self._chance = np.random.default_rng(seed)
        self._epoch = -1
        self._over = self._under = 0.0

    @property
    def knows_all(self) -> bool:
        """True when the paths of all members are known."""
        return len(self._places.tracks) == len(self._members)

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
                if peer == self.settings.grid:
                    return self._station.start()
                return self._open(peer) if peer in self._neighbours else []
            case PeerDown(peer=peer):
                self._map.disconnect(peer)
                self._sums.close_link(peer)
            case Commanded():
                pass
            case _:
                assert_never(event)
        return []

    def _start(self, now_s: float) -> list[Action]:
        session = int(now_s * 1e3) + 1
        self._map = GossipMap[VoltageFact](session)
        self._map.connect(self._neighbours)
        own = self.settings.announcement(session)
        self._map.put(own)
        self._places.take(own)
        self._sums = PushSum([0.0] * len(self._members), session)
        opened = [action for peer in self._neighbours for action in self._open(peer)]
        tick = SetTimer(TICK, self.settings.rhythm.tick_s)
        return [*self._station.start(), *opened, tick]

    def _open(self, peer: str) -> list[Action]:
        self._map.connect((peer,))
        greeting = self._sums.open_link(peer)
        return [] if greeting is None else [Send(*greeting)]

    def _receive(self, sender: str, message: Message) -> list[Action]:
        if sender == self.settings.grid and type(message) in _GRID_REPLIES:
            return self._station.hear(cast("GridReply", message))
        if sender not in self._members:
            return []
        if isinstance(message, Sum | Heard):
            answer = self._sums.receive(sender, message)
            return [] if answer is None else [Send(*answer)]
        if isinstance(message, VoltageGossip):
            for entry in self._map.hear(sender, message.parcel, message.entries):
                if isinstance(entry, PathEntry):
                    self._places.take(entry)
        return []

    def _tick(self, now_s: float) -> list[Action]:
        epoch = self.settings.rhythm.epoch(now_s)
        if epoch != self._epoch:
            self._epoch = epoch
            self._ascend()
        actions = [*self._station.repeat(), *self._station.follow(*self._price(), now_s)]
        for peer in self._map.turn(self.settings.fan_out):
            parcel, entries = self._map.parcel_for(peer)
            actions.append(Send(peer, VoltageGossip(parcel, entries, epoch, b"")))
        for _ in range(self.settings.fan_out):
            told = self._sums.tick(self._chance)
            actions += [] if told is None else [Send(*told)]
        return [*actions, SetTimer(TICK, self.settings.rhythm.tick_s)]

    def _ascend(self) -> None:
        """Raise or lower the own multipliers by what is measured now."""
        if not self._station.sees or not self.knows_all or self.settings.place.bus is None:
            return
        step, v_pu, band = (
            _STEP * self._places.step_by_price(),
            self._station.v_pu,
            self.settings.band,
        )
        self._over = max(self._over + step * band.excess(OVER, v_pu), 0.0)
        self._under = max(self._under + step * band.excess(UNDER, v_pu), 0.0)
        inputs = [0.0] * len(self._members)
        inputs[self._me] = min(max(self._over - self._under, -INPUT_MAX), INPUT_MAX)
        self._sums.set_input(inputs)

    def _price(self) -> tuple[float, float]:
        """Return the price of a kW and a kvar here, by what is known of all multipliers."""
        means = self._sums.estimate()
        price_kw = price_kvar = 0.0
        if means is None or not self.settings.place.devices:
            return price_kw, price_kvar
        here = self._places.tracks[self.settings.name]
        for name, mean in zip(self._members, means, strict=False):
            if mean and name in self._places.tracks:
                per_kw, per_kvar = self._places.tracks[name].shared(here)
                price_kw += per_kw * mean * len(self._members)
                price_kvar += per_kvar * mean * len(self._members)
        return price_kw, price_kvar
