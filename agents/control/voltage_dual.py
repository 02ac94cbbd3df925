"""What a voltage agent does: measure, tell, and follow prices that all find alike.

Second algorithm of section III of the paper: least curtailment and reactive power within the
limits, by dual decomposition. Each epoch, in this order (all transitions are in `Circle`):
    after the guard all state what they see, and how their devices would answer to prices;
    whoever has the statements of all who live computes the next prices, and its devices follow;
    whoever hears newer prices takes them over.
Views with a gap, or of fewer than half of the members, compute nothing. When epochs stall, each
member moves its own multipliers, in steps that are safe whatever the others do.
"""

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import assert_never, cast

import msgspec

from peercell.agents.agreement import Attendance
from peercell.agents.control.circle import Circle
from peercell.agents.control.device import Response
from peercell.agents.control.levels import OtherLevel, level_price_at, level_prices
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
from peercell.agents.control.voltage_messages import (
    Answer,
    EpochsStalled,
    LevelPrice,
    LimitPrice,
    PathEntry,
    PriceEntry,
    State,
    StateEntry,
    VoltageControlled,
    VoltageFact,
    VoltageGossip,
)
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, Record

# Within this of a limit a member speaks even when nothing is broken: another one's primary control
# may be what keeps its voltage in.
NEAR_PU = 0.005
STALLED_EPOCHS = 3
# Of the version of prices, what a statement made under them repeats.
_BASE = 255
_encode = msgspec.msgpack.Encoder().encode


