"""What is settled when time is up before everyone has agreed: the trades that both sides plan.

At the gate each trader tells each neighbour its price and what it plans to import from it, at once
and for good. On each link the smaller of the two plans counts, so that nobody sells or buys more
than it has reckoned with. The certificate holds for this plan as well. Near the optimum its gap is
even the smaller one: each trader's own plan meets its load, while what follows from prices leaves
traders at their limits a little short, which costs the value of lost load.
"""

from collections.abc import Mapping

from peercell.agents.protocol import Send
from peercell.agents.trading.blocks import Supply
from peercell.agents.trading.certificate import Position, Vector, agreed, position_with
from peercell.agents.trading.closing import ASK_ROUNDS, GATE_ATTEMPT
from peercell.agents.trading.links import LinkPair
from peercell.agents.trading.messages import FrozenPrice

# Rounds after which a neighbour's missing plan is given up.
GATE_ROUNDS = 30


class Gate:
    """One trader's part in closing the gate.

    Parameters
    ----------
    epoch : of the market
    prices : own prices at this moment, EUR/kWh each period
    imports : what is planned to be imported from each neighbour, kWh each period, export negative
    """

    def __init__(self, epoch: int, prices: Vector, imports: Mapping[str, Vector]) -> None:
        self.epoch = epoch
        self.prices = prices
        self.imports = imports
        self._heard: dict[str, FrozenPrice] = {}
        self._age = 0

    @property
    def done(self) -> bool:
        """True when all neighbours have told their plans, or have been given up."""
        return not self._missing() or self._age > GATE_ROUNDS

    def _missing(self) -> list[str]:
        return [peer for peer in self.imports if peer not in self._heard]

    def _plan_for(self, peer: str) -> Send:
        heard = peer in self._heard
        message = FrozenPrice(self.epoch, GATE_ATTEMPT, self.prices, heard, self.imports[peer])
        return Send(peer, message)

    def look(self) -> list[Send]:
        """Return the plans that are due: at once, and again to those who are silent."""
        self._age += 1
        if self._age == 1:
            return [self._plan_for(peer) for peer in self.imports]
        if self._age % ASK_ROUNDS:
            return []
        return [self._plan_for(peer) for peer in self._missing()]

    def hear(self, sender: str, message: FrozenPrice) -> list[Send]:
        """Take a neighbour's plan in; who repeats it without having heard ours is answered."""
        size = len(self.prices)
        if sender not in self.imports or len(message.price_eur_per_kwh) != size:
            return []
        if len(message.import_kwh) != size:
            return []
        repeated = sender in self._heard
        self._heard.setdefault(sender, message)
        return [self._plan_for(sender)] if repeated and not message.heard else []

    def plan(self, supplies: tuple[Supply, ...], links: Mapping[str, LinkPair]) -> Position:
        """Return the trader's part of the plan; who was not heard gets and gives nothing."""
        trades = {}
        for peer, theirs in self._heard.items():
            own = self.imports[peer]
            trades[peer] = agreed(own, theirs.import_kwh, theirs.price_eur_per_kwh)
        return position_with(supplies, links, self.prices, trades)
