"""Rows of profiles and the times that they stand for."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from msgspec.structs import replace
from tests.grid.builders import chain

from peercell.grid.model import Timeline, Window
from peercell.grid.profiles import power_at

SUMMER = Window(start=datetime(2016, 5, 23), steps=7 * 96)
WINTER = Window(start=datetime(2016, 1, 18), steps=7 * 96)
TWO_WEEKS = Timeline(windows=(SUMMER, WINTER))


def test_every_row_has_its_time_and_back() -> None:
    rows = range(TWO_WEEKS.steps)
    assert [TWO_WEEKS.row(TWO_WEEKS.time(row)) for row in rows] == list(rows)


@pytest.mark.parametrize(
    ("at", "row"),
    [
        (datetime(2016, 5, 23), 0),
        (datetime(2016, 5, 28, 12, 0), 5 * 96 + 48),
        (datetime(2016, 5, 28, 12, 14, 59), 5 * 96 + 48),
        (datetime(2016, 1, 18), 672),
        (datetime(2016, 1, 24, 23, 59), 1343),
    ],
)
def test_a_time_has_the_row_whose_interval_holds_it(at: datetime, row: int) -> None:
    assert TWO_WEEKS.row(at) == row


@pytest.mark.parametrize(
    "at",
    [SUMMER.start - timedelta(seconds=1), datetime(2016, 5, 30), datetime(2016, 3, 1)],
)
def test_a_time_outside_the_windows_has_no_row(at: datetime) -> None:
    with pytest.raises(LookupError):
        TWO_WEEKS.row(at)


@pytest.mark.parametrize("row", [2 * 672, 10_000])
def test_a_row_beyond_the_windows_has_no_time(row: int) -> None:
    with pytest.raises(LookupError):
        TWO_WEEKS.time(row)


def test_power_is_the_base_times_the_profile_or_constant() -> None:
    cell = chain(4, p_kw=-8.0)
    first, second, third = (customer.assets[0] for customer in cell.customers)
    assets = (
        replace(first, p_profile="load", q_profile="load"),
        replace(second, p_kw=0.0, p_profile="battery", p_profile_kw=5.0),
        third,
    )
    customers = [
        replace(customer, assets=(asset,))
        for customer, asset in zip(cell.customers, assets, strict=True)
    ]
    cell = replace(cell, customers=tuple(customers))
    profiles = {
        "load": np.array([0.0, 0.5, 1.0], np.float32),
        "battery": np.array([-1.0, 0.0, 0.25], np.float32),
    }
    p_kw, q_kvar = power_at(cell, profiles, [0, 2])
    assert p_kw.tolist() == [[0.0, -5.0, -8.0], [-8.0, 1.25, -8.0]]
    assert q_kvar.tolist() == [[0.0, -2.0, -2.0], [-2.0, -2.0, -2.0]]
