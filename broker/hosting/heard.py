"""What an observer has heard of a cell, put together as if all its peers had been asked.

Peers that run elsewhere cannot be asked by an operator of this host. But every one of them sends
the observer a copy of each fact that it records, and its record says that it is there.
"""

from collections.abc import Callable, Iterator
from math import fsum

import msgspec
from msgspec import Struct, structs

from peercell.agents.dso_messages import CellObserved, DsoStatus
from peercell.agents.membership_messages import (
    KnownPeer,
    MembershipMessage,
    RosterAnswer,
    RosterQuery,
)
from peercell.agents.messages import Message
from peercell.agents.observer import FactsAnswer, FactsQuery, ObservedFact, ObserverMessage
from peercell.agents.roster import record_of
from peercell.agents.trading.calendar import MarketPhase
from peercell.agents.trading.contract_messages import (
    LateOffer,
    MarketStatus,
    Settlement,
    Unsettled,
)
from peercell.agents.trading.messages import PriceMoved
from peercell.broker.operator_port import HostMessage
from peercell.broker.plans.live import RunNote
from peercell.broker.processes.crew import State
from peercell.broker.processes.plan import PeerState
from peercell.broker.status.live import Told
from peercell.broker.wire import FRAME_BYTES_MAX, Codec, body_decoder, kind_of

# Answers that are asked for in one look; what is left over comes with the next.
PAGES_MAX = 64
CODEC = Codec(MembershipMessage, ObserverMessage, HostMessage, frame_bytes_max=FRAME_BYTES_MAX)

_HEARD = (Settlement, Unsettled, LateOffer, PriceMoved, CellObserved)
_decoders = {kind_of(kind): body_decoder(kind) for kind in _HEARD}


class _Head(Struct, array_like=True):
    kind: str


_head = msgspec.msgpack.Decoder(_Head).decode
_NOTHING = MarketStatus(
    interval=None,
    phase=MarketPhase.AHEAD,
    rounds=0,
    price_eur_per_kwh=None,
    converged=False,
    last=None,
)


class Ear:
    """What one observer has heard since it began.

    Parameters
    ----------
    asked : returns what the observer answers; may raise UnreachableError
    """

    def __init__(self, asked: Callable[[Message], Message]) -> None:
        self._asked = asked
        self._number = 0
        self._market: dict[str, MarketStatus] = {}
        self._dso: CellObserved | None = None
        self._incarnations: dict[str, tuple[int, int]] = {}

    def told(self, note: RunNote) -> Told:
        """Return what the peers of a run have told, who they are and whether they are heard.

        Raises
        ------
        UnreachableError : the observer does not answer.
        """
        for page in self._facts():
            for each in page.facts:
                self._hear(each)
        known = {record_of(each.signed).peer: each for each in self._roster()}
        states = tuple(
            self._state(peer, role, known.get(peer)) for peer, role in note.roles.items()
        )
        members = {peer: self._market[peer] for peer in note.members if peer in self._market}
        return Told(states, members, self._dso_status(note))

    def _hear(self, told: ObservedFact) -> None:
        """Take one fact in."""
        self._number = told.number
        decode = _decoders.get(_head(told.fact).kind)
        if decode is None:
            return
        fact = decode(msgspec.Raw(told.fact))
        if isinstance(fact, CellObserved):
            self._dso = fact
        else:
            before = self._market.get(told.peer, _NOTHING)
            self._market[told.peer] = _after(before, fact)

    def _state(self, peer: str, role: str, known: KnownPeer | None) -> PeerState:
        """Return how a peer is doing as far as the observer can tell."""
        if known is None:
            return _state(peer, role, State.STARTING, "the observer has not heard of it")
        record = record_of(known.signed)
        newest, restarts = self._incarnations.get(peer, (record.incarnation, 0))
        if record.incarnation > newest:
            newest, restarts = record.incarnation, restarts + 1
        self._incarnations[peer] = newest, restarts
        state, reason = State.UP, ""
        if record.left:
            state, reason = State.STOPPED, "it has left"
        elif known.suspected:
            state, reason = State.RESTARTING, f"silent for {known.silence_s:.0f} s"
        found = _state(peer, role, state, reason)
        return structs.replace(
            found, restarts=restarts, incarnation=newest, endpoint=record.endpoint
        )

    def _dso_status(self, note: RunNote) -> DsoStatus | None:
        if self._dso is None:
            return None
        interval = self._dso.interval
        at = note.calendar.at(interval)
        return DsoStatus(interval, at, self._dso.stamp, self._dso.reading)

    def _facts(self) -> Iterator[FactsAnswer]:
        for _ in range(PAGES_MAX):
            page = self._asked(FactsQuery(self._number))
            if not isinstance(page, FactsAnswer) or not page.facts:
                return
            yield page

    def _roster(self) -> Iterator[KnownPeer]:
        first = ""
        for _ in range(PAGES_MAX):
            page = self._asked(RosterQuery(first))
            if not isinstance(page, RosterAnswer):
                return
            yield from page.peers
            first = page.next
            if not first:
                return


def _after(before: MarketStatus, fact: Message) -> MarketStatus:
    """Return how the market of a member goes after one more fact of it."""
    match fact:
        case PriceMoved(epoch=epoch, round=rounds, price_eur_per_kwh=price):
            return structs.replace(
                before, interval=epoch - 1, rounds=rounds, price_eur_per_kwh=price, converged=False
            )
        case Unsettled():
            return structs.replace(before, unsettled=before.unsettled + 1)
        case LateOffer():
            return structs.replace(before, late_offers=before.late_offers + 1)
        case Settlement(interval=interval, plan=plan, saving_eur=saving_eur):
            return structs.replace(
                before,
                interval=interval,
                rounds=plan.round,
                price_eur_per_kwh=plan.price_eur_per_kwh,
                converged=plan.certified,
                last=fact,
                settled=before.settled + 1,
                fallbacks=before.fallbacks + (not plan.certified),
                unserved_kwh=before.unserved_kwh + fsum(plan.unserved_kwh),
                saving_eur=before.saving_eur + saving_eur,
            )
        case _:
            return before


def _state(peer: str, role: str, state: State, reason: str) -> PeerState:
    return PeerState(peer, role, state, reason, 0.0, 0, 0, 0, "", "")
