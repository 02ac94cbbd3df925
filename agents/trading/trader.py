"""What a microgrid trader does: listen, trade, close, confirm; all transitions are here.

    LISTENING   just started: ask the neighbours for their last quotes, say nothing of one's own
    TRADING     exchange quotes until everyone's share of the error is small, or the gate closes
    SETTLING    confirm each trade with the neighbour it is with
    SETTLED     the plan stands; answer those who are not there yet

A coupling agent is the same role with neither load nor blocks; islanding is a capacity of 0.
"""

from enum import Enum, auto
from typing import assert_never

from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    Commanded,
    Event,
    PeerDown,
    PeerUp,
    Received,
    Record,
    Reply,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.agents.trading.blocks import Offer, Supply
from peercell.agents.trading.certificate import Position
from peercell.agents.trading.closing import GATE_ATTEMPT, Closing
from peercell.agents.trading.exchange import CurveExchange, Pricing
from peercell.agents.trading.gate import Gate
from peercell.agents.trading.links import LinkPair, links_by_peer
from peercell.agents.trading.messages import (
    Confirmation,
    CurveQuote,
    EnergyBid,
    EpochOpened,
    FrozenPrice,
    Hello,
    OfferChange,
    PriceMoved,
    Recall,
    Tally,
    TraderSettled,
)
from peercell.agents.trading.promises import GatePlan, Promises, remember, remembered
from peercell.agents.trading.recollection import Recollection
from peercell.agents.trading.settings import Method, TraderSettings
from peercell.agents.trading.settling import Settling
from peercell.agents.trading.subgradient import PriceAdjustment

ROUND, GATE = "round", "gate"
# Rounds in which traders that came back together talk to each other alone.
SHY_ROUNDS = 5
# Sessions are host times in this part of a second.
SESSIONS_PER_S = 1e6


class Phase(Enum):
    """Where a trader is within an epoch."""

    LISTENING = auto()
    TRADING = auto()
    SETTLING = auto()
    SETTLED = auto()


