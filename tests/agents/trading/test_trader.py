"""The trader's conversations: starting, trading, closing, settling, and what goes wrong."""

from itertools import pairwise

import pytest
from msgspec.structs import replace
from tests.agents.trading.markets import CASES, market_of, reference, with_offer
from tests.agents.trading.play import BAD, Liar, Play

from peercell.agents.protocol import (
    Commanded,
    Event,
    PeerDown,
    Received,
    Remember,
    Reply,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.agents.trading.blocks import Block, Offer
from peercell.agents.trading.links import Link
from peercell.agents.trading.messages import (
    CurveQuote,
    EpochOpened,
    Hello,
    OfferChange,
    TraderSettled,
)
from peercell.agents.trading.settings import MarketCell, Method, TraderSettings
from peercell.agents.trading.trader import MicrogridTrader, Phase
from peercell.broker.simulation import Simulation
from peercell.broker.solving.instance import Market
from peercell.broker.solving.trade import SolveSettings, trade_out

LINK = Link("a", "b", 1.0, 0.5)
BACK = Link("b", "a", 1.0, 0.5)
CELL = MarketCell("a|b", ("a", "b"), (LINK, BACK))
ALICE = TraderSettings(
    name="a",
    offers=(Offer(4.0, (Block(10.0, 2.0),)),),
    voll_eur_per_kwh=300.0,
    roster=("a", "b"),
    cells=(CELL,),
    gossip_peers=("b",),
)
QUOTE = CurveQuote("a|b", 0, 7, 1, (30.0,), (31.0,), (1.0,))


def started() -> MicrogridTrader:
    trader = MicrogridTrader(ALICE)
    trader.step(Started(), 0.0)
    return trader


def quotes(actions: list[object]) -> list[CurveQuote]:
    sent = [action.message for action in actions if isinstance(action, Send)]
    return [message for message in sent if isinstance(message, CurveQuote)]


def test_a_trader_starts_by_listening() -> None:
    actions = MicrogridTrader(ALICE).step(Started(), 3.0)
    assert isinstance(actions[0], Remember)
    assert actions[1] == Send("b", Hello(0, 3_000_000))
    assert SetTimer("round", 1.0) in actions
    trader = started()
    assert not quotes([*trader.step(TimerFired("round"), 1.0)])
    assert trader.phase is Phase.LISTENING


def test_a_neighbour_that_listens_counts_as_absent() -> None:
    trader = started()
    trader.step(Received("b", Hello(0, 7)), 0.5)
    (quote,) = quotes([*trader.step(TimerFired("round"), 1.0)])
    assert quote.price_eur_per_kwh == (18.0,)


def test_a_trader_waits_no_longer_than_it_must_for_absent_neighbours() -> None:
    trader = started()
    for round_ in range(1, ALICE.listen_rounds + 1):
        actions = trader.step(TimerFired("round"), float(round_))
    assert trader.phase is Phase.TRADING
    assert quotes([*actions])


def test_a_hello_is_answered_with_the_last_quote() -> None:
    trader = started()
    trader.step(Received("b", QUOTE), 0.5)
    (told,) = quotes([*trader.step(TimerFired("round"), 1.0)])
    assert quotes([*trader.step(Received("b", Hello(0, 7)), 1.5)]) == [told]


@pytest.mark.parametrize(
    ("sender", "quote"),
    [
        ("b", replace(QUOTE, cell="x|y")),
        ("c", QUOTE),
        ("b", replace(QUOTE, price_eur_per_kwh=(301.0,))),
        ("b", replace(QUOTE, price_eur_per_kwh=(30.0, 30.0))),
        ("b", replace(QUOTE, level_eur_per_kwh=())),
    ],
    ids=["unknown cell", "stranger", "above VOLL", "too long", "too short"],
)
def test_a_quote_that_makes_no_sense_is_ignored(sender: str, quote: CurveQuote) -> None:
    trader = started()
    trader.step(Received("b", Hello(0, 7)), 0.5)
    trader.step(Received(sender, quote), 0.6)
    trader.step(TimerFired("round"), 1.0)
    assert trader.prices_eur_per_kwh == (18.0,)


def test_what_is_planned_fits_the_price_until_the_next_look() -> None:
    """News that has come in since then changes neither."""
    trader = started()
    trader.step(Received("b", QUOTE), 0.5)
    trader.step(TimerFired("round"), 1.0)
    (price,), planned = trader.prices_eur_per_kwh, trader.pricing.imports()
    made = (price - 10.0) / 2.0
    assert planned["b"][0] == pytest.approx(4.0 - made)
    news = replace(QUOTE, seq=2, price_eur_per_kwh=(12.0,), level_eur_per_kwh=(12.0,))
    trader.step(Received("b", news), 1.5)
    assert trader.pricing.imports() == planned
    trader.step(TimerFired("round"), 2.0)
    assert trader.pricing.imports()["b"][0] > planned["b"][0]


@pytest.mark.parametrize(
    "late",
    [QUOTE, replace(QUOTE, seq=2), replace(QUOTE, session=6, seq=99)],
    ids=["older", "the same", "of an earlier life"],
)
def test_the_newest_quote_wins(late: CurveQuote) -> None:
    newest = replace(QUOTE, seq=2, price_eur_per_kwh=(12.0,), level_eur_per_kwh=(12.0,))
    trader = started()
    trader.step(Received("b", newest), 0.5)
    trader.step(TimerFired("round"), 1.0)
    price = trader.prices_eur_per_kwh
    assert price < (18.0,)
    trader.step(Received("b", late), 1.5)
    trader.step(TimerFired("round"), 2.0)
    assert trader.prices_eur_per_kwh == price


def test_a_quote_that_did_not_change_is_repeated_ever_less_often() -> None:
    trader = started()
    trader.step(Received("b", QUOTE), 0.5)
    sent = [
        round_
        for round_ in range(1, 60)
        if quotes([*trader.step(TimerFired("round"), float(round_))])
    ]
    silences = [later - earlier for earlier, later in pairwise(sent)]
    assert silences[-5:] == [2, 4, 8, 16, 16]


def test_equal_events_give_equal_actions() -> None:
    events: list[Event] = [
        Started(),
        Received("b", QUOTE),
        TimerFired("round"),
        TimerFired("round"),
    ]
    one, other = MicrogridTrader(ALICE), MicrogridTrader(ALICE)
    for at, event in enumerate(events):
        assert one.step(event, float(at)) == other.step(event, float(at))


@pytest.mark.parametrize("name", CASES)
def test_16_what_is_settled_stays_settled(name: str) -> None:
    market, _ = reference(name)
    play = Play(market)
    said = play.settle()
    play.run(50)
    assert len(play.simulation.facts_of(TraderSettled)) == len(said)
    before = play.simulation.sent
    play.run(50)
    assert play.simulation.sent == before


def test_a_changed_load_opens_an_epoch_for_everyone() -> None:
    market, _ = reference("ring4")
    changed = Offer(12.0, market.offers["c"].blocks)
    play = Play(market)
    play.settle()
    play.simulation.give(
        "c", Commanded(1, OfferChange((changed,))), at_s=play.simulation.now_s + 0.3
    )
    play.run(1)
    assert play.simulation.replies[1] == EpochOpened(1)
    said = play.settle()
    fresh = trade_out(with_offer(market, "c", changed), SolveSettings())
    assert {fact.epoch for fact in said.values()} == {1}
    for name, fact in said.items():
        assert fact.certified
        assert fact.price_eur_per_kwh[0] == pytest.approx(fresh.prices[name], abs=1e-4)


def test_an_epoch_may_be_named_but_not_opened_twice() -> None:
    trader = started()
    dearer = (Offer(4.0, (Block(20.0, 2.0),)),)
    assert Reply(1, EpochOpened(7)) in trader.step(Commanded(1, OfferChange(dearer, 7)), 1.0)
    again = OfferChange((Offer(9.0),), 7)
    assert trader.step(Commanded(2, again), 2.0) == [Reply(2, EpochOpened(7))]
    trader.step(Received("b", Hello(7, 7)), 2.5)
    trader.step(TimerFired("round"), 3.0)
    assert trader.prices_eur_per_kwh == (28.0,)


def test_who_goes_down_after_an_epoch_is_not_waited_for_in_the_next() -> None:
    market, _ = reference("line4")
    play = Play(market)
    play.settle()
    now_s = play.simulation.now_s
    play.simulation.crash("d", now_s)
    del play.roles["d"]
    for name in play.roles:
        play.simulation.give(name, PeerDown("d", 0), now_s + 1.0)
    play.simulation.give("a", Commanded(1, OfferChange((market.offers["a"],))), now_s + 2.0)
    play.run(3)
    said = play.settle()
    assert all(fact.certified and fact.epoch == 1 for fact in said.values())


@pytest.mark.parametrize("rounds", [1, 3, 6])
def test_at_the_gate_the_plan_at_hand_is_settled_and_its_gap_known(rounds: int) -> None:
    market, expected = reference("ring4")
    play = Play(market, SolveSettings(rounds_max=rounds))
    said = play.settle()
    cost = sum(fact.cost_eur for fact in said.values())
    gap = sum(fact.gap_eur for fact in said.values())
    assert not any(fact.certified for fact in said.values())
    assert not any(fact.unconfirmed or fact.disputes for fact in said.values())
    assert cost - gap <= expected["cost"] + 1e-9
    assert cost >= expected["cost"] - 1e-9
    # Plans of both sides hardly match at first; then trading pays long before prices are exact.
    alone = sum(expected["standalone"].values())
    assert cost <= (1.02 if rounds < 6 else 0.9) * alone


def test_a_trade_in_dispute_is_seen_by_both_and_settled_by_neither() -> None:
    market = market_of(
        {"a": Offer(4.0, (Block(10.0, 2.0),)), "b": Offer(6.0, (Block(30.0, 3.0),))}, (LINK, BACK)
    )
    play = Play(market)
    play.simulation.start("a", Liar(play.roles["a"]))
    said = play.settle()
    assert said["b"].disputes == ("a",)
    assert said["a"].disputes == ()  # what b says agrees with what a knows
    assert said["b"].trades == ()
    assert said["b"].generation_kwh == (6.0,)
    assert said["b"].cost_eur == said["b"].standalone_eur


def test_a_partner_that_dies_before_confirming_gets_and_pays_nothing() -> None:
    market, _ = reference("two")
    play = Play(market)
    while play.roles["a"].phase is Phase.TRADING or play.roles["a"].phase is Phase.LISTENING:
        play.run(1)
        if play.roles["b"].phase is Phase.SETTLING:
            break
    play.simulation.crash("a", play.simulation.now_s)
    play.run(100)
    (settled,) = [f for _, name, f in play.simulation.facts_of(TraderSettled) if name == "b"]
    assert settled.unconfirmed in {("a",), ()}
    if settled.unconfirmed:
        assert settled.trades == ()


def test_a_member_that_is_down_is_not_waited_for() -> None:
    market, _ = reference("line4")
    play = Play(market)
    play.run(2)
    play.simulation.crash("d", play.simulation.now_s)
    del play.roles["d"]
    for name in play.roles:
        play.simulation.give(name, PeerDown("d", 0), at_s=3.0)
    said = play.settle()
    assert all(fact.certified for fact in said.values())
    assert all(trade.peer != "d" for trade in said["c"].trades)
    alone = market_of(
        {name: market.offers[name] for name in "abc"},
        tuple(link for link in market.links if "d" not in (link.seller, link.buyer)),
    )
    cost = sum(fact.cost_eur for fact in said.values())
    assert cost == pytest.approx(trade_out(alone, SolveSettings()).cost_eur, rel=1e-9)


@pytest.mark.parametrize("name", ["ring4", "levels-cells"])
def test_a_trader_that_dies_after_the_vote_settles_the_same_plan_again(name: str) -> None:
    market, _ = reference(name)
    play = Play(market)
    first = play.settle()
    gone = next(iter(market.offers))
    now_s = play.simulation.now_s
    play.simulation.crash(gone, now_s + 1.0)
    play.start(gone, now_s + 5.0)
    play.run(40)
    again = [fact for _, who, fact in play.simulation.facts_of(TraderSettled) if who == gone]
    assert len(again) == 2
    assert again[1] == replace(first[gone], round=again[1].round)


def test_nobody_answers_an_answer() -> None:
    """Delay and loss make traders repeat themselves; that must not become an echo."""
    market, _ = reference("full4")
    play = Play(market, SolveSettings(faults=BAD, seed=3))
    play.settle()
    play.run(100)
    before = play.simulation.sent
    play.run(200)
    assert play.simulation.sent == before
    assert play.simulation.in_flight == 0


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("name", ["two", "line4", "ring4", "full4"])
def test_every_method_ends_in_the_same_optimum(name: str, method: Method) -> None:
    market, expected = reference(name)
    result = trade_out(market, SolveSettings(method=method, tolerance=1e-8))
    assert result.converged
    assert result.cost_eur == pytest.approx(expected["cost"], rel=1e-7)


def test_a_trader_with_nobody_to_trade_with_settles_alone() -> None:
    result = trade_out(market_of({"a": Offer(4.0, (Block(10.0, 2.0),))}, ()), SolveSettings())
    assert result.converged
    assert result.prices == {"a": 18.0}
    assert result.cost_eur == result.standalone_eur["a"]


def test_18_periods_without_storage_are_markets_apart() -> None:
    one, _ = reference("ring4")
    other = Market(
        {name: Offer(offer.load_kwh + 3.0, offer.blocks) for name, offer in one.offers.items()},
        one.links,
        one.cells,
        one.voll_eur_per_kwh,
    )
    play = Play(one)
    simulation = Simulation()
    roles = {}
    for name in one.offers:
        both = (one.offers[name], other.offers[name])
        roles[name] = MicrogridTrader(replace(play.settings_of(name), offers=both))
        simulation.start(name, roles[name])
    simulation.run(200.0)
    for t, market in enumerate((one, other)):
        apart = trade_out(market, SolveSettings())
        for name, role in roles.items():
            assert role.phase is Phase.SETTLED
            price = role.prices_eur_per_kwh[t]
            assert price == pytest.approx(apart.prices[name], abs=1e-3)
