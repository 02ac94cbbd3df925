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
from peercell.agents.trading.certificate import Position, standalone_cost
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
    LinkTrade,
    OfferChange,
    PriceMoved,
    Tally,
    TraderSettled,
)
from peercell.agents.trading.settings import Method, TraderSettings
from peercell.agents.trading.settling import Recollection, Settling
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
        self.epoch = 0
        self.rounds = 0
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
        self._pricing: Pricing = self._new_pricing()
        self._settling: Settling | None = None
        self._recollection = Recollection(self._links)
        self._gate: Gate | None = None
        self._established: set[str] = set()
        self._shy_rounds = 0
        self._closed_round = 0

    @property
    def prices_eur_per_kwh(self) -> tuple[float, ...]:
        """The trader's price in each period."""
        return self._pricing.prices

    def _supply(self, offers: tuple[Offer, ...]) -> tuple[Supply, ...]:
        return tuple(Supply(offer, self.settings.voll_eur_per_kwh) for offer in offers)

    def _new_pricing(self) -> Pricing:
        if self.settings.method is Method.SUBGRADIENT:
            return PriceAdjustment(self.settings, self._supplies, self._session)
        return CurveExchange(self.settings, self._supplies, self._session)

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        match event:
            case Started():
                return self._start(now_s)
            case Received():
                return self._hear(event.sender, event.message)
            case TimerFired(name=name):
                return self._round() if name == ROUND else self._close_gate()
            case PeerDown(peer=peer) | PeerUp(peer=peer):
                if isinstance(event, PeerDown):
                    self._pricing.forget(peer)
                self._closing.excuse(peer, isinstance(event, PeerDown))
                return self._advance()
            case Commanded():
                return self._obey(event)
            case _:
                assert_never(event)

    def _start(self, now_s: float) -> list[Action]:
        """Ask all neighbours; the session number puts this life after all earlier ones."""
        self._session = int(now_s * SESSIONS_PER_S)
        self._pricing = self._new_pricing()
        hello = Hello(self.epoch, self._session)
        return [
            *(Send(peer, hello) for peer in sorted(self._neighbours)),
            SetTimer(ROUND, self.settings.round_s),
            SetTimer(GATE, self.settings.gate_closure_s),
        ]

    def _obey(self, event: Commanded) -> list[Action]:
        """Change the offer and open a new epoch; other commands are not ours."""
        if not isinstance(event.request, OfferChange):
            return []
        named = event.request.epoch
        epoch = self.epoch + 1 if named is None else named
        opened: list[Action] = []
        if epoch > self.epoch:
            self._supplies = self._supply(event.request.offers)
            self._pricing.offer(self._supplies)
            opened = self._open(epoch)
        return [*opened, Reply(event.request_id, EpochOpened(self.epoch))]

    def _open(self, epoch: int) -> list[Action]:
        """Begin an epoch with all prices and curves of the last one as a warm start."""
        self.epoch = epoch
        self.rounds = 0
        self._closing.open(epoch)
        self._settling = None
        self._recollection = Recollection(self._links)
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
            case FrozenPrice() | Tally() | Confirmation():
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
            told = self._settling.tell(sender) if ended and self._settling else []
            return [*told, *self._pricing.hear(sender, message)]
        if self.phase is Phase.LISTENING:
            # A second hello means that ours was lost.
            again = known == message.session
            return [Send(sender, Hello(self.epoch, self._session))] if again else []
        settled = (
            self._settling.tell(sender) if self._settling and message.epoch <= self.epoch else []
        )
        return [*settled, *self._pricing.tell(sender)]

    def _hear_closing(
        self, sender: str, message: FrozenPrice | Tally | Confirmation
    ) -> list[Action]:
        match message:
            case FrozenPrice(attempt=attempt) if attempt >= GATE_ATTEMPT:
                return self._hear_gate(sender, message)
            case FrozenPrice():
                return [*self._closing.hear_frozen(sender, message)]
            case Tally():
                return [*self._closing.hear_tally(sender, message)]
            case Confirmation():
                self._closing.hear_confirmed(message.attempt)
                forgot = self.phase is Phase.LISTENING or self._closing.decided is None
                if forgot and self._settling is None:
                    return self._remember(sender, message)
                begun = self._advance()
                heard = self._settling.hear(sender, message) if self._settling else []
                return [*begun, *heard]
            case _:
                assert_never(message)

    def _hear_gate(self, sender: str, message: FrozenPrice) -> list[Action]:
        """Close the gate with the first neighbour that does, unless all have agreed before."""
        if self._closing.decided is not None:
            return [*self._closing.tell(sender)]
        opened = self._close_gate()
        return [*opened, *(self._gate.hear(sender, message) if self._gate else [])]

    def _remember(self, sender: str, message: Confirmation) -> list[Action]:
        """Settle what an earlier life has agreed to, as soon as all neighbours have said so.

        Those who have forgotten it too cannot say so; from the price of then follows what it was.
        """
        self._recollection.hear(sender, message)
        recalled = self._recollection.plan(self._supplies)
        if recalled is not None:
            return self._settle(*recalled)
        if self.phase is Phase.LISTENING or message.attempt == GATE_ATTEMPT:
            return []
        return [*self._closing.recall(message.peer_price_eur_per_kwh)]

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
        self._established = self._neighbours & self._pricing.heard.keys()
        self._shy_rounds = SHY_ROUNDS if self._established != self._neighbours else 0
        return self._trade()

    def _quotes(self) -> list[Send]:
        """Return the quotes of this round.

        Neighbours who came back together have lost their lines to each other. They find them again
        between themselves, while those who kept theirs go on with the last offers.
        """
        sends = self._pricing.look(self.epoch)
        if not self._shy_rounds:
            return sends
        self._shy_rounds -= 1
        if self._shy_rounds == 0:
            late = [send for peer in sorted(self._established) for send in self._pricing.tell(peer)]
            return [*(send for send in sends if send.to not in self._established), *late]
        return [send for send in sends if send.to not in self._established]

    def _trade(self) -> list[Action]:
        before = self._pricing.prices
        actions: list[Action] = [*self._quotes()]
        prices = self._pricing.prices
        if prices != before:
            actions.append(Record(PriceMoved(self.epoch, self.rounds, prices)))
        if self._gate is not None:
            return actions + self._gate.look()
        return actions + self._closing.look(self._supplies, prices, self._pricing.heard)

    def _close_gate(self) -> list[Action]:
        """End trading with the plans that there are; their gap is known as well."""
        if self.phase in {Phase.SETTLING, Phase.SETTLED} or self._gate is not None:
            return []
        self.phase = Phase.TRADING
        self._gate = Gate(self.epoch, self._pricing.prices, self._pricing.imports())
        return [*self._gate.look()]

    # How an epoch ends.

    def _advance(self) -> list[Action]:
        """Go from trading to settling and from settling to settled when it is time."""
        actions: list[Action] = []
        if self.phase is Phase.TRADING:
            closed = self._closed()
            if closed is None:
                return []
            actions += self._settle(*closed)
        if self.phase is Phase.SETTLING and self._settling is not None and self._settling.done:
            self.phase = Phase.SETTLED
            actions.append(Record(self._settled(self._settling)))
        return actions

    def _settle(self, attempt: int, plan: Position) -> list[Action]:
        self.phase = Phase.SETTLING
        self._closed_round = self.rounds
        self._settling = Settling(self.epoch, attempt, plan)
        return [*self._settling.look()]

    def _closed(self) -> tuple[int, Position] | None:
        """Return the attempt and plan with which trading is over, if it is."""
        if self._closing.decided is None and self._gate is not None and self._gate.done:
            return GATE_ATTEMPT, self._gate.plan(self._supplies, self._links)
        return self._closing.decided

    def _settled(self, settling: Settling) -> TraderSettled:
        plan = settling.outcome(self._supplies, self._links)
        return TraderSettled(
            self.epoch,
            settling.attempt,
            self._closed_round,
            settling.attempt != GATE_ATTEMPT,
            plan.price_eur_per_kwh,
            tuple(sum(made.blocks_kwh) for made in plan.dispatch),
            tuple(made.unserved_kwh for made in plan.dispatch),
            tuple(made.spilled_kwh for made in plan.dispatch),
            tuple(
                LinkTrade(peer, trade.sold_kwh, trade.bought_kwh)
                for peer, trade in plan.trades.items()
                if not trade.idle
            ),
            plan.cost_eur,
            plan.payment_eur,
            plan.gap_eur,
            standalone_cost(self._supplies),
            settling.disputes(),
            settling.unconfirmed(),
            tuple(settling.plan.trades),
            tuple(peer for peer in self._links if peer not in settling.plan.trades),
        )
