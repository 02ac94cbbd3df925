"""What a trader has agreed to in a life that it has forgotten: put together from others' words.

Who lost its memory hears that all have voted, itself among them, and does not know what for. It
votes no more in that epoch, and asks. A neighbour that remembers confirms both its price and their
trade, so the second life settles the plan of the first, bit for bit. Two neighbours that have both
forgotten tell each other their prices, as far as others have told them, and from both prices
follows the trade of then. Where a price is known to nobody any more, what was traded is: such a
trade is void rather than made up again, since one of the two may have settled it.
"""

from collections.abc import Mapping

from peercell.agents.protocol import Send
from peercell.agents.trading.blocks import Supply
from peercell.agents.trading.certificate import Position, Trade, position_with, trade_at
from peercell.agents.trading.closing import ASK_ROUNDS, GATE_ATTEMPT
from peercell.agents.trading.links import LinkPair
from peercell.agents.trading.messages import Confirmation, Recall

Vector = tuple[float, ...]


class Recollection:
    """One trader's search for its part of an attempt.

    Parameters
    ----------
    epoch, attempt : what it has forgotten
    links : its links by neighbour
    """

    def __init__(self, epoch: int, attempt: int, links: Mapping[str, LinkPair]) -> None:
        self.epoch = epoch
        self.attempt = attempt
        self._links = links
        self._said: dict[str, Confirmation] = {}
        self._asked_by: dict[str, Recall] = {}
        self._age = 0
        self._given_up = False

    def give_up(self) -> None:
        """Wait for nobody any more: what is not known by now is void."""
        self._given_up = True

    def hear(self, sender: str, message: Confirmation | Recall) -> None:
        """Take a neighbour's word in; the latest counts."""
        if sender not in self._links or message.attempt != self.attempt:
            return
        if isinstance(message, Recall):
            self._asked_by[sender] = message
        else:
            self._said[sender] = message

    def look(self) -> list[Send]:
        """Return the questions that are due: at once, and again while something is not known."""
        self._age += 1
        if self._age > 1 and self._age % ASK_ROUNDS:
            return []
        price = self._own_price() or ()
        void = not price and not self._hopeful()
        asked = Recall(self.epoch, self.attempt, price, void)
        return [Send(peer, asked) for peer in self._links if peer not in self._said]

    def _own_price(self) -> Vector | None:
        first = next(iter(self._said.values()), None)
        return None if first is None else first.peer_price_eur_per_kwh

    def _hopeful(self) -> bool:
        """Return whether a neighbour may still know our price: one that has not asked itself."""
        return any(peer not in self._asked_by for peer in self._links)

    def plan(
        self, supplies: tuple[Supply, ...], prices: Vector
    ) -> tuple[Position, tuple[str, ...]] | None:
        """Return the plan, and the neighbours with which trades are void, once all is known.

        Parameters
        ----------
        supplies : of the epoch
        prices : own prices, EUR/kWh, if nobody knows those of then
        """
        own = self._own_price()
        if own is None and self._hopeful() and not self._given_up:
            return None
        trades, void = {}, []
        for peer in self._links:
            trade = None if own is None else self._trade_with(peer, own)
            if trade is not None:
                trades[peer] = trade
            elif own is None or self._given_up or self._is_void(peer):
                void.append(peer)
            else:
                return None
        return position_with(supplies, self._links, own or prices, trades), tuple(void)

    def _trade_with(self, peer: str, own: Vector) -> Trade | None:
        word, asked = self._said.get(peer), self._asked_by.get(peer)
        if word is not None:
            return Trade(word.bought_kwh, word.sold_kwh, word.own_price_eur_per_kwh)
        if self.attempt == GATE_ATTEMPT or asked is None or not asked.price_eur_per_kwh:
            return None
        return trade_at(self._links[peer], own, asked.price_eur_per_kwh)

    def _is_void(self, peer: str) -> bool:
        asked = self._asked_by.get(peer)
        return asked is not None and (asked.void or self.attempt == GATE_ATTEMPT)
