import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.grid_parts import SetPoint
from peercell.agents.trading.blocks import Block
from peercell.agents.trading.contract_messages import Share
from peercell.agents.trading.portfolio import Portfolio, ProsumerAsset, injection_kwh

HOURS = 0.25
LOAD = ProsumerAsset(
    asset="load",
    p_kw=(-4.0, -2.0),
    q_kvar=(-1.0, -1.0),
    flexible_share=0.5,
    price_eur_per_kwh=0.6,
    slope_eur_per_kwh2=0.1,
)
PV = ProsumerAsset(asset="pv", p_kw=(3.0, 0.0))
BATTERY = ProsumerAsset(asset="battery", p_kw=(-1.0, 1.0))
GENERATOR = ProsumerAsset(asset="load", p_kw=(2.0,), price_eur_per_kwh=0.25)
HOME = Portfolio((LOAD, PV, BATTERY, GENERATOR), HOURS)


@pytest.mark.parametrize(
    ("interval", "load_kwh", "blocks", "firm_kwh"),
    [
        (
            0,
            1.25,
            (Block(0.6, 0.1, 0.5), Block(0, 0, 0.75), Block(0, 0, 0), Block(0.25, 0, 0.5)),
            0.75,
        ),
        (
            1,
            0.5,
            (Block(0.6, 0.1, 0.25), Block(0, 0, 0), Block(0, 0, 0.25), Block(0.25, 0, 0.5)),
            0.25,
        ),
    ],
)
def test_what_is_fed_in_or_can_be_left_out_is_a_block(
    interval: int, load_kwh: float, blocks: tuple[Block, ...], firm_kwh: float
) -> None:
    ours = HOME.offer(interval)
    assert ours.offer.load_kwh == load_kwh
    assert ours.offer.blocks == blocks
    assert ours.firm_kwh == firm_kwh


def test_a_firm_load_has_no_block() -> None:
    assert (
        Portfolio((ProsumerAsset(asset="load", p_kw=(-4.0,)),), HOURS).offer(0).offer.blocks == ()
    )


def test_without_a_market_load_is_drawn_sun_is_used_and_fuel_is_saved() -> None:
    assert HOME.set_points(0, None) == (
        SetPoint("load", -4.0, -1.0),
        SetPoint("pv", 3.0, 0.0),
        SetPoint("battery", -1.0, 0.0),
    )


def test_a_schedule_becomes_set_points_at_the_power_factor_of_the_profile() -> None:
    share = Share(0.3, 1.25, (0.25, 0.5, 0.0, 0.25))
    # 1 of 4 kW is left out, 1 kW is made behind the same meter, 1 kW of the sun is spilled.
    assert HOME.set_points(0, share) == (
        SetPoint("load", -2.0, -0.75),
        SetPoint("pv", 2.0, 0.0),
        SetPoint("battery", -1.0, 0.0),
    )


def test_unserved_load_is_cut_from_firm_load_alone() -> None:
    points = HOME.set_points(0, Share(3.0, 1.25, (0.5, 0.75, 0.0, 0.5), unserved_kwh=0.375))
    assert points[0] == SetPoint("load", -4.0 + 2.0 + 1.0 + 2.0, -0.25)
    assert points[2] == SetPoint("battery", -0.5, 0.0)


def test_a_schedule_that_asks_too_much_is_cut() -> None:
    points = HOME.set_points(1, Share(3.0, 0.5, (9.0, 9.0, 9.0, 9.0), unserved_kwh=9.0))
    assert points[0].p_kw == 2.0
    assert points[1].p_kw == 0.0
    assert points[2].p_kw == 1.0


powers = st.floats(-10.0, 10.0)
units = st.builds(
    ProsumerAsset,
    asset=st.sampled_from(["a", "b", "c"]),
    p_kw=st.tuples(powers),
    q_kvar=st.tuples(powers),
    flexible_share=st.floats(0.0, 1.0),
    price_eur_per_kwh=st.floats(0.0, 1.0),
)


@given(st.lists(units, min_size=1, max_size=6), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_set_points_do_exactly_what_the_schedule_says(
    listed: list[ProsumerAsset], used: float, shed: float
) -> None:
    home = Portfolio(tuple(listed), HOURS)
    ours = home.offer(0)
    blocks_kwh = tuple(used * block.width_kwh for block in ours.offer.blocks)
    unserved_kwh = shed * ours.firm_kwh
    share = Share(0.0, ours.offer.load_kwh, blocks_kwh, unserved_kwh)
    points = home.set_points(0, share)
    assert injection_kwh(points, HOURS) == pytest.approx(share.injection_kwh, abs=1e-9)
    assert len({point.asset for point in points}) == len(points)