class MicrogridTrader:
    """The virtual entity that trades for a microgrid (section II of the paper)."""

    def __init__(self, settings: TraderSettings) -> None:
        self.settings = settings
        self.phase = Phase.LISTENING
        self.epoch = self.rounds = 0
        self._links: dict[str, LinkPair] = {}
        for cell in settings.cells:
            self._links.update(links_by_peer(settings.name, cell.links))
        self._neighbours = {
            peer for cell in settings.cells for peer in cell.members if peer != settings.name
        }
        self._supplies = self._supply(settings.offers)
        self._session = 0
        self._sessions: dict[str, int] = {}
        self._closing = Closing(settings, self._links)
        self.pricing: Pricing = self._new_pricing()
        self._settling: Settling | None = None
        self._recollection: Recollection | None = None
        self._gate: Gate | None = None
        self._established: set[str] = set()
        self._shy_rounds = 0
        self._closed_round = 0
        self._outcome: TraderSettled | None = None
        # What was remembered last; None until it is known what an earlier life has promised.
        self._kept: tuple[object, ...] | None = None

    @property
    def prices_eur_per_kwh(self) -> tuple[float, ...]:
        """The trader's price in each period."""
        return self.pricing.prices

    def _supply(self, offers: tuple[Offer, ...]) -> tuple[Supply, ...]:
        return tuple(Supply(offer, self.settings.voll_eur_per_kwh) for offer in offers)

    def _new_pricing(self) -> Pricing:
        if self.settings.method is Method.SUBGRADIENT:
            return PriceAdjustment(self.settings, self._supplies, self._session)
        return CurveExchange(self.settings, self._supplies, self._session)

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        actions = self._react(event, now_s)
        said = (self._session, *self._closing.said, self._gate is None, self.phase)
        if self._kept is None or said == self._kept:
            return actions
        self._kept = said
        return [remember(self._promises()), *actions]

    def _react(self, event: Event, now_s: float) -> list[Action]:
        match event:
            case Started(memory=memory):
                return self._start(now_s, remembered(memory))
            case Received():
                return self._hear(event.sender, event.message)
            case TimerFired(name=name):
                return self._round() if name == ROUND else self._close_gate()
            case PeerDown(peer=peer) | PeerUp(peer=peer):
                if isinstance(event, PeerDown):
                    self.pricing.forget(peer)
                self._closing.excuse(peer, isinstance(event, PeerDown))
                return self._advance()
            case Commanded():
                return self._obey(event)
            case _:
                assert_never(event)

    def _start(self, now_s: float, before: Promises | None) -> list[Action]:
        """Ask all neighbours; the session number puts this life after all earlier ones."""
        self._kept = ()
        self._session = int(now_s * SESSIONS_PER_S)
        resumed: list[Action] = []
        if before is not None:
            self._session = max(self._session, before.session + 1)
            resumed = self._resume(before) if before.epoch >= self.epoch else []
        self.pricing = self._new_pricing()
        hello = Hello(self.epoch, self._session)
        return [
            *(Send(peer, hello) for peer in sorted(self._neighbours)),
            *resumed,
            SetTimer(ROUND, self.settings.round_s),
            SetTimer(GATE, self.settings.gate_closure_s),
        ]

    def _resume(self, before: Promises) -> list[Action]:
        """Go on with what an earlier life has promised; what was not promised begins anew."""
        self.epoch = before.epoch
        self._supplies = self._supply(before.offers)
        self._closing.open(self.epoch)
        self._closing.resume(before.spoken, before.pledges)
        if before.gate is not None:
            self.phase = Phase.TRADING
            self._gate = Gate(self.epoch, before.gate.prices, before.gate.imports)
        if before.closed is None:
            return []
        attempt, plan, void = before.closed
        if attempt != GATE_ATTEMPT:
            self._closing.decided = attempt, plan
        actions = self._settle(attempt, plan, void)
        if before.settled is not None:
            self.phase = Phase.SETTLED
            self._outcome = before.settled
            actions.append(Record(before.settled))
        return actions

    def _promises(self) -> Promises:
        closing, gate, closed = self._closing, self._gate, self._settling
        return Promises(
            session=self._session,
            epoch=self.epoch,
            offers=tuple(supply.offer for supply in self._supplies),
            spoken=closing.spoken,
            pledges=closing.pledges,
            gate=None if gate is None else GatePlan(gate.prices, dict(gate.imports)),
            closed=None if closed is None else (closed.attempt, closed.plan, closed.void),
            settled=self._outcome,
        )

    def _obey(self, event: Commanded) -> list[Action]:
        """Change the offer and open a new epoch; other commands are not ours."""
        if not isinstance(event.request, OfferChange):
            return []
        named = event.request.epoch
        epoch = self.epoch + 1 if named is None else named
        opened: list[Action] = []
        if epoch > self.epoch:
            self._supplies = self._supply(event.request.offers)
            self.pricing.offer(self._supplies)
            opened = self._open(epoch)
        return [*opened, Reply(event.request_id, EpochOpened(self.epoch))]

    def _open(self, epoch: int) -> list[Action]:
        """Begin an epoch with all prices and curves of the last one as a warm start."""
        self.epoch = epoch
        self.rounds = 0
        self._closing.open(epoch)
        self._settling = self._outcome = self._recollection = None
        self._gate = None
        if self.phase is not Phase.LISTENING:
            self.phase = Phase.TRADING
        return [
            SetTimer(ROUND, self.settings.round_s),
            SetTimer(GATE, self.settings.gate_closure_s),
            Record(EpochOpened(epoch)),
        ]

    # What is heard.

    def _hear(self, sender: str, message: Message) -> list[Action]:
        actions: list[Action] = []
        match message:
            case Hello() | CurveQuote() | EnergyBid():
                epoch = message.epoch
            case FrozenPrice() | Tally() | Confirmation() | Recall():
                epoch = message.epoch
            case _:
                return []
        if epoch > self.epoch:
            actions += self._open(epoch)
        if isinstance(message, Hello | CurveQuote | EnergyBid):
            return actions + self._hear_pricing(sender, message)
        if epoch < self.epoch:
            return actions
        actions += self._hear_closing(sender, message)
        return actions + self._advance()

    def _hear_pricing(self, sender: str, message: Hello | CurveQuote | EnergyBid) -> list[Send]:
        known = self._sessions.get(sender)
        if sender not in self._neighbours or (known is not None and message.session < known):
            return []
        self._sessions[sender] = message.session
        restarted = known is not None and message.session > known
        if restarted and self.phase is Phase.TRADING:
            # Its last offer stays in force until it has a new one; its frozen price does not.
            self._closing.restarted(sender)
        if not isinstance(message, Hello):
            # Who still trades has come back, and forgotten what was agreed on.
            ended = self.phase is Phase.SETTLED and self._settling and message.epoch == self.epoch
            told = self._settling.remind(sender) if ended and self._settling else []
            return [*told, *self.pricing.hear(sender, message)]
        if self.phase is Phase.LISTENING:
            # A second hello means that ours was lost.
            again = known == message.session
            return [Send(sender, Hello(self.epoch, self._session))] if again else []
        settled = (
            self._settling.remind(sender) if self._settling and message.epoch <= self.epoch else []
        )
        return [*settled, *self.pricing.tell(sender)]

    def _hear_closing(
        self, sender: str, message: FrozenPrice | Tally | Confirmation | Recall
    ) -> list[Action]:
        match message:
            case FrozenPrice(attempt=attempt) if attempt >= GATE_ATTEMPT:
                return self._hear_gate(sender, message)
            case FrozenPrice():
                return [*self._closing.hear_frozen(sender, message)]
            case Tally():
                return [*self._closing.hear_tally(sender, message)]
            case Confirmation(attempt=attempt) | Recall(attempt=attempt):
                if self._gate is None or attempt != GATE_ATTEMPT:
                    self._closing.hear_confirmed(attempt)
                begun = self._advance()
                if self._settling is not None:
                    return [*begun, *self._settling.hear(sender, message)]
                if self._recollection is not None:
                    self._recollection.hear(sender, message)
                return begun
            case _:
                assert_never(message)

    def _hear_gate(self, sender: str, message: FrozenPrice) -> list[Action]:
        """Close the gate with the first neighbour that does, unless all have agreed before."""
        if self._closing.decided is not None:
            return [*self._closing.tell(sender)]
        if self._recollection is not None:
            return []
        opened = self._close_gate()
        return [*opened, *(self._gate.hear(sender, message) if self._gate else [])]

    # What is done each round.

    def _round(self) -> list[Action]:
        self.rounds += 1
        actions: list[Action] = []
        match self.phase:
            case Phase.LISTENING:
                actions += self._listen()
            case Phase.TRADING:
                actions += self._trade()
            case Phase.SETTLING | Phase.SETTLED:
                if self._settling is not None:
                    actions += self._settling.look()
                actions += self._closing.gossip()
            case _:
                assert_never(self.phase)
        if self._recollection is not None and self._settling is None:
            actions += self._recollection.look()
        actions += self._advance()
        if actions or self.phase is not Phase.SETTLED:
            actions.append(SetTimer(ROUND, self.settings.round_s))
        return actions

    def _listen(self) -> list[Action]:
        """Ask those not heard yet; trade as soon as each has spoken once, or is given up."""
        missing = self._neighbours - self._sessions.keys()
        if missing and self.rounds < self.settings.listen_rounds:
            hello = Hello(self.epoch, self._session)
            return [Send(peer, hello) for peer in sorted(missing)]
        self.phase = Phase.TRADING
        self._closing.join_late()
        self._established = self._neighbours & self.pricing.heard.keys()
        self._shy_rounds = SHY_ROUNDS if self._established != self._neighbours else 0
        return self._trade()

    def _quotes(self) -> list[Send]:
        """Return the quotes of this round.

        Neighbours who came back together have lost their lines to each other. They find them again
        between themselves, while those who kept theirs go on with the last offers.
        """
        sends = self.pricing.look(self.epoch)
        if not self._shy_rounds:
            return sends
        self._shy_rounds -= 1
        if self._shy_rounds == 0:
            late = [send for peer in sorted(self._established) for send in self.pricing.tell(peer)]
            return [*(send for send in sends if send.to not in self._established), *late]
        return [send for send in sends if send.to not in self._established]

    def _trade(self) -> list[Action]:
        before = self.pricing.prices
        actions: list[Action] = [*self._quotes()]
        prices = self.pricing.prices
        if prices != before:
            actions.append(Record(PriceMoved(self.epoch, self.rounds, prices)))
        if self._recollection is not None:
            return actions
        if self._gate is not None:
            return actions + self._gate.look()
        return actions + self._closing.look(self._supplies, prices, self.pricing.heard)

    def _close_gate(self) -> list[Action]:
        """End trading with the plans that there are; their gap is known as well."""
        if self.phase in {Phase.SETTLING, Phase.SETTLED} or self._gate is not None:
            return []
        if self._recollection is not None:
            self._recollection.give_up()
            return self._advance()
        self.phase = Phase.TRADING
        self._gate = Gate(self.epoch, self.pricing.prices, self.pricing.imports())
        return [*self._gate.look()]

    # How an epoch ends.

    def _advance(self) -> list[Action]:
        """Go from trading to settling and from settling to settled when it is time."""
        actions: list[Action] = []
        if self.phase in {Phase.LISTENING, Phase.TRADING}:
            closed = self._closed()
            if closed is None:
                return []
            actions += self._settle(*closed)
        if self.phase is Phase.SETTLING and self._settling is not None and self._settling.done:
            self.phase = Phase.SETTLED
            self._outcome = self._settling.fact(self._closed_round, self._supplies, self._links)
            actions.append(Record(self._outcome))
        return actions

    def _settle(self, attempt: int, plan: Position, void: tuple[str, ...] = ()) -> list[Action]:
        self.phase = Phase.SETTLING
        self._closed_round = self.rounds
        self._settling = Settling(self.epoch, attempt, plan, void)
        return [*self._settling.look()]

    def _closed(self) -> tuple[int, Position, tuple[str, ...]] | None:
        """Return the attempt and plan with which trading is over, if it is, and what is void."""
        closing = self._closing
        if closing.decided is not None:
            return (*closing.decided, ())
        if self._gate is not None:
            done = self._gate.done
            plan = self._gate.plan(self._supplies, self._links) if done else None
            return None if plan is None else (GATE_ATTEMPT, plan, ())
        if closing.missed is None:
            return None
        if self._recollection is None or self._recollection.attempt != closing.missed:
            self._recollection = Recollection(self.epoch, closing.missed, self._links)
        recalled = self._recollection.plan(self._supplies, self.pricing.prices)
        return None if recalled is None else (closing.missed, *recalled)
