"""What a voltage agent does: measure, tell, and follow prices that all find alike.

Second algorithm of section III of the paper: least curtailment and reactive power within the
limits, by dual decomposition. Each epoch, in this order (all transitions are in `_tick`):
    after the guard all state what they see, and how their devices would answer to prices;
    whoever has the statements of all who live computes the next prices, and its devices follow;
    whoever hears newer prices takes them over.
Views with a gap compute nothing. When epochs stall, each member moves its own multipliers, in steps
that are safe whatever the others do.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import assert_never, cast, get_args

import msgspec

from peercell.agents.agreement import Attendance
from peercell.agents.control.device import Response
from peercell.agents.control.paths import Track
from peercell.agents.control.pricing import (
    OVER,
    UNDER,
    Statement,
    View,
    lonely_steps,
    next_prices,
    price_at,
)
from peercell.agents.control.rhythm import epoch_of, stamp_of
from peercell.agents.control.state_codec import pack, unpack
from peercell.agents.control.station import Station
from peercell.agents.control.voltage_messages import (
    Answer,
    EpochsStalled,
    LimitPrice,
    PathEntry,
    PriceEntry,
    State,
    StateEntry,
    Trial,
    VoltageControlled,
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
    Record,
    Send,
    SetTimer,
    Started,
    TimerFired,
)

TICK = "tick"
# Within this of a limit a member speaks even when nothing is broken: another one's primary control
# may be what keeps its voltage in.
NEAR_PU = 0.005
STALLED_EPOCHS = 3
# Of the version of prices, what a statement made under them repeats.
_BASE = 255
_GRID_REPLIES: frozenset[type] = frozenset(get_args(GridReply))
_encode = msgspec.msgpack.Encoder().encode


class VoltageDual:
    """A voltage agent that shares prices of the limits; see `Role`."""

    def __init__(self, settings: VoltageSettings) -> None:
        self.settings = settings
        members = sorted(settings.members)
        self._number = {name: number for number, name in enumerate(members)}
        self._me = self._number[settings.name]
        self._station = Station(settings.grid, settings.place, settings.renew_s)
        self._band = settings.band
        self._track = Track(settings.path)
        self._tracks: dict[int, Track] = {}
        self._neighbourhood = Neighbourhood(settings.name, members)
        self._map = GossipMap[VoltageFact](0)
        self._attendance = Attendance(len(members), 0)
        self._prices = PriceEntry("", 0)
        self._lonely: dict[tuple[int, int], LimitPrice] = {}
        self._epoch = -1
        self._stamped = -1
        self._again = 0
        self._own: tuple[float, float, float] | None = None

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        match event:
            case Started():
                return self._start(now_s)
            case TimerFired():
                return self._tick(now_s)
            case Received(sender=sender, message=message):
                return self._receive(sender, message, now_s)
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

    def _receive(self, sender: str, message: Message, now_s: float) -> list[Action]:
        if isinstance(message, VoltageGossip) and sender in self._number:
            return self._hear(sender, message, now_s)
        if sender == self.settings.grid and type(message) in _GRID_REPLIES:
            told = self._station.hear(cast("GridReply", message))
            return told + self._follow(now_s)
        return []

    @property
    def links(self) -> tuple[str, ...]:
        """With whom it gossips now."""
        return self._map.links

    @property
    def knows_all(self) -> bool:
        """True when the paths of all members are known."""
        return len(self._tracks) == len(self._number)

    @property
    def prices(self) -> tuple[LimitPrice, ...]:
        """The multipliers above 0 that this agent knows."""
        lonely = self._lonely
        common = (p for p in self._prices.limits if (p.member, p.kind) not in lonely)
        return (*common, *(price for price in lonely.values() if price.multiplier > 0.0))

    def _start(self, now_s: float) -> list[Action]:
        """Begin a life; its session is the host's time, so it comes after all earlier ones."""
        session = int(now_s * 1e3) + 1
        self._map = GossipMap[VoltageFact](session)
        self._map.connect(self._neighbourhood.links)
        self._map.put(self.settings.announcement(session))
        self._tracks = {self._me: self._track}
        self._attendance = Attendance(len(self._number), self.settings.rhythm.epoch(now_s))
        return [*self._station.start(), SetTimer(TICK, self.settings.rhythm.tick_s)]

    # What is done each tick.

    def _tick(self, now_s: float) -> list[Action]:
        rhythm = self.settings.rhythm
        actions = self._station.repeat()
        epoch = rhythm.epoch(now_s)
        if epoch != self._epoch:
            self._epoch, self._again = epoch, 0
            actions += self._look_for_stall()
        if self._stamped < epoch and not rhythm.is_guarded(now_s) and self._can_speak():
            self._state()
        actions += self._compute(now_s)
        actions += self._follow(now_s)
        told = [Send(peer, self._gossip(peer)) for peer in self._map.turn(self.settings.fan_out)]
        return [*actions, *told, SetTimer(TICK, rhythm.tick_s)]

    def _gossip(self, peer: str) -> VoltageGossip:
        parcel, entries = self._map.parcel_for(peer)
        quiet = self._attendance.quiet(self._epoch)
        length = (len(self._number) + 7) // 8
        return VoltageGossip(parcel, entries, max(self._epoch, 0), quiet.to_bytes(length, "little"))

    def _can_speak(self) -> bool:
        """Return whether a statement would be true: something is seen, and prices are known."""
        return self._station.sees and (not self._prices.epoch or self._knows_prices())

    def _state(self) -> None:
        """Say what one sees, or that there is nothing to say."""
        self._stamped = self._epoch
        if self._is_quiet():
            self._attendance.hear(self._epoch, 1 << self._me)
            return
        price_kw, price_kvar = self._own_price()
        off_kw, off_kvar = self._station.off()
        state = State(
            v_pu=self._station.v_pu,
            answers=_together(self._station.answers(price_kw, price_kvar)),
            off_kw=off_kw,
            off_kvar=off_kvar,
            loading=self._station.loading(self.settings.margin_share),
            own=self._own,
        )
        stamp = stamp_of(self._epoch, self._again)
        entry = StateEntry(self.settings.name, stamp, self._prices.epoch & _BASE, pack(state))
        self._map.put(entry)
        self._attendance.note(self._epoch, self._me)

    def _is_quiet(self) -> bool:
        place, v_pu = self.settings.place, self._station.v_pu
        if place.devices or place.branch is not None or self._own is not None:
            return False
        near = max(self._band.excess(OVER, v_pu), self._band.excess(UNDER, v_pu)) > -NEAR_PU
        return not near and all(price.member != self._me for price in self._prices.limits)

    # What is heard.

    def _hear(self, sender: str, message: VoltageGossip, now_s: float) -> list[Action]:
        news = self._map.hear(sender, message.parcel, message.entries)
        self._attendance.hear(message.epoch, self._known(int.from_bytes(message.quiet, "little")))
        priced = False
        for entry in news:
            match entry:
                case StateEntry(owner=owner):
                    if owner in self._number:
                        self._attendance.note(epoch_of(entry.epoch), self._number[owner])
                case PathEntry(owner=owner):
                    if owner in self._number:
                        self._tracks[self._number[owner]] = Track(entry.path)
                case PriceEntry():
                    priced = True
                case _:
                    assert_never(entry)
        actions = self._adopt(now_s) if priced else []
        return actions + self._compute(now_s)

    def _known(self, quiet: int) -> int:
        return quiet & ((1 << len(self._number)) - 1)

    # How prices come about.

    def _compute(self, now_s: float) -> list[Action]:
        """Find the next prices, if all who live have spoken under the present ones."""
        epoch = self._epoch
        if _priced_for(self._prices) > epoch or not self._attendance.complete(epoch):
            return []
        view = self._view(epoch, self._prices.epoch)
        if view is None:
            return []
        found, trial = next_prices(view)
        live = self._attendance.live(epoch).bit_count()
        self._map.put(PriceEntry("", _price_version(epoch + 1, live, (found, trial)), found, trial))
        return self._adopt(now_s)

    def _view(self, epoch: int, base: int | None) -> View | None:
        """Return what was stated in an epoch; None where something does not fit together.

        With `base` None, what was stated at any time and under any prices will do.
        """
        statements = []
        for entry in self._map.of(StateEntry):
            if not isinstance(entry, StateEntry) or entry.owner not in self._number:
                continue
            if base is not None and epoch_of(entry.epoch) != epoch:
                continue
            path, state = self._map.get(PathEntry, entry.owner), unpack(entry.told)
            fits = base is None or entry.base == base & _BASE
            if isinstance(path, PathEntry) and state is not None and fits:
                statements.append(Statement(self._number[entry.owner], state, path.path))
            elif base is not None:
                return None
        prices = self.prices if base is None else self._prices.limits
        return View(tuple(statements), prices, self._band, self._prices.trial)

    def _adopt(self, now_s: float) -> list[Action]:
        """Take the newest prices over; say again what one sees, if one had spoken too early."""
        newest = self._map.get(PriceEntry, "")
        if not isinstance(newest, PriceEntry) or newest.epoch <= self._prices.epoch:
            return []
        self._prices = newest
        self._lonely, self._own = {}, None
        actions = self._follow(now_s)
        again = self._stamped == self._epoch and _priced_for(newest) <= self._epoch
        if again and self._can_speak():
            self._again += 1
            self._state()
        moved_kw, moved_kvar = self._station.moved
        fact = VoltageControlled(
            _priced_for(newest), len(newest.limits), self._station.v_pu, moved_kw, moved_kvar
        )
        return [*actions, Record(fact)]

    def _knows_prices(self) -> bool:
        """Return whether prices are known, and the places of all limits that they are for."""
        heard = bool(self._prices.epoch or self._lonely)
        return heard and all(price.member in self._tracks for price in self.prices)

    def _own_price(self) -> tuple[float, float]:
        return price_at(self._track, self.prices, self._tracks)

    def _follow(self, now_s: float) -> list[Action]:
        if not self.settings.place.devices or not self._knows_prices():
            # Who has just come back must not undo its last correction: it may still be good.
            return []
        return self._station.follow(*self._own_price(), now_s)

    def _look_for_stall(self) -> list[Action]:
        """Move the own multipliers alone when nobody has had a complete view for some epochs."""
        priced = _priced_for(self._prices)
        if self._stamped < 0 or self._epoch - priced <= STALLED_EPOCHS or not self._station.sees:
            return []
        for entry in self._map.of(StateEntry):
            if isinstance(entry, StateEntry) and entry.owner in self._number:
                self._take_lonely(entry)
        view = self._view(self._epoch, None)
        if view is None:
            return []
        moved = lonely_steps(view)
        mine = tuple(moved.get((self._me, kind), 0.0) for kind in range(3))
        begun = self._own is None
        self._own = cast("tuple[float, float, float]", mine)
        return [Record(EpochsStalled(self._epoch, priced))] if begun else []

    def _take_lonely(self, entry: StateEntry) -> None:
        """Believe what a member says of its own limits since the epochs stalled."""
        state = unpack(entry.told)
        if state is None or state.own is None:
            return
        if epoch_of(entry.epoch) < _priced_for(self._prices):
            return
        steep = state.loading.per_kw if state.loading is not None else 0.0
        number = self._number[entry.owner]
        for kind, multiplier in enumerate(state.own):
            self._lonely[number, kind] = LimitPrice(number, kind, multiplier, steep)


def _together(told: Iterable[Response]) -> tuple[Answer, ...]:
    """Return the answers of devices at one bus, those of one kind added up."""
    added: dict[tuple[float, float], list[float]] = {}
    for answer in told:
        sums = added.setdefault((answer.edge, answer.gap), [0.0, 0.0])
        sums[0] += answer.along
        sums[1] += answer.reactive
    return tuple(
        Answer(along, edge, reactive, gap) for (edge, gap), (along, reactive) in added.items()
    )


def _price_version(epoch: int, members: int, found: tuple[tuple[LimitPrice, ...], Trial]) -> int:
    """Return the version of prices: the epoch counts most, then who was seen, then any order."""
    digest = blake2b(_encode(found), digest_size=1).digest()[0]
    return epoch << 20 | members << 8 | digest


def _priced_for(prices: PriceEntry) -> int:
    """Return the epoch that prices hold from."""
    return prices.epoch >> 20
