"""What a device injects at a price: within its range always, and nothing is cheaper."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from peercell.agents.control.device import PRICE_MAX, Device, DeviceSettings, Weights

share = st.floats(0.0, 1.0)
price = st.floats(-4.0, 4.0)
any_price = st.one_of(price, st.floats(allow_nan=False, allow_infinity=True))


@st.composite
def devices(draw: st.DrawFn) -> Device:
    """Return PV, storage, flexible load or an inverter without sun, of any size."""
    size = draw(st.floats(0.5, 2000.0))
    kind = draw(st.sampled_from(["pv", "triangle", "storage", "load", "night"]))
    weights = Weights(
        linear=draw(st.sampled_from([0.0, 1.0])) if kind in {"pv", "triangle"} else 0.0,
        active=draw(st.floats(0.1, 5.0)) / size,
        reactive=draw(st.floats(0.01, 1.0)) / size,
    )
    low, high, planned = {
        "pv": (0.0, share_of(draw, size), 1.0),
        "triangle": (0.0, share_of(draw, size), 1.0),
        "storage": (-size, size, 0.5),
        "load": (-size, -size * draw(share), 0.0),
        "night": (0.0, 0.0, 0.0),
    }[kind]
    return Device(
        p_kw_min=low,
        p_kw_max=high,
        planned_kw=low + planned * (high - low),
        rating_kva=size,
        q_kvar_max=size * draw(st.sampled_from([0.0, 0.3123, 0.44, 1.0])),
        weights=weights,
        tan_max=draw(st.floats(0.0, 1.0)) if kind == "triangle" else None,
    )


def share_of(draw: st.DrawFn, size: float) -> float:
    """Return an available power up to the rating."""
    return draw(share) * size


def paid(device: Device, p_kw: float, q_kvar: float, prices: tuple[float, float]) -> float:
    """Return what a device minimises."""
    return device.cost(p_kw, q_kvar) + prices[0] * p_kw + prices[1] * q_kvar


def is_inside(device: Device, p_kw: float, q_kvar: float) -> bool:
    """Return whether an injection is in the working range, within 1e-9 of the rating."""
    room = 1e-9 * device.rating_kva
    triangle = math.inf if device.tan_max is None else device.tan_max * abs(p_kw)
    return (
        device.p_kw_min - room <= p_kw <= device.p_kw_max + room
        and math.hypot(p_kw, q_kvar) <= device.rating_kva + room
        and abs(q_kvar) <= min(device.q_kvar_max, triangle) + room
    )


@given(device=devices(), price_kw=any_price, price_kvar=any_price)
def test_any_price_keeps_a_device_in_its_range(
    device: Device, price_kw: float, price_kvar: float
) -> None:
    assert is_inside(device, *device.best(price_kw, price_kvar))
    answer = device.response(price_kw, price_kvar)
    assert all(map(math.isfinite, (answer.along, answer.reactive, answer.gap)))
    assert answer.along >= 0.0
    assert answer.reactive >= 0.0


@given(device=devices(), price_kw=price, price_kvar=price)
def test_nothing_in_the_range_is_cheaper(
    device: Device, price_kw: float, price_kvar: float
) -> None:
    prices = (price_kw, price_kvar)
    p_kw, q_kvar = device.best(*prices)
    least = paid(device, p_kw, q_kvar, prices)
    room = 1e-9 * device.rating_kva * (1.0 + abs(price_kw) + abs(price_kvar))
    for other_kw in np.linspace(device.p_kw_min, device.p_kw_most, 41).tolist():
        limit = device.reactive_limit(other_kw)
        for other_kvar in np.linspace(-limit, limit, 21).tolist():
            assert paid(device, other_kw, other_kvar, prices) >= least - room


@given(device=devices(), price_kw=price, more=st.floats(0.0, 4.0), price_kvar=price)
def test_a_higher_price_never_raises_the_injection(
    device: Device, price_kw: float, more: float, price_kvar: float
) -> None:
    room = 1e-9 * device.rating_kva
    assert (
        device.best(price_kw + more, price_kvar)[0] <= device.best(price_kw, price_kvar)[0] + room
    )
    assert (
        device.best(price_kw, price_kvar + more)[1] <= device.best(price_kw, price_kvar)[1] + room
    )


@given(device=devices(), p_kw=st.floats(-1e4, 1e4), q_kvar=st.floats(-1e4, 1e4))
def test_the_nearest_injection_is_in_the_range(device: Device, p_kw: float, q_kvar: float) -> None:
    assert is_inside(device, *device.nearest(p_kw, q_kvar))


@given(
    stored=share,
    lent=st.floats(-1.0, 1.0),
    planned=st.floats(-30.0, 30.0),
    hold_h=st.floats(0.05, 4.0),
    prices=st.tuples(price, price),
)
def test_a_battery_can_hold_what_it_gives_or_takes(
    stored: float, lent: float, planned: float, hold_h: float, prices: tuple[float, float]
) -> None:
    settings = structs.replace(BATTERY, hold_h=hold_h)
    p_kw, _ = settings.at(planned, 40.0 * stored, 40.0 * lent).best(*prices)
    left_kwh = 40.0 * stored - p_kw * hold_h
    assert -1e-6 <= left_kwh <= 40.0 + 1e-6
    assert abs(p_kw) <= 20.0


@pytest.mark.parametrize(("lent_kwh", "p_kw"), [(0.0, 5.0), (8.0, 7.0), (-8.0, 3.0)])
def test_a_battery_pays_back_a_quarter_an_hour_of_what_it_was_lent(
    lent_kwh: float, p_kw: float
) -> None:
    assert BATTERY.at(5.0, 20.0, lent_kwh).best(0.0, 0.0)[0] == pytest.approx(p_kw)


BATTERY = DeviceSettings(
    asset="bat",
    rating_kva=20.0,
    q_kvar_max=0.0,
    floor_kw=-20.0,
    ceiling_kw=20.0,
    weights=Weights(linear=0.0, active=0.015, reactive=0.0025),
    energy_kwh=40.0,
)
PV = Device(
    p_kw_min=0.0,
    p_kw_max=90.0,
    planned_kw=90.0,
    rating_kva=100.0,
    q_kvar_max=44.0,
    weights=Weights(linear=1.0, active=0.01, reactive=0.0005),
)


@pytest.mark.parametrize(
    ("device", "prices"),
    [
        pytest.param(PV, (1.3, 0.001), id="both free"),
        pytest.param(PV, (1.35, 0.3), id="on the edge of Q"),
        pytest.param(PV, (1.02, 0.03), id="on the circle"),
    ],
)
def test_the_response_is_the_derivative(device: Device, prices: tuple[float, float]) -> None:
    step = 1e-6
    answer = device.response(*prices)
    assert answer.gap == 0.0
    jacobian = np.outer([1.0, answer.edge], [1.0, answer.edge]) * answer.along
    jacobian[1, 1] += answer.reactive
    for k in range(2):
        up, down = list(prices), list(prices)
        up[k] += step
        down[k] -= step
        fall = (np.array(device.best(*down)) - np.array(device.best(*up))) / (2.0 * step)
        assert fall == pytest.approx(jacobian[:, k], rel=2e-3, abs=1e-3)


def test_the_gap_is_what_is_missing_until_it_moves() -> None:
    answer = PV.response(0.4, 0.0)
    assert answer.gap == pytest.approx(0.6)
    assert PV.best(0.4 + answer.gap - 1e-6, 0.0)[0] == PV.p_kw_max
    assert PV.best(0.4 + answer.gap + 1e-3, 0.0)[0] < PV.p_kw_max


@pytest.mark.parametrize("price_kw", [0.0, 0.4])
def test_at_full_sun_the_gap_is_told_beside_what_reactive_power_costs(price_kw: float) -> None:
    """P is all of the rating, so that any Q takes of P: it moves little, and P not yet."""
    full = structs.replace(PV, p_kw_max=100.0, planned_kw=100.0)
    assert full.best(price_kw, 0.0) == (100.0, 0.0)
    answer = full.response(price_kw, 0.0)
    assert answer.gap == pytest.approx(1.0 - price_kw)
    step = 1e-4
    lent_kvar = -full.best(price_kw, step)[1]
    assert answer.reactive == pytest.approx(lent_kvar / step, rel=1e-3)
    moved_kw = 100.0 - full.best(price_kw + answer.gap + step, 0.0)[0]
    assert answer.along == pytest.approx(moved_kw / step, rel=1e-3)
    assert full.best(price_kw + answer.gap - step, 0.0)[0] == 100.0


def test_at_full_charge_too_the_gap_is_told() -> None:
    battery = structs.replace(PV, p_kw_min=-100.0, planned_kw=0.0)
    answer = battery.response(3.0, 0.0)
    p_kw, _ = battery.best(3.0, 0.0)
    assert p_kw == -100.0
    assert answer.gap == pytest.approx(-1.0)
    assert battery.best(3.0 + answer.gap - 1e-3, 0.0)[0] > -100.0


@pytest.mark.parametrize("wanted", [math.inf, -math.inf, 1e300])
def test_prices_are_cut(wanted: float) -> None:
    assert PV.best(wanted, 0.0) == PV.best(math.copysign(PRICE_MAX, wanted), 0.0)
