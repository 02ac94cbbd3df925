"""Cost curves: tables worked out by hand, and what must hold for any list of blocks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agents.trading.markets import VOLL, blocks, numbers

from peercell.agents.trading.blocks import Block, Dispatch, Offer, Supply, concatenate

STEPS = Supply(Offer(5.0, (Block(25.0, 0.0, 2.0), Block(60.0, 0.0, 3.0))), VOLL)
MIXED = Supply(Offer(5.0, (Block(0.0, 0.0, 4.0), Block(18.0, 3.0, 4.0))), VOLL)
NOTHING = Supply(Offer(5.0), VOLL)


def supplies() -> st.SearchStrategy[Supply]:
    return st.builds(Offer, numbers(0, 10), blocks()).map(lambda offer: Supply(offer, VOLL))


@pytest.mark.parametrize(
    ("supply", "price", "least", "most"),
    [
        (STEPS, 24.9, 0.0, 0.0),
        (STEPS, 25.0, 0.0, 2.0),
        (STEPS, 59.0, 2.0, 2.0),
        (STEPS, 60.0, 2.0, 5.0),
        (MIXED, 0.0, 0.0, 4.0),
        (MIXED, 18.0, 4.0, 4.0),
        (MIXED, 24.0, 6.0, 6.0),
        (MIXED, 31.0, 8.0, 8.0),
        (NOTHING, 299.0, 0.0, 0.0),
    ],
)
def test_supply_is_an_interval_at_a_step(
    supply: Supply, price: float, least: float, most: float
) -> None:
    assert supply.below(price) == least
    assert supply.up_to(price) == most


@pytest.mark.parametrize(
    ("supply", "energy", "expected", "cost"),
    [
        (STEPS, 1.0, Dispatch((1.0, 0.0), 0.0, 0.0), 25.0),
        (STEPS, 4.0, Dispatch((2.0, 2.0), 0.0, 0.0), 170.0),
        (STEPS, 6.0, Dispatch((2.0, 3.0), 1.0, 0.0), 530.0),
        (STEPS, -1.5, Dispatch((0.0, 0.0), 0.0, 1.5), 0.0),
        (MIXED, 6.0, Dispatch((4.0, 2.0), 0.0, 0.0), 42.0),
        (NOTHING, 2.0, Dispatch((), 2.0, 0.0), 600.0),
    ],
)
def test_dispatch_is_in_merit_order(
    supply: Supply, energy: float, expected: Dispatch, cost: float
) -> None:
    made = supply.dispatch(energy)
    assert made == expected
    assert supply.cost(made) == cost


def test_a_step_serves_the_rest_beside_a_sloped_block_with_room() -> None:
    """A sloped block that has room left above the margin is not to be filled up first."""
    supply = Supply(Offer(1.0, (Block(6.0, 4.0, 0.6), Block(8.0, 0.0, 0.6))), VOLL)
    assert supply.dispatch(1.0).blocks_kwh == (0.5, 0.5)
    assert supply.gap(supply.dispatch(1.0), 8.0) == 0.0


def test_equal_blocks_share_the_margin_in_their_order() -> None:
    supply = Supply(Offer(3.0, (Block(10.0, 0.0, 2.0), Block(10.0, 0.0, 2.0))), VOLL)
    assert supply.dispatch(3.0).blocks_kwh == (2.0, 1.0)


def test_a_block_above_the_value_of_lost_load_is_never_used() -> None:
    supply = Supply(Offer(3.0, (Block(VOLL + 1.0, 0.0, 5.0),)), VOLL)
    assert supply.dispatch(3.0).unserved_kwh == 3.0


def test_a_sloped_block_is_used_up_to_the_value_of_lost_load() -> None:
    supply = Supply(Offer(200.0, (Block(100.0, 2.0),)), VOLL)
    assert supply.dispatch(200.0).unserved_kwh == 100.0


@given(supplies(), numbers(-5, 40))
def test_a_dispatch_adds_up(supply: Supply, energy: float) -> None:
    made = supply.dispatch(energy)
    total = sum(made.blocks_kwh) + made.unserved_kwh - made.spilled_kwh
    assert total == pytest.approx(energy, abs=1e-12)
    assert min(made.unserved_kwh, made.spilled_kwh) == 0.0
    for part, (_, _, width) in zip(made.blocks_kwh, supply.curve, strict=True):
        assert 0.0 <= part <= width


@given(supplies(), numbers(-5, 40), numbers(0, VOLL))
def test_the_gap_is_the_fenchel_gap(supply: Supply, energy: float, price: float) -> None:
    made = supply.dispatch(energy)
    gap = supply.cost(made) + supply.surplus(price) - price * energy
    assert supply.gap(made, price) >= 0.0
    assert supply.gap(made, price) == pytest.approx(gap, abs=1e-9)


@given(supplies(), numbers(0, 40))
def test_the_gap_vanishes_at_the_marginal_price(supply: Supply, energy: float) -> None:
    made = supply.dispatch(energy)
    assert supply.gap(made, supply.marginal_price(energy)) == pytest.approx(0.0, abs=1e-10)


@given(supplies(), numbers(0, 20), numbers(0, 20))
def test_cost_is_convex(supply: Supply, one: float, other: float) -> None:
    middle = supply.cost(supply.dispatch((one + other) / 2))
    ends = supply.cost(supply.dispatch(one)) + supply.cost(supply.dispatch(other))
    assert middle <= ends / 2 + 1e-9


@given(blocks(), blocks(), numbers(0, 20), numbers(0, VOLL))
def test_a_group_offers_what_its_members_offer(
    one: tuple[Block, ...], other: tuple[Block, ...], load: float, price: float
) -> None:
    members = [Offer(load, one, 1.5), Offer(2.0, other)]
    group = concatenate(members)
    assert group.load_kwh == pytest.approx(load + 2.0)
    apart = [Supply(offer, VOLL) for offer in members]
    together = Supply(group, VOLL)
    assert together.up_to(price) == pytest.approx(sum(supply.up_to(price) for supply in apart))
    assert together.surplus(price) == pytest.approx(sum(supply.surplus(price) for supply in apart))
