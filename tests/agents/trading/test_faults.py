"""Loss, doubling, delay, reordering, crashes and partitions cost time and nothing else."""

import pytest
from tests.agents.trading.markets import market_of, reference, with_offer
from tests.agents.trading.play import BAD, LOSSY, SLOW, Play

from peercell.agents.trading.blocks import Offer
from peercell.broker.faults.network import LinkFaults
from peercell.broker.faults.staging import cut
from peercell.broker.solving.trade import SolveSettings, dual_bound, trade_out

TOLERANCE = 1e-6
TWICE = LinkFaults(duplicate=1.0, delay_s_min=0.0, delay_s_max=3.0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["ring4", "full4", "kinks", "levels-cells", "storage"])
@pytest.mark.parametrize("faults", [LOSSY, SLOW, TWICE, BAD], ids=["loss", "delay", "twice", "all"])
def test_a_bad_network_ends_in_the_same_optimum(name: str, faults: LinkFaults, seed: int) -> None:
    market, expected = reference(name)
    settings = SolveSettings(tolerance=TOLERANCE, faults=faults, seed=seed)
    result = trade_out(market, settings)
    assert result.converged
    assert result.cost_eur >= expected["cost"] - 1e-4
    assert result.cost_eur <= expected["cost"] * (1 + TOLERANCE) + 1e-4


@pytest.mark.parametrize("seed", range(20))
def test_a_certificate_is_never_better_than_the_truth(seed: int) -> None:
    """Whenever all have agreed, the bound from the prices alone confirms what they believe."""
    market, _ = reference("formula12")
    tolerance = 1e-4
    play = Play(market, SolveSettings(tolerance=tolerance, faults=BAD, seed=seed))
    said = play.settle()
    assert all(fact.certified for fact in said.values())
    assert len({fact.attempt for fact in said.values()}) == 1
    cost = sum(fact.cost_eur for fact in said.values())
    bound = dual_bound(market, {name: fact.price_eur_per_kwh[0] for name, fact in said.items()})
    assert cost - bound <= tolerance * cost
    assert cost - bound == pytest.approx(sum(fact.gap_eur for fact in said.values()), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_both_ends_settle_the_same_trades(seed: int) -> None:
    market, _ = reference("full4")
    said = Play(market, SolveSettings(tolerance=TOLERANCE, faults=BAD, seed=seed)).settle()
    sold = {(a, trade.peer): trade.sold_kwh for a, fact in said.items() for trade in fact.trades}
    bought = {(trade.peer, a): trade.bought_kwh for a, f in said.items() for trade in f.trades}
    assert sold == bought
    assert sum(fact.payment_eur for fact in said.values()) == pytest.approx(0.0, abs=1e-9)
    assert not any(fact.disputes or fact.unconfirmed for fact in said.values())


@pytest.mark.parametrize("faults", [LinkFaults(), LOSSY, BAD], ids=["clean", "loss", "all"])
@pytest.mark.parametrize("name", ["ring4", "formula12", "levels-cells"])
def test_16_who_comes_back_listens_first_and_moves_nobody(name: str, faults: LinkFaults) -> None:
    """A trader that lost its state finds its price in what its neighbours have last said."""
    market, _ = reference(name)
    play = Play(market, SolveSettings(faults=faults), endless=True)
    play.rounds_to(1e-13)
    before = dict(play.prices)
    gone = next(iter(market.offers))
    play.simulation.crash(gone, play.simulation.now_s + 0.2)
    play.start(gone, play.simulation.now_s + 30.2)
    play.run(31)
    for _ in range(20):
        play.run(1)
        for trader in before.keys() - {gone}:
            assert play.prices[trader] == pytest.approx(before[trader], abs=1e-4)
    assert play.gap <= 1e-9


@pytest.mark.parametrize("name", ["ring4", "line4", "full4", "formula12", "levels-cells"])
def test_16_two_neighbours_come_back_within_six_rounds(name: str) -> None:
    """Both have lost their line to the other; they find it without troubling the market."""
    market, _ = reference(name)
    play = Play(market, endless=True)
    play.rounds_to(1e-13)
    before = dict(play.prices)
    gone = list(market.offers)[:2]
    now_s = play.simulation.now_s
    for trader in gone:
        play.simulation.crash(trader, now_s + 0.2)
        play.start(trader, now_s + 10.2)
    play.run(10)
    play.run(1)
    assert play.rounds_to(1e-6) <= 6
    play.run(10)
    for trader, price in before.items():
        assert play.prices[trader] == pytest.approx(price, abs=1e-4)


def test_a_partition_heals() -> None:
    """Both sides trade on alone under a new load, and meet again at the optimum of the whole."""
    market, _ = reference("formula12")
    side = {f"t{k}" for k in range(6)}
    shocked = {
        name: Offer(offer.load_kwh * (1.3 if name in side else 0.7), offer.blocks)
        for name, offer in market.offers.items()
    }
    play = Play(market_of(shocked, market.links, market.voll_eur_per_kwh), endless=True)
    cut(play.simulation, side, 5.0, 55.0)
    play.run(55)
    assert play.gap > 1e-6
    assert play.rounds_to(1e-6) <= 40


def test_an_islanded_group_is_a_market_of_its_own() -> None:
    market, _ = reference("levels-cells")
    gate = {("top1", "top2"), ("top2", "top1")}
    open_links = tuple(link for link in market.links if (link.seller, link.buyer) not in gate)
    apart = trade_out(market_of(market.offers, open_links, 300.0), SolveSettings())
    halves = []
    for names in (("a", "b", "top1"), ("d", "e", "top2")):
        offers = {name: market.offers[name] for name in names}
        links = tuple(link for link in open_links if link.seller in names)
        halves.append(trade_out(market_of(offers, links, 300.0), SolveSettings()))
    assert apart.cost_eur == pytest.approx(sum(half.cost_eur for half in halves), rel=1e-9)
    for half in halves:
        for name, price in half.prices.items():
            assert apart.prices[name] == pytest.approx(price, abs=1e-4)


def test_runs_repeat_bit_for_bit() -> None:
    market, _ = reference("kinks")
    settings = SolveSettings(faults=BAD, seed=7)
    one, other = Play(market, settings), Play(market, settings)
    one.settle()
    other.settle()
    assert one.simulation.facts == other.simulation.facts
    assert one.simulation.accounts == other.simulation.accounts


def test_a_load_that_nobody_can_serve_is_named() -> None:
    market, _ = reference("kinks")
    result = trade_out(with_offer(market, "e", Offer(5.0)), SolveSettings())
    short = {name: energy for name, energy in result.unserved_kwh.items() if energy > 1e-9}
    assert short == {"e": pytest.approx(3.0)}
