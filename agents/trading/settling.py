"""Whether both ends of a link agree on what they trade: confirmation after the market has closed.

Each side tells the other what it sells and buys and at which prices. Both have computed it from
the same two numbers, so the answers are equal bit for bit; where they are not, the trade is in
dispute, everyone can see it, and it is not settled. A trade that is never confirmed is not settled
either. A trader then makes or sheds by itself what it did not get.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from peercell.agents.protocol import Send
from peercell.agents.trading.blocks import Supply
from peercell.agents.trading.certificate import (
    Position,
    Trade,
    position_with,
    standalone_cost,
)
from peercell.agents.trading.closing import ASK_ROUNDS, GATE_ATTEMPT
from peercell.agents.trading.links import LinkPair
from peercell.agents.trading.messages import Confirmation, LinkTrade, Recall, TraderSettled

# Rounds after which an unconfirmed trade is given up.
CONFIRM_ROUNDS = 60


class Settling:
    """One trader's confirmations of one plan.

    Parameters
    ----------
    epoch, attempt : of the plan
    plan : the trader's part of it
    void : neighbours with which there may have been a trade that nobody knows any more
    """

    def __init__(
        self, epoch: int, attempt: int, plan: Position, void: tuple[str, ...] = ()
    ) -> None:
        self.epoch = epoch
        self.attempt = attempt
        self.plan = plan
        self.void = void
        self._theirs: dict[str, Confirmation] = {}
        self._age = 0
        self._partners = [peer for peer, trade in plan.trades.items() if not trade.idle]

    @property
    def done(self) -> bool:
        """True when every partner has answered, or has been given up."""
        return not self._missing() or self._age > CONFIRM_ROUNDS

    def _missing(self) -> list[str]:
        return [peer for peer in self._partners if peer not in self._theirs]

    def look(self) -> list[Send]:
        """Return the confirmations that are due: at once, and again to those who are silent."""
        if self._age > CONFIRM_ROUNDS:
            return []
        self._age += 1
        if self._age == 1:
            return [Send(peer, self._confirmation(peer)) for peer in self._partners]
        if self._age % ASK_ROUNDS:
            return []
        return [Send(peer, self._confirmation(peer)) for peer in self._missing()]

    def hear(self, sender: str, message: Confirmation | Recall) -> list[Send]:
        """Take a partner's word in; who repeats it, or is not expected to speak, is answered."""
        if isinstance(message, Recall):
            return self._answer(sender, message)
        if message.attempt != self.attempt or sender not in self.plan.trades:
            return []
        repeated = sender in self._theirs
        self._theirs.setdefault(sender, message)
        if message.heard or not (repeated or sender not in self._partners):
            return []
        return self.tell(sender)

    def tell(self, peer: str) -> list[Send]:
        """Return our word on a neighbour, also when nothing is traded with it, or can be."""
        if peer in self.plan.trades:
            return [Send(peer, self._confirmation(peer))]
        return [self._void(peer, self.attempt)]

    def remind(self, peer: str) -> list[Send]:
        """Return our word to a neighbour that may have forgotten its own.

        A trade in dispute is void. It would take our word for it, and no longer know that its own
        was another.
        """
        return [self._void(peer, self.attempt)] if peer in self.disputes() else self.tell(peer)

    def _answer(self, sender: str, message: Recall) -> list[Send]:
        """Answer a neighbour that has forgotten an attempt, unless it expects no answer."""
        if message.void:
            return []
        if message.attempt == self.attempt:
            return self.remind(sender)
        return [self._void(sender, message.attempt)]

    def _void(self, peer: str, attempt: int) -> Send:
        return Send(peer, Recall(self.epoch, attempt, void=True))

    def disputes(self) -> tuple[str, ...]:
        """Return the neighbours whose word differs from ours."""
        return tuple(
            peer
            for peer, said in self._theirs.items()
            if replace(said, heard=False) != self._mirrored(peer)
        )

    def unconfirmed(self) -> tuple[str, ...]:
        """Return the partners that have not answered, or cannot."""
        return (*self._missing(), *self.void)

    def outcome(self, supplies: tuple[Supply, ...], links: Mapping[str, LinkPair]) -> Position:
        """Return the position with the confirmed trades alone; supply makes up for the others."""
        void = {*self.disputes(), *self.unconfirmed()}
        if void.isdisjoint(self.plan.trades):
            return self.plan
        trades = {peer: trade for peer, trade in self.plan.trades.items() if peer not in void}
        return position_with(supplies, links, self.plan.price_eur_per_kwh, trades)

    def fact(
        self, rounds: int, supplies: tuple[Supply, ...], links: Mapping[str, LinkPair]
    ) -> TraderSettled:
        """Return what has been settled, after so many rounds of trading."""
        plan = self.outcome(supplies, links)
        return TraderSettled(
            self.epoch,
            self.attempt,
            rounds,
            self.attempt != GATE_ATTEMPT,
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
            standalone_cost(supplies),
            self.disputes(),
            self.unconfirmed(),
            tuple(self.plan.trades),
            tuple(peer for peer in links if peer not in self.plan.trades),
        )

    def _confirmation(self, peer: str) -> Confirmation:
        trade = self.plan.trades[peer]
        return Confirmation(
            self.epoch,
            self.attempt,
            trade.sold_kwh,
            trade.bought_kwh,
            self.plan.price_eur_per_kwh,
            trade.peer_price_eur_per_kwh,
            peer in self._theirs,
        )

    def _mirrored(self, peer: str) -> Confirmation:
        trade: Trade = self.plan.trades[peer]
        return Confirmation(
            self.epoch,
            self.attempt,
            trade.bought_kwh,
            trade.sold_kwh,
            trade.peer_price_eur_per_kwh,
            self.plan.price_eur_per_kwh,
        )
