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
from peercell.agents.trading.certificate import Position, Trade, position_with
from peercell.agents.trading.closing import ASK_ROUNDS
from peercell.agents.trading.links import LinkPair
from peercell.agents.trading.messages import Confirmation

# Rounds after which an unconfirmed trade is given up.
CONFIRM_ROUNDS = 60


class Settling:
    """One trader's confirmations of one plan.

    Parameters
    ----------
    epoch, attempt : of the plan
    plan : the trader's part of it
    """

    def __init__(self, epoch: int, attempt: int, plan: Position) -> None:
        self.epoch = epoch
        self.attempt = attempt
        self.plan = plan
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

    def hear(self, sender: str, message: Confirmation) -> list[Send]:
        """Take a partner's word in; who repeats it, or is not expected to speak, is answered."""
        if message.attempt != self.attempt or sender not in self.plan.trades:
            return []
        repeated = sender in self._theirs
        self._theirs.setdefault(sender, message)
        if message.heard or not (repeated or sender not in self._partners):
            return []
        return self.tell(sender)

    def tell(self, peer: str) -> list[Send]:
        """Return our word on a neighbour, also when nothing is traded with it."""
        return [Send(peer, self._confirmation(peer))] if peer in self.plan.trades else []

    def disputes(self) -> tuple[str, ...]:
        """Return the neighbours whose word differs from ours."""
        return tuple(
            peer
            for peer, said in self._theirs.items()
            if replace(said, heard=False) != self._mirrored(peer)
        )

    def unconfirmed(self) -> tuple[str, ...]:
        """Return the partners that have not answered."""
        return tuple(self._missing())

    def outcome(self, supplies: tuple[Supply, ...], links: Mapping[str, LinkPair]) -> Position:
        """Return the position with the confirmed trades alone; supply makes up for the others."""
        void = {*self.disputes(), *self.unconfirmed()}
        if not void:
            return self.plan
        trades = {peer: trade for peer, trade in self.plan.trades.items() if peer not in void}
        return position_with(supplies, links, self.plan.price_eur_per_kwh, trades)

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


class Recollection:
    """The plan of an earlier life, put together from what all neighbours confirm.

    A trader that comes back when the others have settled cannot vote again; but its neighbours know
    its price and its trades, so the second life settles the plan of the first, bit for bit.
    """

    def __init__(self, links: Mapping[str, LinkPair]) -> None:
        self.links = links
        self._said: dict[str, Confirmation] = {}

    def hear(self, sender: str, message: Confirmation) -> None:
        """Take a neighbour's word in; the latest counts."""
        if sender in self.links:
            self._said[sender] = message

    def plan(self, supplies: tuple[Supply, ...]) -> tuple[int, Position] | None:
        """Return attempt and plan once all neighbours have said the same of us."""
        said = self._said
        if not said or len(said) < len(self.links):
            return None
        if (
            len({(word.epoch, word.attempt, word.peer_price_eur_per_kwh) for word in said.values()})
            > 1
        ):
            return None
        first = next(iter(said.values()))
        trades = {
            peer: Trade(word.bought_kwh, word.sold_kwh, word.own_price_eur_per_kwh)
            for peer, word in said.items()
        }
        own_price = first.peer_price_eur_per_kwh
        ordered = {peer: trades[peer] for peer in self.links}
        return first.attempt, position_with(supplies, self.links, own_price, ordered)