class VoltageDual:
    """A voltage agent that shares prices of the limits; see `Role` and `Law`.

    Parameters
    ----------
    settings : of the agent
    beyond : tells of another level of control that it couples with this one
    """

    def __init__(
        self, settings: VoltageSettings, beyond: Callable[[], OtherLevel] | None = None
    ) -> None:
        self._beyond = beyond
        self.circle = Circle(settings)
        self._station = self.circle.station
        self._band = settings.band
        self._attendance = Attendance(len(settings.members), 0)
        self._prices = PriceEntry("", 0)
        self._lonely: dict[tuple[int, int], LimitPrice] = {}
        self._again = 0
        self._own: tuple[float, float, float] | None = None

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        return self.circle.step(event, now_s, self)

    @property
    def prices(self) -> tuple[LimitPrice, ...]:
        """The multipliers above 0 that this agent knows."""
        lonely = self._lonely
        common = (p for p in self._prices.limits if (p.member, p.kind) not in lonely)
        return (*common, *(price for price in lonely.values() if price.multiplier > 0.0))

    @property
    def levels(self) -> tuple[LevelPrice, ...]:
        """What other levels add to the prices."""
        return self._prices.levels

    @property
    def price(self) -> tuple[float, float]:
        """Price of a kW and of a kvar at the own place."""
        circle, tracks = self.circle, self.circle.places.tracks
        price_kw, price_kvar = price_at(circle.track, self.prices, tracks)
        if self._prices.levels:
            more = level_price_at(circle.track, circle.me, self._prices.levels, tracks)
            price_kw, price_kvar = price_kw + more[0], price_kvar + more[1]
        return price_kw, price_kvar

    def stated(self) -> list[State]:
        """Return what the others who live have stated last."""
        circle = self.circle
        live = self._attendance.live(circle.epoch)
        found = [
            unpack(entry.told)
            for entry in circle.map.of(StateEntry)
            if entry.owner in circle.number and entry.owner != circle.settings.name
            if live >> circle.number[entry.owner] & 1
        ]
        return [state for state in found if state is not None]

    def begin(self, now_s: float) -> None:
        """See Law.begin."""
        circle = self.circle
        epoch = circle.settings.rhythm.epoch(now_s)
        self._attendance = Attendance(len(circle.number), epoch)

    def turn(self, ended: int, now_s: float) -> list[Action]:
        """Begin an epoch; see whether the last ones have led to prices."""
        del ended, now_s
        self._again = 0
        return self._look_for_stall()

    def speak(self) -> bool:
        """Say what one sees, if it would be true: the prices that hold must be known."""
        if self._prices.epoch and not self._knows_prices():
            return False
        self._state()
        return True

    def tick(self, now_s: float) -> list[Action]:
        """Find prices, if all have spoken, and follow them."""
        return [*self._compute(now_s), *self.look(now_s)]

    @property
    def quiet(self) -> bytes:
        """See Law.quiet."""
        length = (len(self.circle.number) + 7) // 8
        return self._attendance.quiet(self.circle.epoch).to_bytes(length, "little")

    def _state(self) -> None:
        """Say what one sees, or that there is nothing to say."""
        circle, epoch = self.circle, self.circle.epoch
        if self._is_quiet():
            self._attendance.hear(epoch, 1 << circle.me)
            return
        off_kw, off_kvar = self._station.off()
        answers, levels = _together(self._station.answers(*self.price)), None
        if self._beyond is not None:
            other = self._beyond()
            answers, levels = (*answers, *other.answers), other.levels
            off_kw, off_kvar = off_kw + other.off_kw, off_kvar + other.off_kvar
        state = State(
            v_pu=self._station.v_pu,
            answers=answers,
            off_kw=off_kw,
            off_kvar=off_kvar,
            loading=self._station.loading(circle.settings.margin_share),
            own=self._own,
            levels=levels,
        )
        stamp, base = stamp_of(epoch, self._again), self._prices.epoch & _BASE
        circle.map.put(StateEntry(circle.settings.name, stamp, base, pack(state)))
        self._attendance.note(epoch, circle.me)

    def _is_quiet(self) -> bool:
        place, v_pu = self.circle.settings.place, self._station.v_pu
        speaks = place.devices or place.branch is not None or self._beyond is not None
        if speaks or self._own is not None:
            return False
        near = max(self._band.excess(OVER, v_pu), self._band.excess(UNDER, v_pu)) > -NEAR_PU
        return not near and all(price.member != self.circle.me for price in self._prices.limits)

    # What is heard.

    def hear(
        self, sender: str, message: Message, news: list[VoltageFact], now_s: float
    ) -> list[Action]:
        """Take in who has spoken; take over newer prices, and find the next ones."""
        del sender
        if not isinstance(message, VoltageGossip):
            return []
        self._attendance.hear(message.epoch, self._known(int.from_bytes(message.quiet, "little")))
        number, priced = self.circle.number, False
        for entry in news:
            match entry:
                case StateEntry(owner=owner):
                    if owner in number:
                        self._attendance.note(epoch_of(entry.epoch), number[owner])
                case PriceEntry():
                    priced = True
                case PathEntry():
                    pass
                case _:
                    assert_never(entry)
        actions = self._adopt(now_s) if priced else []
        return actions + self._compute(now_s)

    def _known(self, quiet: int) -> int:
        return quiet & ((1 << len(self.circle.number)) - 1)

    # How prices come about.

    def _compute(self, now_s: float) -> list[Action]:
        """Find the next prices, if all who live have spoken under the present ones."""
        epoch = self.circle.epoch
        if _priced_for(self._prices) > epoch or not self._attendance.complete(epoch):
            return []
        live = self._attendance.live(epoch).bit_count()
        if 0 < 2 * live < len(self.circle.number):
            # Who hears nobody for a while has a complete view of itself, and would tell all others
            # that there is nothing to keep.
            return []
        view = self._view(epoch, self._prices.epoch)
        if view is None:
            return []
        found, levels = next_prices(view), level_prices(view)
        version = _price_version(epoch + 1, live, _encode((*found, levels)))
        self.circle.map.put(PriceEntry("", version, *found, levels))
        return self._adopt(now_s)

    def _view(self, epoch: int, base: int | None) -> View | None:
        """Return what was stated in an epoch; None where something does not fit together.

        With `base` None, what was stated at any time and under any prices will do.
        """
        statements = []
        circle = self.circle
        for entry in circle.map.of(StateEntry):
            if entry.owner not in circle.number:
                continue
            if base is not None and epoch_of(entry.epoch) != epoch:
                continue
            path, state = circle.map.get(PathEntry, entry.owner), unpack(entry.told)
            fits = base is None or entry.base == base & _BASE
            if path is not None and state is not None and fits:
                statements.append(Statement(circle.number[entry.owner], state, path.path))
            elif base is not None:
                return None
        prices = self.prices if base is None else self._prices.limits
        return View(tuple(statements), prices, self._band, self._prices.trial)

    def _adopt(self, now_s: float) -> list[Action]:
        """Take the newest prices over; say again what one sees, if one had spoken too early."""
        newest, epoch = self.circle.map.get(PriceEntry, ""), self.circle.epoch
        if newest is None or newest.epoch <= self._prices.epoch:
            return []
        self._prices = newest
        self._lonely, self._own = {}, None
        actions = self.look(now_s)
        too_early = self.circle.stamped == epoch and _priced_for(newest) <= epoch
        if too_early and self._station.sees and self._knows_prices():
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
        return heard and all(price.member in self.circle.places.tracks for price in self.prices)

    def look(self, now_s: float) -> list[Action]:
        """Make the devices follow the prices."""
        if not self.circle.settings.place.devices or not self._knows_prices():
            # Who has just come back must not undo its last correction: it may still be good.
            return []
        return self._station.follow(*self.price, now_s)

    def _look_for_stall(self) -> list[Action]:
        """Move the own multipliers alone when nobody has had a complete view for some epochs."""
        circle, priced = self.circle, _priced_for(self._prices)
        if circle.stamped < 0 or circle.epoch - priced <= STALLED_EPOCHS or not self._station.sees:
            return []
        for entry in circle.map.of(StateEntry):
            if entry.owner in circle.number:
                self._take_lonely(entry)
        view = self._view(circle.epoch, None)
        if view is None:
            return []
        moved = lonely_steps(view)
        mine = tuple(moved.get((circle.me, kind), 0.0) for kind in range(3))
        begun = self._own is None
        self._own = cast("tuple[float, float, float]", mine)
        return [Record(EpochsStalled(circle.epoch, priced))] if begun else []

    def _take_lonely(self, entry: StateEntry) -> None:
        """Believe what a member says of its own limits since the epochs stalled."""
        state = unpack(entry.told)
        if state is None or state.own is None:
            return
        if epoch_of(entry.epoch) < _priced_for(self._prices):
            return
        steep = state.loading.per_kw if state.loading is not None else 0.0
        number = self.circle.number[entry.owner]
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


def _price_version(epoch: int, members: int, found: bytes) -> int:
    """Return the version of prices: the epoch counts most, then who was seen, then any order."""
    digest = blake2b(found, digest_size=1).digest()[0]
    return epoch << 20 | members << 8 | digest


def _priced_for(prices: PriceEntry) -> int:
    """Return the epoch that prices hold from."""
    return prices.epoch >> 20
