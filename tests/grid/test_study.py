"""Operating points and days: sums that close, limits that are found, times that are named."""

from datetime import date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.broker.village import make_profiles, make_village
from tests.grid.builders import case33, chain, random_cells, scaled

from peercell.grid.errors import CollapseError, TimeOutsideProfilesError, UnknownElementError
from peercell.grid.feeder import Feeder
from peercell.grid.model import Cell, Timeline, Window
from peercell.grid.rows import row_at, rows_of
from peercell.grid.study import (
    apply_set_points,
    day_report,
    operating_point,
    powers_at,
    slopes,
)
from peercell.grid.violations import ViolationKind

NOON = datetime(2016, 5, 28, 12)
DAY = date(2016, 5, 28)


def test_case33_has_the_losses_and_the_lowest_voltage_of_the_literature() -> None:
    # Baran and Wu 1989: 202.7 kW, 0.9131 pu at the 18th bus.
    feeder = Feeder(case33())
    point = operating_point(feeder, *feeder.nominal)
    assert point.losses_kw == pytest.approx(202.7, abs=0.05)
    assert point.buses["17"].v_pu == pytest.approx(0.9131, abs=5e-5)
    assert min(point.buses, key=lambda bus: point.buses[bus].v_pu or 0.0) == "17"
    assert point.source_kw == pytest.approx(3715.0 + point.losses_kw)


def test_an_idle_branch_carries_nothing_and_an_unrated_one_has_no_loading() -> None:
    feeder = Feeder(case33())
    branches = operating_point(feeder, *feeder.nominal).branches
    assert branches["line-33"].p_from_kw == pytest.approx(0.0, abs=1e-6)
    assert {branch.loading_percent for branch in branches.values()} == {None}


@given(random_cells())
def test_the_source_covers_what_assets_and_losses_leave(cell: Cell) -> None:
    feeder = Feeder(cell)
    p_kw, q_kvar = feeder.nominal
    point = operating_point(feeder, p_kw, q_kvar)
    assert point.source_kw + p_kw.sum() == pytest.approx(point.losses_kw, abs=1e-4)


@given(random_cells(phases=3))
def test_buses_of_three_phases_have_three_voltages(cell: Cell) -> None:
    feeder = Feeder(cell)
    point = operating_point(feeder, *feeder.nominal)
    assert list(point.buses) == [f"{bus.id}.{phase}" for bus in cell.buses for phase in "abc"]


def test_violations_are_those_beyond_a_limit_and_the_worst_comes_first() -> None:
    cell = make_village()
    feeder = Feeder(cell)
    point = operating_point(feeder, *powers_at(feeder, make_profiles(), NOON), NOON)
    voltages = {bus: state.v_pu or 0.0 for bus, state in point.buses.items()}
    over = [v for v in point.violations if v.kind is ViolationKind.OVER_VOLTAGE]
    assert {v.element for v in over} == {bus for bus, v_pu in voltages.items() if v_pu > 1.055}
    assert [v.value for v in over] == sorted((v.value for v in over), reverse=True)
    (overload,) = [v for v in point.violations if v.kind is ViolationKind.OVERLOAD]
    assert (overload.element, overload.limit, overload.unit) == ("trafo-0", 100.0, "%")


def test_a_limit_that_is_met_exactly_is_not_violated() -> None:
    cell = chain(3)
    feeder = Feeder(cell)
    lowest = operating_point(feeder, *feeder.nominal).buses["2"].v_pu or 0.0
    for limit, violations in ((lowest, 0), (lowest + 1e-5, 1)):
        buses = (*cell.buses[:-1], structs.replace(cell.buses[-1], v_min_pu=limit))
        tight = Feeder(structs.replace(cell, buses=buses))
        assert len(operating_point(tight, *tight.nominal).violations) == violations


def test_set_points_replace_the_power_of_one_asset() -> None:
    feeder = Feeder(make_village())
    p_kw, q_kvar = powers_at(feeder, make_profiles(), NOON)
    before = p_kw.copy()
    apply_set_points(feeder.cell, p_kw, q_kvar, {"pv-4": (1.0, -2.0)})
    (position,) = np.flatnonzero(p_kw != before)
    assert feeder.cell.assets[position].id == "pv-4"
    assert (p_kw[position], q_kvar[position]) == (1.0, -2.0)
    with pytest.raises(UnknownElementError, match='no asset "pv-44"; why: did you mean pv-4'):
        apply_set_points(feeder.cell, p_kw, q_kvar, {"pv-44": (0.0, 0.0)})


def test_nominal_powers_are_a_copy() -> None:
    feeder = Feeder(make_village())
    p_kw, q_kvar = powers_at(feeder, {}, None)
    apply_set_points(feeder.cell, p_kw, q_kvar, {"pv-4": (0.0, 0.0)})
    assert feeder.nominal[0].max() == 60.0


