"""Traders that come back: who remembers keeps its word, who has forgotten asks, or gives up."""

from collections.abc import Sequence

import pytest
from tests.agents.trading.markets import reference
from tests.agents.trading.play import BAD, Play

from peercell.agents.protocol import Remember, Started
from peercell.agents.trading.messages import TraderSettled
from peercell.agents.trading.promises import remembered
from peercell.agents.trading.trader import MicrogridTrader, Phase
from peercell.broker.faults.kinds import Failpoint, Memory
from peercell.broker.faults.network import LinkFaults
from peercell.broker.simulated_checks import check
from peercell.broker.solving.trade import SolveSettings


def hurt(play: Play, names: Sequence[str], state: Memory) -> None:
    """Let some traders crash together and come back a second later."""
    now_s = play.simulation.now_s
    for name in names:
        play.simulation.crash(name, now_s, state)
        play.start(name, now_s + 1.0)
    play.run(2)


def settled(play: Play) -> dict[str, list[TraderSettled]]:
    found: dict[str, list[TraderSettled]] = {}
    for _, name, fact in play.simulation.facts_of(TraderSettled):
        found.setdefault(name, []).append(fact)
    return found


@pytest.mark.parametrize("faults", [LinkFaults(), BAD], ids=["clean", "bad"])
@pytest.mark.parametrize("after", [2, 5, 8, 12, 16])
def test_all_come_back_with_their_memory_and_settle_what_they_had_promised(
    after: int, faults: LinkFaults
) -> None:
    market, _ = reference("ring4")
    play = Play(market, SolveSettings(faults=faults, seed=after))
    play.run(after)
    hurt(play, list(market.offers), Memory.KEPT)
    play.settle()
    check(play.simulation)


def test_who_has_settled_says_the_same_again_after_a_crash() -> None:
    market, _ = reference("full4")
    play = Play(market)
    before = play.settle()
    hurt(play, list(market.offers), Memory.KEPT)
    assert all(role.phase is Phase.SETTLED for role in play.roles.values())
    assert play.settle() == before
    assert {name: len(facts) for name, facts in settled(play).items()} == dict.fromkeys(before, 2)


def test_who_has_forgotten_settles_what_its_neighbours_confirm() -> None:
    market, _ = reference("full4")
    play = Play(market)
    before = play.settle()
    hurt(play, [next(iter(before))], Memory.LOST)
    after = play.settle()
    for name, fact in before.items():
        again = after[name]
        assert (again.price_eur_per_kwh, again.trades) == (fact.price_eur_per_kwh, fact.trades)
    check(play.simulation)


def test_two_who_have_forgotten_find_their_trade_from_the_prices_of_then() -> None:
    market, _ = reference("ring4")
    play = Play(market)
    before = play.settle()
    hurt(play, list(before)[:2], Memory.LOST)
    after = play.settle()
    for name, fact in before.items():
        assert not after[name].unconfirmed
        assert after[name].trades == fact.trades
    check(play.simulation)


def test_what_nobody_remembers_is_void_and_not_made_up() -> None:
    """Two at the end of a line have forgotten: nobody knows the price of the last one."""
    market, _ = reference("line4")
    play = Play(market)
    before = play.settle()
    names = list(before)
    hurt(play, names[:2], Memory.LOST)
    after = play.settle()
    last, next_ = after[names[0]], after[names[1]]
    assert (last.trades, last.unconfirmed) == ((), (names[1],))
    assert next_.unconfirmed == (names[0],)
    assert next_.trades == tuple(t for t in before[names[1]].trades if t.peer != names[0])
    assert next_.price_eur_per_kwh == before[names[1]].price_eur_per_kwh
    check(play.simulation)


@pytest.mark.parametrize("point", [Failpoint.BEFORE_SAVE, Failpoint.AFTER_SAVE])
@pytest.mark.parametrize("at_s", [0.5, 4.5, 7.5, 9.5])
def test_a_trader_that_ends_at_a_save_keeps_its_word(point: Failpoint, at_s: float) -> None:
    market, _ = reference("ring4")
    play = Play(market)
    name = next(iter(market.offers))

    def make() -> MicrogridTrader:
        play.roles[name] = MicrogridTrader(play.settings_of(name))
        return play.roles[name]

    play.simulation.peer(name).make = make
    play.simulation.at(at_s, play.simulation.peer(name).arm, point, 0.5)
    play.settle()
    check(play.simulation)


def test_a_price_is_frozen_only_once_it_is_remembered() -> None:
    market, _ = reference("ring4")
    play = Play(market)
    name = next(iter(market.offers))
    peer = play.simulation.peer(name)
    play.run(1)
    peer.disk_full = True
    play.run(30)
    assert peer.unsaved
    dropped = play.simulation.accounts.dropped["unsaved"]
    assert dropped > 0
    promised = remembered(peer.memory)
    assert promised is not None
    assert promised.spoken == -1
    assert all(role.phase is Phase.TRADING for role in play.roles.values())
    peer.disk_full = False
    play.settle()
    assert play.simulation.accounts.dropped["unsaved"] == dropped
    check(play.simulation)


def test_a_new_life_comes_after_the_one_before_even_if_the_clock_was_set_back() -> None:
    market, _ = reference("ring4")
    play = Play(market)
    name = next(iter(market.offers))
    memory: dict[str, bytes] = {}
    sessions = []
    for now_s in (100.0, 1.0):
        first, *_ = MicrogridTrader(play.settings_of(name)).step(Started(memory), now_s)
        assert isinstance(first, Remember)
        memory = {first.name: first.what}
        promises = remembered(memory)
        assert promises is not None
        sessions.append(promises.session)
    assert sessions == [100_000_000, 100_000_001]
