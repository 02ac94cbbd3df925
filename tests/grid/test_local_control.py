"""Droop alone comes to rest where it says, and a tuned one is better than the standard."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from peercell.agents.control.droop import Primary, standard
from peercell.broker.control_cases import load_control_case
from peercell.grid.controlled_feeder import ControlledFeeder
from peercell.grid.devices.errors import HuntingError
from peercell.grid.local_control import candidates, droop_alone, tuned_droop

FOLDER = Path(__file__).parent.parent / "reference" / "control"


def feeder_of(name: str, **limits: float) -> ControlledFeeder:
    """Return the network of a reference case, with other limits if asked."""
    case = load_control_case(FOLDER / f"{name}.json")
    return ControlledFeeder(replace(case, limits=structs.replace(case.limits, **limits)))


@pytest.mark.parametrize("name", ["rural1-ov", "case33-ov", "semiurb4-uv", "rural1-congestion"])
def test_at_rest_each_device_does_what_its_voltage_calls_for(name: str) -> None:
    feeder, droop = feeder_of(name), standard(0.95, 1.05)
    p_kw, q_kvar = droop_alone(feeder, droop)
    for device, p, q, seen in zip(
        feeder.case.devices, p_kw, q_kvar, feeder.device_voltages(p_kw, q_kvar), strict=True
    ):
        called = droop.answer(device.can, (device.planned_kw, 0.0), float(seen))
        assert (p, q) == pytest.approx(called, abs=1e-3)


def test_within_limits_droop_leaves_the_plan_alone() -> None:
    feeder = feeder_of("rural1-ov")
    p_kw, q_kvar = droop_alone(feeder, standard(0.9, 1.2))
    assert p_kw == pytest.approx(feeder.uncontrolled[0], abs=1e-9)
    assert not q_kvar.any()


def test_droop_alone_fails_where_control_that_speaks_does_not() -> None:
    """Ten inverters at the 33-bus feeder: those in the middle see no need to help its end."""
    feeder = feeder_of("case33-uv")
    found = feeder.outcome(*droop_alone(feeder, standard(0.95, 1.05)))
    assert found.v_min_pu == pytest.approx(0.943, abs=5e-4)
    assert not tuned_droop(feeder).outcome.in_limits


@pytest.mark.parametrize("name", ["rural1-ov", "cigre-lv-uv90"])
def test_tuning_saves_and_keeps_the_limits(name: str) -> None:
    feeder = feeder_of(name)
    tuned = tuned_droop(feeder)
    usual = feeder.outcome(*droop_alone(feeder, standard(0.95, 1.05)))
    assert tuned.outcome.in_limits
    assert tuned.outcome.curtailed_kw < 0.5 * usual.curtailed_kw
    again = feeder.outcome(*droop_alone(feeder, tuned.primary))
    assert again.curtailed_kw == pytest.approx(tuned.outcome.curtailed_kw)


def test_a_droop_that_is_too_steep_hunts() -> None:
    feeder = feeder_of("rural1-ov")
    first = next(iter(candidates(1.05, above=True)))
    steep = structs.replace(first.active, voltage_pu=(1.05, 1.0501))
    with pytest.raises(HuntingError, match="does not come to rest"):
        droop_alone(feeder, Primary(steep, first.reactive))


def test_the_candidates_do_nothing_at_nominal_voltage() -> None:
    for above, limit in ((True, 1.05), (False, 0.95)):
        found = list(candidates(limit, above=above))
        assert 80 <= len(found) <= 100
        for droop in found:
            assert float(droop.active.at(1.0)) == 0.0
            assert np.sign(float(droop.active.at(limit + (0.1 if above else -0.1)))) == (
                -1.0 if above else 1.0
            )
