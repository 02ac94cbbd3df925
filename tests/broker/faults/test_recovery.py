"""What is said of how a cell has recovered, and when a step has failed."""

from pathlib import Path

import pytest
from tests.broker.cell_for_tests import CALENDAR, NOTE

from peercell.broker.faults.campaign import Sample, StepRecord, Watched
from peercell.broker.faults.kinds import Loss
from peercell.broker.faults.plan import Step
from peercell.broker.faults.recovery import (
    Recovery,
    recovery,
    recovery_markdown,
    recovery_text,
)
from peercell.broker.faults.running import FaultRow
from peercell.broker.outcomes.results import IntervalRow
from peercell.broker.plots.faults import draw_recovery
from peercell.broker.status.balance import Messages

# The plan begins when interval 0 is delivered; intervals take 10 s.
ORIGIN_S = CALENDAR.origin_s


def messages(fault: int, *, unaccounted: int = 0) -> Messages:
    return Messages(
        handed=100 + fault,
        sent=100,
        applied=100,
        dropped={},
        in_flight=0,
        unsent={"fault": fault, "superseded": fault},
        waiting=0,
        refused={},
        unaccounted=unaccounted,
    )


def interval(number: int, cost_eur: float) -> IntervalRow:
    return IntervalRow(
        interval=number,
        at=CALENDAR.at(number),
        islands=1,
        certified=True,
        rounds=7 + number,
        price_eur_per_kwh_min=0.1,
        price_eur_per_kwh_max=0.1,
        traded_kwh=1.0,
        unserved_kwh=0.0,
        cost_eur=cost_eur,
        gap_eur=0.0,
        settled=2,
        saving_eur=0.0,
        v_min_pu=None,
        v_max_pu=None,
        loading_percent_max=None,
        losses_kw=None,
        violations=None,
        deviation_kwh_max=None,
    )


def found(
    ill_s: tuple[float, float],
    limit_s: float | None,
    after: Messages | None,
    traded: int = 4,
    broken: tuple[str, ...] = (),
) -> Recovery:
    """Return the recovery of a cell that is ill for a time after a loss from 2 s to 5 s."""
    step = Step(fault=Loss(share=0.3), at_s=2.0, for_s=3.0, limit_s=limit_s, name="loss")
    row = FaultRow(
        id="f1", kind="loss", what="loss 30 % on all", seed=1, ends_s=3.0, links=4, peers=(), hits=0
    )
    record = StepRecord(step, row, 2.0, messages(1), after)
    samples = [
        Sample(
            at_s / 2.0,
            0.5 if at_s == 8 else 0.0,
            ("x",) * (ill_s[0] <= at_s / 2.0 < ill_s[1]),
            broken if at_s == 9 else (),
            0.04 if at_s == 7 else None,
        )
        for at_s in range(60)
    ]
    rows = [interval(number, 1.5) for number in range(traded)]
    costs = dict.fromkeys(range(4), 1.0)
    return recovery(NOTE, Watched([record], samples), rows, costs, ORIGIN_S)


def test_a_step_that_heals_in_time_has_passed(tmp_path: Path) -> None:
    told = found((3.0, 9.0), 10.0, messages(31))
    (step,) = told.steps
    assert (step.begun_s, step.ended_s, step.peak_gap_eur) == (2.0, 5.0, 0.5)
    assert (step.detected_s, step.healed_s, step.passed) == (1.0, 4.0, True)
    assert step.lost == {"fault": 30}
    # Interval 2 is the first that is traded after 5 s: from 10 s to 20 s.
    assert (step.rounds, step.relative_cost) == (9, 0.5)
    # From 2 s until it was well at 9 s, 1 was traded.
    assert step.value_lost_eur == 0.5
    assert "well after 4.0 s   PASS (limit 10 s)" in recovery_text(told)
    assert "residual peaked at 0.04 EUR/kWh" in recovery_text(told)
    page = recovery_markdown(told, "x.png")
    assert "| loss | 2.0 … 5.0 | 0.04 | 0.5 | 1.0 | 4.0 | 9 | 5.0e-01 | 30 fault |" in page
    picture = tmp_path / "x.svg"
    draw_recovery(told, picture)
    assert picture.read_text().count("<path") > 10


@pytest.mark.parametrize(
    ("ill_s", "limit_s", "after"),
    [
        ((3.0, 9.0), 3.0, messages(31)),
        ((3.0, 99.0), None, None),
        ((3.0, 9.0), 10.0, messages(31, unaccounted=2)),
    ],
    ids=["too late", "never well", "unaccounted"],
)
def test_a_step_fails(
    ill_s: tuple[float, float], limit_s: float | None, after: Messages | None
) -> None:
    told = found(ill_s, limit_s, after)
    assert not told.passed
    assert "FAIL" in recovery_text(told)
    assert "Some steps failed." in recovery_markdown(told, "")


def test_a_step_in_which_something_was_broken_fails() -> None:
    told = found((3.0, 9.0), 10.0, messages(31), broken=("a sold what nobody bought",))
    assert not told.passed
    assert "BROKEN: a sold what nobody bought   FAIL" in recovery_text(told)


def test_a_step_after_the_end_of_the_market_shows_nothing() -> None:
    told = found((99.0, 99.0), 1.0, messages(31), traded=2)
    assert not told.passed
    assert "but no interval was traded afterwards   FAIL (limit 1 s)" in recovery_text(told)


def test_a_cell_that_notices_nothing_heals_at_once() -> None:
    (step,) = found((99.0, 99.0), 1.0, messages(31)).steps
    assert (step.detected_s, step.healed_s, step.passed) == (None, 0.0, True)
