"""What an observer hears comes to the same picture as asking all, as far as it can be heard."""

import msgspec
import pytest
from nacl.signing import SigningKey
from tests.broker.cell_for_tests import MARKET, NOTE, NOW_S, settlement

from peercell.agents.membership_messages import KnownPeer, RosterAnswer, RosterQuery
from peercell.agents.messages import Message
from peercell.agents.observer import FactsQuery, Observer
from peercell.agents.protocol import Commanded, Received, Reply
from peercell.agents.roster import PeerRecord, signed
from peercell.agents.trading.contract_messages import LateOffer, Unsettled
from peercell.agents.trading.messages import PriceMoved
from peercell.broker.hosting.heard import CODEC, Ear
from peercell.broker.processes.crew import State
from peercell.broker.status.picture import picture

KEY = SigningKey(bytes(32))


class Heard:
    """An observer that has heard facts, and knows peers."""

    def __init__(self) -> None:
        self._observer = Observer()
        self.known: dict[str, KnownPeer] = {}

    def hear(self, peer: str, fact: Message) -> None:
        """Take a fact in."""
        self._observer.step(Received(peer, fact), NOW_S)

    def meet(
        self, peer: str, incarnation: int, *, left: bool = False, silent: bool = False
    ) -> None:
        """Take a record in."""
        public = bytes(KEY.verify_key)
        record = PeerRecord(peer, "any", incarnation, 1, f"tcp://{peer}", public, 1e10, left)
        kept = signed(record, lambda message: KEY.sign(message).signature)
        self.known[peer] = KnownPeer(kept, silent, 12.0 if silent else 0.1)

    def asked(self, request: Message) -> Message:
        """Return what the observer answers."""
        match request:
            case FactsQuery():
                (reply,) = self._observer.step(Commanded(1, request), NOW_S)
                assert isinstance(reply, Reply)
                return reply.answer
            case RosterQuery(first=first):
                names = sorted(name for name in self.known if name >= first)
                # A page of one, so that asking for the next is tried as well.
                page = tuple(self.known[name] for name in names[:1])
                return RosterAnswer(page, names[1] if len(names) > 1 else "")
            case _:
                raise AssertionError(request)


@pytest.fixture
def heard() -> Heard:
    made = Heard()
    for peer in NOTE.roles:
        made.meet(peer, 5)
    for member in NOTE.members:
        other = next(each for each in NOTE.members if each != member)
        for interval in (0, 1):
            made.hear(member, settlement(interval, other))
    return made


def test_a_cell_that_is_heard_to_have_settled_is_converged(heard: Heard) -> None:
    seen = picture(NOTE, Ear(heard.asked).told(NOTE), NOW_S)
    assert (seen.converged, seen.unmet) == (True, ())
    assert seen.settled is not None
    assert (seen.settled.interval, seen.totals.settled, seen.totals.restarts) == (1, 2, 0)
    assert {each.member: each.price_eur_per_kwh for each in seen.members} == dict.fromkeys(
        MARKET, 0.2
    )


def test_facts_are_counted_once_however_often_it_is_asked(heard: Heard) -> None:
    ear = Ear(heard.asked)
    ear.told(NOTE)
    heard.hear("mg1.trader", Unsettled(2))
    heard.hear("mg1.trader", LateOffer(2, "mg1.c1", None))
    heard.hear("mg1.trader", PriceMoved(3, 4, (0.3,)))
    for _ in range(3):
        told = ear.told(NOTE).market["mg1.trader"]
    assert (told.settled, told.unsettled, told.late_offers) == (2, 1, 1)
    assert (told.interval, told.rounds, told.price_eur_per_kwh) == (2, 4, (0.3,))


def test_who_is_silent_has_left_or_was_never_heard_is_told(heard: Heard) -> None:
    ear = Ear(heard.asked)
    ear.told(NOTE)
    heard.meet("mg1.trader", 6, silent=True)
    heard.meet("aggregator", 5, left=True)
    del heard.known["dso"]
    told = {each.peer: each for each in ear.told(NOTE).states}
    assert told["mg1.trader"].state is State.RESTARTING
    assert told["mg1.trader"].reason == "silent for 12 s"
    assert (told["mg1.trader"].restarts, told["mg1.trader"].incarnation) == (1, 6)
    assert told["aggregator"].state is State.STOPPED
    assert told["dso"].state is State.STARTING


def test_all_that_an_observer_is_asked_can_travel() -> None:
    for message in (FactsQuery(3), RosterQuery("a")):
        assert CODEC.names[type(message)]
        assert (
            msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=type(message)) == message
        )
