"""The step of the multipliers: never negative, at the minimum of the dual, the same bits."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.control.device import Response
from peercell.agents.control.multipliers import (
    ROWS_MAX,
    Limits,
    Real,
    next_multipliers,
    row_sum_steps,
)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Limits, list[Response]]:
    """Return limits and devices of a made-up feeder."""
    rows, devices = draw(st.integers(1, 8)), draw(st.integers(1, 10))
    chance = np.random.default_rng(draw(st.integers(0, 10_000)))
    where = np.sort(chance.uniform(0.0, 1e-3, rows))
    at = np.sort(chance.uniform(0.0, 1e-3, devices))
    slopes = np.minimum.outer(where, at)
    limits = Limits(
        excess=chance.normal(0.0, 0.02, rows),
        multipliers=np.where(chance.random(rows) < 0.4, chance.uniform(0.0, 2e3, rows), 0.0),
        per_kw=slopes,
        per_kvar=slopes * chance.uniform(0.3, 1.0),
    )
    responses = [
        Response(
            along=float(chance.uniform(1.0, 300.0)),
            edge=float(chance.choice([0.0, -0.33, 0.5])),
            reactive=float(chance.choice([0.0, chance.uniform(20.0, 5e3)])),
            gap=float(chance.choice([0.0, chance.uniform(0.1, 1.0), -0.2])),
        )
        for _ in range(devices)
    ]
    return limits, responses


def left_over(limits: Limits, responses: list[Response], found: Real) -> Real:
    """Return what is left of each excess if the devices do what they said."""
    left = limits.excess.copy()
    moved = found - limits.multipliers
    for k, told in enumerate(responses):
        along = limits.per_kw[:, k] + told.edge * limits.per_kvar[:, k]
        price = float(along @ moved)
        beyond = price if told.gap == 0.0 else max(0.0, price - told.gap)
        if told.gap < 0.0:
            beyond = min(0.0, price - told.gap)
        left -= along * told.along * beyond
        left -= limits.per_kvar[:, k] * told.reactive * float(limits.per_kvar[:, k] @ moved)
    return left


@given(problem=problems())
def test_multipliers_are_never_negative_and_move_only_where_something_is_wrong(
    problem: tuple[Limits, list[Response]],
) -> None:
    limits, responses = problem
    found = next_multipliers(limits, responses).multipliers
    assert (found >= 0.0).all()
    assert np.isfinite(found).all()
    idle = (limits.multipliers == 0.0) & (limits.excess <= 0.0)
    assert (found[idle] == 0.0).all()


@given(problem=problems())
def test_a_step_ends_where_the_limits_hold_if_devices_keep_their_word(
    problem: tuple[Limits, list[Response]],
) -> None:
    limits, responses = problem
    found = next_multipliers(limits, responses).multipliers
    left = left_over(limits, responses, found)
    helped = np.array(
        [
            sum(
                (row_kw[k] + told.edge * row_kvar[k]) ** 2 * told.along
                + row_kvar[k] ** 2 * told.reactive
                for k, told in enumerate(responses)
                if told.gap == 0.0
            )
            for row_kw, row_kvar in zip(limits.per_kw, limits.per_kvar, strict=True)
        ]
    )
    active = (limits.multipliers > 0.0) | (limits.excess > 0.0)
    near = 0.02 * float(np.abs(limits.excess[active]).max()) if active.any() else 0.0
    for row in np.flatnonzero(active & (helped > 1e-4)):
        assert left[row] <= near or found[row] > 0.0


@given(problem=problems())
def test_equal_numbers_give_equal_bits(problem: tuple[Limits, list[Response]]) -> None:
    limits, responses = problem
    copied = Limits(
        *(np.array(values.tolist()).reshape(values.shape) for values in vars(limits).values())
    )
    first = next_multipliers(limits, responses).multipliers
    assert first.tobytes() == next_multipliers(copied, list(responses)).multipliers.tobytes()


def test_a_price_to_which_nobody_answers_falls_by_half_until_somebody_does() -> None:
    """All Q used up, P at its bound: too high a price is as good as the right one to everybody."""
    limits = Limits(
        excess=np.array([-0.01]),
        multipliers=np.array([8.0]),
        per_kw=np.array([[1e-3]]),
        per_kvar=np.array([[1e-3]]),
    )
    asleep = Response(100.0, -0.33, 0.0, 0.9)
    step = next_multipliers(limits, [asleep])
    assert step.multipliers == pytest.approx([4.0])
    assert not step.reaches[0]
    broken = replace(limits, excess=np.array([1e-9]))
    assert next_multipliers(broken, [asleep]).multipliers[0] >= 8.0


def test_nothing_wakes_up_more_than_is_needed() -> None:
    """One device would do: its neighbour, a little dearer, sleeps on."""
    limits = Limits(
        excess=np.array([0.01]),
        multipliers=np.zeros(1),
        per_kw=np.array([[1e-3, 1e-3]]),
        per_kvar=np.zeros((1, 2)),
    )
    cheap, dear = Response(100.0, 0.0, 0.0, 0.9), Response(100.0, 0.0, 0.0, 1.1)
    (found,) = next_multipliers(limits, [cheap, dear]).multipliers
    assert found == pytest.approx((0.9 + 0.1) / 1e-3, rel=1e-3)


def test_sleeping_devices_wake_up_together_when_one_is_not_enough() -> None:
    limits = Limits(
        excess=np.array([0.05]),
        multipliers=np.zeros(1),
        per_kw=np.array([[1e-3, 1e-3]]),
        per_kvar=np.zeros((1, 2)),
    )
    told = [Response(100.0, 0.0, 0.0, 0.9), Response(100.0, 0.0, 0.0, 1.1)]
    (found,) = next_multipliers(limits, told).multipliers
    given_kw = 100.0 * (found * 1e-3 - 0.9) + 100.0 * (found * 1e-3 - 1.1)
    assert given_kw == pytest.approx(50.0, rel=1e-3)


def test_only_the_worst_limits_move_at_once() -> None:
    rows = ROWS_MAX + 5
    limits = Limits(
        excess=np.linspace(0.01, 0.02, rows),
        multipliers=np.zeros(rows),
        per_kw=np.full((rows, 1), 1e-3),
        per_kvar=np.zeros((rows, 1)),
    )
    found = next_multipliers(limits, [Response(100.0, 0.0, 0.0, 0.0)]).multipliers
    assert (found[:5] == 0.0).all()


@given(problem=problems())
def test_lonely_steps_are_safe_together(problem: tuple[Limits, list[Response]]) -> None:
    limits, responses = problem
    steps = row_sum_steps(limits, responses)
    active = (limits.multipliers > 0.0) | (limits.excess > 0.0)
    slopes = [
        np.outer(along, along) * told.along + np.outer(across, across) * told.reactive
        for k, told in enumerate(responses)
        for along, across in [
            (limits.per_kw[:, k] + told.edge * limits.per_kvar[:, k], limits.per_kvar[:, k])
        ]
    ]
    curvature = np.sum(slopes, axis=0)[np.ix_(active, active)]
    if curvature.size:
        scaled = np.sqrt(steps[active])[:, None] * curvature * np.sqrt(steps[active])[None, :]
        assert np.linalg.eigvalsh(scaled).max() <= 1.0 + 1e-9
