"""Markets for tests: drawn at random, read from the reference cases, and planned from prices."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from peercell.agents.trading.blocks import Block, Offer, Supply
from peercell.agents.trading.certificate import Position, position
from peercell.agents.trading.links import Link, links_by_peer
from peercell.broker.solving.instance import Market, market_cells, read_instance, to_market

VOLL = 300.0
REFERENCE = Path(__file__).parents[2] / "reference" / "trading"
CASES = sorted(path.stem for path in REFERENCE.glob("*.json"))

Draw = st.DrawFn


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    """Draw numbers with three decimals, so that examples read well and nothing is degenerate."""
    return st.integers(round(low * 1000), round(high * 1000)).map(lambda number: number / 1000)


def sloped_blocks() -> st.SearchStrategy[tuple[Block, ...]]:
    """Draw a generator with quadratic cost and no limit: prices are unique and smooth."""
    return st.builds(Block, numbers(5, 25), numbers(1, 6)).map(lambda block: (block,))


def blocks() -> st.SearchStrategy[tuple[Block, ...]]:
    """Draw up to three blocks of any kind: PV, steps, bounded generators, or nothing at all."""
    step = st.builds(Block, numbers(5, 60), st.just(0.0), numbers(0.5, 4))
    sun = st.builds(Block, st.just(0.0), st.just(0.0), numbers(0.5, 9))
    bounded = st.builds(Block, numbers(5, 60), numbers(1, 6), numbers(0.5, 6))
    return st.lists(st.one_of(step, sun, bounded), max_size=3).map(tuple)


@st.composite
def markets(draw: Draw, *, smooth: bool = False, size_max: int = 6) -> Market:
    """Draw a connected market; a smooth one has unique prices strictly between 0 and VOLL."""
    size = draw(st.integers(2, size_max))
    names = [f"t{k}" for k in range(size)]
    supply = sloped_blocks() if smooth else blocks()
    offers = {name: Offer(draw(numbers(1, 10)), draw(supply)) for name in names}
    pairs = {(names[draw(st.integers(0, k - 1))], names[k]) for k in range(1, size)}
    extra = st.tuples(st.sampled_from(names), st.sampled_from(names))
    pairs |= {(a, b) for a, b in draw(st.lists(extra, max_size=3)) if a < b}
    capacity = st.just(1e9) if smooth else numbers(0, 6)
    links: list[Link] = []
    for one, other in sorted(pairs):
        fee, slope, most = draw(numbers(0.1, 3)), draw(numbers(0.2, 1)), draw(capacity)
        links.append(Link(one, other, fee, slope, most))
        links.append(Link(other, one, fee, slope, most))
    return market_of(offers, tuple(links))


def with_links(market: Market, links: tuple[Link, ...]) -> Market:
    """Return a market with other links."""
    return market_of(market.offers, links, market.voll_eur_per_kwh)


def market_of(
    offers: dict[str, Offer], links: tuple[Link, ...], voll_eur_per_kwh: float = VOLL
) -> Market:
    """Return a market of bilateral links."""
    return Market(offers, links, tuple(market_cells(links)), voll_eur_per_kwh)


def with_offer(market: Market, name: str, offer: Offer) -> Market:
    """Return a market in which one trader's offer is another one."""
    return msgspec.structs.replace(market, offers={**market.offers, name: offer})


def plan(market: Market, prices: dict[str, float]) -> dict[str, Position]:
    """Return what each trader computes when all have frozen these prices."""
    frozen = {name: (price,) for name, price in prices.items()}
    return {
        name: position(
            (Supply(offer, market.voll_eur_per_kwh),),
            links_by_peer(name, market.links),
            frozen[name],
            frozen,
        )
        for name, offer in market.offers.items()
    }


@st.composite
def priced_markets(draw: Draw) -> tuple[Market, dict[str, float]]:
    """Draw a market and any prices whatever in its range."""
    market = draw(markets())
    price = st.one_of(numbers(0, VOLL), numbers(0, 60), st.sampled_from([0.0, VOLL]))
    return market, {name: draw(price) for name in market.offers}


def reference(name: str) -> tuple[Market, dict[str, Any]]:
    """Return a reference case and its expected answers, fractions as floats."""
    data = (REFERENCE / f"{name}.json").read_bytes()
    expected = msgspec.json.decode((REFERENCE / "expected" / f"{name}.json").read_bytes())
    numeric: dict[str, Any] = {
        key: {k: number(v) for k, v in value.items()} if isinstance(value, dict) else number(value)
        for key, value in expected.items()
    }
    return to_market(read_instance(data, name)), numeric


def number(value: float | str) -> float:
    """Return a number that may be written as a fraction."""
    return float(Fraction(value)) if isinstance(value, str) else float(value)
