"""A trader of one's own, for the page own-agent.md and the config cautious.toml."""

from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, Received, Record
from peercell.agents.trading.blocks import Offer
from peercell.agents.trading.contract_messages import ProsumerOffer
from peercell.agents.trading.market import MarketTrader, MarketTraderSettings

MARGIN_EUR_PER_KWH = 0.02


class MarginAdded(Message, frozen=True):
    """Fact: an offer was taken for dearer than it is."""

    margin_eur_per_kwh: Annotated[float, Meta(ge=0.0, le=10.0)]


class CautiousTrader:
    """Trades as others do, but takes what its prosumers offer for 2 ct/kWh dearer."""

    messages = MarginAdded

    def __init__(self, settings: MarketTraderSettings) -> None:
        self._trader = MarketTrader(settings)

    def step(self, event: Event, now_s: float) -> list[Action]:
        """Return what the trader does about an event."""
        if isinstance(event, Received) and isinstance(event.message, ProsumerOffer):
            dearer = tuple(_dearer(offer) for offer in event.message.offers)
            told = Received(event.sender, replace(event.message, offers=dearer))
            return [*self._trader.step(told, now_s), Record(MarginAdded(MARGIN_EUR_PER_KWH))]
        return self._trader.step(event, now_s)


def _dearer(offer: Offer) -> Offer:
    blocks = (
        replace(block, price_eur_per_kwh=block.price_eur_per_kwh + MARGIN_EUR_PER_KWH)
        for block in offer.blocks
    )
    return replace(offer, blocks=tuple(blocks))
