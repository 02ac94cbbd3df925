"""Peers of this version and of the next one in a cell: any mix of them comes to the same optimum.

The next version is a double: every message of trading has a field more, and there is a new kind.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta, Raw, structs
from tests.agents.trading.markets import reference

from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, Received, Role, Send
from peercell.agents.trading.messages import TradingFact, TradingMessage
from peercell.broker.gate import Gate
from peercell.broker.simulating import simulation
from peercell.broker.solving import trade
from peercell.broker.solving.trade import SolveSettings, TradeResult, trade_out
from peercell.broker.wire import Codec, Drop, kind_of, messages_of

Hint = Annotated[str, Meta(max_length=8)]


class Tomorrow(Message, frozen=True):
    """A kind that the next version has brought along."""

    when: int = 1


def with_a_field_more(now: type[Message]) -> type[Message]:
    """Return a kind as the next version has it: the same name, and a field more at its end."""
    fields: list[Any] = [
        (each.name, each.type, each.default)
        if each.default is not msgspec.NODEFAULT
        else (each.name, each.type)
        for each in structs.fields(now)
    ]
    later = msgspec.defstruct(
        f"Next{now.__name__}",
        [*fields, ("hint", Hint, "")],
        bases=(Message,),
        namespace={"newest_by": now.newest_by},
        frozen=True,
        array_like=True,
        tag=kind_of(now),
    )
    assert issubclass(later, Message)
    return later


KINDS = messages_of(TradingMessage | TradingFact)
NEXT = {now: with_a_field_more(now) for now in KINDS}
NOW = {later: now for now, later in NEXT.items()}
CODEC, NEXT_CODEC = Codec(*KINDS), Codec(*NEXT.values(), Tomorrow)


def changed(message: Message, into: type[Message]) -> Message:
    """Return a message as another version holds it: what it does not have is left out."""
    told = {each.name: getattr(message, each.name, "news") for each in structs.fields(into)}
    return into(**told)


class Newer:
    """A role of the next version: says more in each message, and things that nobody knows yet."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.hints: Counter[str] = Counter()

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        if isinstance(event, Received):
            if isinstance(event.message, Tomorrow):
                return []
            self.hints[getattr(event.message, "hint")] += 1  # noqa: B009 - a field of a double
            event = Received(event.sender, changed(event.message, NOW[type(event.message)]))
        return list(self._newer(self.role.step(event, now_s)))

    def _newer(self, actions: list[Action]) -> Iterator[Action]:
        for action in actions:
            if isinstance(action, Send):
                yield Send(action.to, changed(action.message, NEXT[type(action.message)]))
                yield Send(action.to, Tomorrow())
            else:
                yield action


class Versions:
    """What is said on links between two versions: one name, and two forms of its content."""

    bodies = CODEC.bodies
    kinds = CODEC.kinds

    def say(self, message: Message) -> tuple[str, bytes, Raw]:
        """See Words.say."""
        body = msgspec.msgpack.encode(message)
        return kind_of(type(message)), body, Raw(body)


def solve(newer: frozenset[str], patch: pytest.MonkeyPatch) -> tuple[TradeResult, Any, list[Newer]]:
    """Return how a market comes out in which some traders are newer; the simulation; and those."""
    made: list[Any] = []
    roles: list[Newer] = []

    def mixed(*told: Any) -> Any:
        model = simulation(*told)
        begin: Callable[..., None] = model._begin
        start: Callable[..., None] = model.start

        def begun(peer: Any, make: Callable[[], Role]) -> None:
            begin(peer, make)
            peer.gate = Gate(NEXT_CODEC if peer.name in newer else CODEC)

        def started(name: str, role: Role, at_s: float = 0.0) -> None:
            if name in newer:
                role = Newer(role)
                roles.append(role)
            start(name, role, at_s)

        for name, put in (("_words", Versions()), ("_begin", begun), ("start", started)):
            patch.setattr(model, name, put)
        made.append(model)
        return model

    patch.setattr(trade, "simulation", mixed)
    market, _ = reference("ring4")
    return trade_out(market, SolveSettings()), made[0], roles


def test_every_mix_of_two_versions_finds_the_same_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    market, _ = reference("ring4")
    names = sorted(market.offers)
    expected = trade_out(market, SolveSettings())
    for chosen in product((False, True), repeat=len(names)):
        newer = frozenset(name for name, new in zip(names, chosen, strict=True) if new)
        result, model, roles = solve(newer, monkeypatch)
        assert structs.replace(result, messages=0) == structs.replace(expected, messages=0), newer
        # Nothing but the new kind is refused, and only by those who do not know it.
        assert set(model.dropped) <= {Drop.UNKNOWN_KIND}
        assert bool(model.dropped) is bool(0 < len(newer) < len(names))
        for role in roles:
            assert set(role.hints) <= {"", "news"}
            assert bool(role.hints["news"]) <= (len(newer) > 1)
