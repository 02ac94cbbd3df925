"""Curves with bands: quantiles group by group, and columns found by a name without its end."""

from collections.abc import Sequence
from typing import Any

import click
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.errors import PeercellError
from peercell.broker.outcomes.bands import Band, Columns, band, curves, find
from peercell.broker.outcomes.tables import Table

RUNS = Table(
    {"run": int, "loss": float, "rounds_max": int, "v_min_pu": float, "v_max_pu": float},
    [
        {"run": k, "loss": loss, "rounds_max": 10 * k, "v_min_pu": 1.0, "v_max_pu": None}
        for k, loss in enumerate((0.1, 0.0, 0.1, 0.0))
    ],
)
ROUNDS = Table({"run": int, "interval": int, "round": int, "residual_eur_per_kwh": float}, [])
NAMED = {"runs": RUNS, "rounds": ROUNDS}


def rounds(*residuals: Sequence[float | None]) -> Table:
    """Return the rounds of some runs of one interval."""
    rows: list[dict[str, Any]] = [
        {"run": run, "interval": 0, "round": number, "residual": residual}
        for run, some in enumerate(residuals)
        for number, residual in enumerate(some, 1)
    ]
    return Table({"run": int, "interval": int, "round": int, "residual": float}, rows)


def test_each_group_has_its_curve_in_the_order_of_its_value() -> None:
    first, second = curves(RUNS, Columns("loss", "rounds_max", "loss"), Band(0.0, 1.0))
    assert (first.label, first.x, first.count) == ("0.0", (0.0,), (2,))
    assert (first.low, first.middle, first.high) == ((10.0,), (20.0,), (30.0,))
    assert (second.label, second.low, second.high) == ("0.1", (0.0,), (20.0,))
    (whole,) = curves(RUNS, Columns("loss", "rounds_max"), Band(0.0, 1.0))
    assert (whole.label, whole.x, whole.middle) == ("", (0.0, 0.1), (20.0, 10.0))


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20), st.integers(0, 50))
def test_a_band_lies_between_its_quantiles(values: list[float], low: int) -> None:
    table = Table({"x": int, "y": float}, [{"x": 1, "y": value} for value in values])
    (curve,) = curves(table, Columns("x", "y"), Band(low / 100, 1.0 - low / 100))
    assert curve.low[0] == pytest.approx(np.percentile(values, low))
    assert curve.middle[0] == pytest.approx(np.median(values))
    assert curve.low[0] <= curve.middle[0] <= curve.high[0]


def test_an_interval_that_has_ended_keeps_its_last_residual() -> None:
    table = rounds([None, 8.0, 1e-9], [9.0, 9.0, 8.0, 2.0, 1e-3])
    (curve,) = curves(table, Columns("round", "residual"), Band(0.0, 1.0))
    assert curve.x == (1, 2, 3, 4, 5)
    assert curve.count == (1, 2, 2, 2, 2)
    assert curve.low == (9.0, 8.0, 1e-9, 1e-9, 1e-9)
    assert curve.high == (9.0, 9.0, 8.0, 2.0, 1e-3)


def test_a_name_may_leave_out_its_end() -> None:
    assert find(NAMED, Columns("round", "residual")) == (
        ROUNDS,
        Columns("round", "residual_eur_per_kwh"),
    )
    assert find(NAMED, Columns("loss", "rounds", "run"))[1] == Columns("loss", "rounds_max", "run")


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        (Columns("loss", "v"), 'there is no column "v"'),
        (Columns("los", "rounds_max"), 'there is no column "los" (did you mean "loss"?)'),
        (Columns("round", "rounds_max"), "no table has round, rounds_max together"),
    ],
)
def test_what_cannot_be_drawn_is_told(columns: Columns, what: str) -> None:
    with pytest.raises(PeercellError) as caught:
        find(NAMED, columns)
    assert caught.value.what == what


def test_a_text_cannot_be_drawn() -> None:
    table = Table({"x": int, "name": str}, [])
    with pytest.raises(PeercellError, match="name has no numbers to draw"):
        find({"runs": table}, Columns("x", "name"))


@pytest.mark.parametrize(
    ("text", "found"),
    [("p10-p90", Band(0.1, 0.9)), ("p0-p100", Band(0.0, 1.0)), ("p50-p50", Band(0.5, 0.5))],
)
def test_a_band_is_two_percentiles(text: str, found: Band) -> None:
    assert band(text) == found


@pytest.mark.parametrize("text", ["10-90", "p90-p10", "p10", "p10-p101", "p10-p90-p95"])
def test_what_is_no_band_is_told(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write it as p10-p90"):
        band(text)