def test_a_day_is_its_operating_points() -> None:
    feeder, profiles = Feeder(make_village()), make_profiles()
    day = day_report(feeder, profiles, DAY)
    points = [
        operating_point(feeder, *powers_at(feeder, profiles, step.at), step.at)
        for step in day.steps
    ]
    assert [len(point.violations) for point in points] == [step.violations for step in day.steps]
    assert day.losses_kwh == pytest.approx(sum(point.losses_kw for point in points) / 4.0)
    assert day.import_kwh == pytest.approx(sum(max(p.source_kw, 0.0) for p in points) / 4.0)
    assert day.export_kwh == pytest.approx(sum(max(-p.source_kw, 0.0) for p in points) / 4.0)
    assert day.violated_steps == sum(bool(point.violations) for point in points)
    for step, point in zip(day.steps, points, strict=True):
        assert point.buses[step.v_max_bus].v_pu == pytest.approx(step.v_max_pu, abs=1e-8)
        assert point.branches["trafo-0"].loading_percent == pytest.approx(step.transformer_percent)


def test_episodes_cover_exactly_the_violated_steps() -> None:
    day = day_report(Feeder(make_village()), make_profiles(), DAY)
    step = timedelta(seconds=day.step_s)
    covered = {
        episode.start + k * step
        for episode in day.episodes
        for k in range((episode.end - episode.start) // step)
    }
    assert covered == {one.at for one in day.steps if one.violations}
    over, overload = day.episodes
    assert over.elements == ("1", "2", "3", "4")
    assert over.worst == day.v_max.value
    assert over.at == day.v_max.at == day.worst_at
    assert overload.elements == ("trafo-0",)
    assert day.loading_max is not None
    assert overload.worst == day.loading_max.value


def test_two_stretches_are_two_episodes() -> None:
    profiles = dict(make_profiles())
    profiles["sun"] = profiles["sun"].copy()
    profiles["sun"][48] = 0.0
    day = day_report(Feeder(make_village()), profiles, DAY)
    over = [episode for episode in day.episodes if episode.kind is ViolationKind.OVER_VOLTAGE]
    assert [(episode.start.hour < 12, episode.end.hour) for episode in over] == [
        (True, 12), (False, 16),
    ]  # fmt: skip


def test_without_any_rating_no_loading_is_known() -> None:
    cell = structs.replace(
        chain(3), timeline=Timeline(windows=(Window(start=datetime(2016, 5, 28), steps=4),))
    )
    day = day_report(Feeder(cell), {}, DAY)
    assert day.loading_max is None
    assert {(step.line_percent, step.transformer_percent) for step in day.steps} == {(None, None)}


def test_a_step_without_solution_is_named() -> None:
    profiles = dict(make_profiles())
    profiles["home"] = profiles["home"].copy()
    profiles["home"][50:] = 1000.0
    with pytest.raises(CollapseError, match="no solution at 2016-05-28T12:30") as error:
        day_report(Feeder(make_village()), profiles, DAY)
    assert error.value.weakest_bus in {bus.id for bus in make_village().buses}


def _timeline(*windows: tuple[datetime, int]) -> Cell:
    parts = tuple(Window(start=start, steps=steps) for start, steps in windows)
    return structs.replace(chain(2), timeline=Timeline(step_s=900, windows=parts))


def test_rows_of_a_day_over_several_windows() -> None:
    cell = _timeline((datetime(2016, 1, 1, 12), 96), (datetime(2016, 7, 1), 8))
    assert rows_of(cell, date(2016, 1, 1)) == list(range(48))
    assert rows_of(cell, date(2016, 1, 2)) == list(range(48, 96))
    assert rows_of(cell, date(2016, 7, 1)) == list(range(96, 104))
    assert row_at(cell, datetime(2016, 7, 1, 0, 20)) == 97


@given(st.integers(0, 400))
def test_the_row_at_a_time_is_on_its_day(quarter: int) -> None:
    cell = _timeline((datetime(2016, 1, 1, 12), 401))
    at = datetime(2016, 1, 1, 12) + quarter * timedelta(minutes=15)
    assert row_at(cell, at) == quarter
    assert quarter in rows_of(cell, at.date())


def test_times_outside_the_windows_are_told_what_there_is() -> None:
    cell = _timeline((datetime(2016, 1, 1), 96))
    with pytest.raises(TimeOutsideProfilesError) as error:
        row_at(cell, datetime(2016, 1, 2))
    assert error.value.what == 'cell "test" has no profiles for 2016-01-02T00:00'
    assert error.value.why == "they cover 2016-01-01T00:00 to 2016-01-02T00:00"
    with pytest.raises(TimeOutsideProfilesError, match="nothing is known of 2016-01-02"):
        rows_of(chain(2), date(2016, 1, 2))


def test_slopes_predict_a_small_step() -> None:
    feeder = Feeder(case33())
    p_kw, q_kvar = scaled(feeder.cell, 1.0)
    before = operating_point(feeder, p_kw, q_kvar)
    found = slopes(feeder, (p_kw, q_kvar), None, "17", exact=True)
    rough = slopes(feeder, (p_kw, q_kvar), None, "17", exact=False)
    p_kw[[asset.id for asset in feeder.cell.assets].index("a-17")] += 1.0
    after = operating_point(feeder, p_kw, q_kvar)
    for bus, slope in found.buses.items():
        rise = (after.buses[bus].v_pu or 0.0) - (before.buses[bus].v_pu or 0.0)
        assert slope.dv_dp_pu_per_kw == pytest.approx(rise, abs=2e-8)
        assert rough.buses[bus].dv_dp_pu_per_kw == pytest.approx(rise, rel=0.15, abs=1e-9)
