from datetime import datetime

import msgspec
import pytest

from peercell.agents.trading.aggregator import Aggregator, AggregatorSettings, wholesale_offer
from peercell.agents.trading.blocks import Block, Offer, Supply
from peercell.agents.trading.calendar import MarketCalendar
from peercell.agents.trading.settings import TraderSettings

SETTINGS = AggregatorSettings(
    trading=TraderSettings(
        name="aggregator", offers=(Offer(0.0),), voll_eur_per_kwh=3.0, roster=("aggregator",)
    ),
    calendar=MarketCalendar(origin_s=0.0, at_first=datetime(2016, 5, 28), intervals=2),
    feed_in_eur_per_kwh=(0.08,),
    retail_eur_per_kwh=(0.30, 0.25),
    feed_in_kwh_max=40.0,
    retail_kwh_max=60.0,
)


@pytest.mark.parametrize(
    ("interval", "price", "import_kwh"),
    [(0, 0.07, 40.0), (0, 0.2, 0.0), (0, 0.31, -60.0), (1, 0.26, -60.0), (1, 0.24, 0.0)],
)
def test_it_buys_below_the_feed_in_price_and_sells_above_retail(
    interval: int, price: float, import_kwh: float
) -> None:
    offer = wholesale_offer(SETTINGS, interval)
    assert offer.load_kwh - Supply(offer, 3.0).up_to(price) == pytest.approx(import_kwh)


def test_its_offer_is_two_blocks() -> None:
    assert wholesale_offer(SETTINGS, 1).blocks == (Block(0.08, 0.0, 40.0), Block(0.25, 0.0, 60.0))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"retail_eur_per_kwh": [0.30, 0.07]}, "in interval 1 it buys at 0.08"),
        ({"feed_in_eur_per_kwh": [0.1, 0.1, 0.1]}, "3 prices for a market of 2 intervals"),
    ],
)
def test_prices_that_make_no_sense_are_refused(change: dict[str, list[float]], why: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=why):
        msgspec.convert({**msgspec.to_builtins(SETTINGS), **change}, AggregatorSettings)


def test_its_settings_make_a_role() -> None:
    assert Aggregator(SETTINGS).settings is SETTINGS
