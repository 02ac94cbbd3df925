"""How the paper's Algorithm 1 finds prices: by a step along each trader's own imbalance.

Every trader has a price at which it sells. Each round it quotes the price; on hearing all its
neighbours it decides what to sell in all and what to buy from each, and bids for that; then it
raises its price where more is asked for than it wants to sell, and lowers it otherwise.
"""

from peercell.agents.messages import Message
from peercell.agents.protocol import Send
from peercell.agents.trading.blocks import Supply
from peercell.agents.trading.curves import BilateralCurve
from peercell.agents.trading.links import LinkPair, links_by_peer
from peercell.agents.trading.messages import CurveQuote, EnergyBid
from peercell.agents.trading.response import exact_price
from peercell.agents.trading.settings import TraderSettings


class PriceAdjustment:
    """The subgradient method of Gregoratti and Matamoros (2015), with a constant step.

    The price that a certificate uses is the trader's marginal cost, max(buying price, own price);
    the own price of a trader that sells nothing is not unique at the optimum.
    """

    def __init__(
        self, settings: TraderSettings, supplies: tuple[Supply, ...], session: int
    ) -> None:
        self.settings = settings
        self.supplies = supplies
        self.session = session
        self.links: dict[str, LinkPair] = {}
        self.cell_of: dict[str, str] = {}
        for cell in settings.cells:
            for peer, pair in links_by_peer(settings.name, cell.links).items():
                self.links[peer] = pair
                self.cell_of[peer] = cell.name
        self.sell_prices = [exact_price(supply, ()) for supply in supplies]
        self.prices = tuple(self.sell_prices)
        self._wanted: list[dict[str, float]] = [{} for _ in supplies]
        self._for_sale = [0.0] * len(supplies)
        self.heard: dict[str, tuple[float, ...]] = {}
        self._quotes: dict[str, CurveQuote] = {}
        self._bids: dict[str, EnergyBid] = {}
        self._fresh: set[str] = set()
        self._decided = True
        self._seq = 0

    def hear(self, sender: str, message: Message) -> list[Send]:
        """See Pricing.hear; when the last neighbour's price is in, the bids go out."""
        if sender not in self.links:
            return []
        match message:
            case CurveQuote():
                old = self._quotes.get(sender)
                if old is None or (message.session, message.seq) > (old.session, old.seq):
                    self._quotes[sender] = message
                    self.heard[sender] = message.price_eur_per_kwh
                    self._fresh.add(sender)
                    if len(self._fresh) == len(self.links):
                        return self._decide(message.epoch)
            case EnergyBid():
                known = self._bids.get(sender)
                if known is None or (message.session, message.seq) > (known.session, known.seq):
                    self._bids[sender] = message
            case _:
                pass
        return []

    def forget(self, peer: str) -> None:
        """See Pricing.forget."""
        self._quotes.pop(peer, None)
        self.heard.pop(peer, None)
        self._bids.pop(peer, None)
        self._fresh.discard(peer)

    def offer(self, supplies: tuple[Supply, ...]) -> None:
        """See Pricing.offer."""
        self.supplies = supplies

    def tell(self, peer: str) -> list[Send]:
        """See Pricing.tell."""
        return [Send(peer, self._quote(peer, 0))] if self._seq and peer in self.links else []

    def imports(self) -> dict[str, tuple[float, ...]]:
        """See Pricing.imports: what is bid for minus what is asked for."""
        planned = {}
        for peer in self.links:
            bid = self._bids.get(peer)
            asked = bid.energy_kwh if bid else (0.0,) * len(self.prices)
            wanted = [want.get(peer, 0.0) for want in self._wanted]
            planned[peer] = tuple(own - their for own, their in zip(wanted, asked, strict=True))
        return planned

    def look(self, epoch: int) -> list[Send]:
        """See Pricing.look: one iteration of the algorithm, then the new prices."""
        sends: list[Send] = []
        if not self._decided:
            # Something was lost: go on with the last known prices instead of waiting.
            sends += self._decide(epoch)
        if self._seq:
            for t, price in enumerate(self.sell_prices):
                asked = sum(bid.energy_kwh[t] for bid in self._bids.values())
                step = self.settings.step_eur_per_kwh2 * (asked - self._for_sale[t])
                self.sell_prices[t] = min(max(price + step, 0.0), self.settings.voll_eur_per_kwh)
        self._fresh.clear()
        self._decided = False
        self._seq += 1
        return sends + [Send(peer, self._quote(peer, epoch)) for peer in self.links]

    def _quote(self, peer: str, epoch: int) -> CurveQuote:
        price = tuple(self.sell_prices)
        flat = (0.0,) * len(price)
        return CurveQuote(
            self.cell_of[peer], epoch, self.session, self._seq, self.prices, price, flat
        )

    def _decide(self, epoch: int) -> list[Send]:
        """Decide what to sell in all and what to buy from each, and bid for it.

        With mu0 the price at which own supply and purchases just meet the load: a trader whose
        own price is above mu0 makes more and sells it, otherwise it sells nothing.
        """
        self._decided = True
        prices = []
        for t, supply in enumerate(self.supplies):
            offers = {
                peer: BilateralCurve(self.links[peer].inward, None, quote.level_eur_per_kwh[t], 0.0)
                for peer, quote in self._quotes.items()
            }
            own = self.sell_prices[t]
            buying = exact_price(supply, tuple(offers.values()))
            price = max(buying, own)
            self._wanted[t] = {peer: curve.at(price) for peer, curve in offers.items()}
            bought = sum(self._wanted[t].values())
            spare = supply.up_to(own) + bought - supply.load_kwh
            self._for_sale[t] = spare if own > buying else 0.0
            prices.append(price)
        self.prices = tuple(prices)
        return [
            Send(
                peer,
                EnergyBid(
                    epoch, self.session, self._seq, tuple(want[peer] for want in self._wanted)
                ),
            )
            for peer, pair in self.links.items()
            if pair.inward is not None and peer in self._quotes
        ]
