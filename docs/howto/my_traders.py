"""A trader of one's own, for the page own-agent.md and the config cautious.toml."""

from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, Received, Record
from peercell.agents.trading.blocks import Offer
from peercell.agents.trading.contract_messages import ProsumerOffer
from peercell.agents.trading.market import MarketTrader, MarketTraderSettings

Margin = Annotated[float, Meta(ge=0.0, le=10.0)]


class CautiousSettings(MarketTraderSettings, frozen=True, kw_only=True):
    """What such a trader is told beside the usual: how much dearer it takes an offer for."""

    margin_eur_per_kwh: Margin = 0.02


class MarginAdded(Message, frozen=True):
    """Fact: an offer was taken for dearer than it is."""

    margin_eur_per_kwh: Margin


class CautiousTrader:
    """Trades as others do, but takes what its prosumers offer for dearer than it is."""

    messages = MarginAdded

    def __init__(self, settings: CautiousSettings) -> None:
        self._margin = settings.margin_eur_per_kwh
        self._trader = MarketTrader(settings)

    def step(self, event: Event, now_s: float) -> list[Action]:
        """Return what the trader does about an event."""
        if isinstance(event, Received) and isinstance(event.message, ProsumerOffer):
            dearer = tuple(self._dearer(offer) for offer in event.message.offers)
            told = Received(event.sender, replace(event.message, offers=dearer))
            return [*self._trader.step(told, now_s), Record(MarginAdded(self._margin))]
        return self._trader.step(event, now_s)

    def _dearer(self, offer: Offer) -> Offer:
        blocks = (
            replace(block, price_eur_per_kwh=block.price_eur_per_kwh + self._margin)
            for block in offer.blocks
        )
        return replace(offer, blocks=tuple(blocks))
