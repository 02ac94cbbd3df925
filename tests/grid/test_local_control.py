"""Droop alone comes to rest where it says, and a tuned one is better than the standard."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from peercell.agents.control.droop import standard
from peercell.broker.solving.control_cases import load_control_case
from peercell.grid.control_device import DeviceKind
from peercell.grid.controlled_feeder import ControlledFeeder
from peercell.grid.devices.errors import HuntingError
from peercell.grid.local_control import (
    candidates,
    characteristic,
    droop_alone,
    standard_droop,
    tuned_droop,
)

FOLDER = Path(__file__).parent.parent / "reference" / "control"
USUAL = standard_droop(1.05)


def feeder_of(name: str) -> ControlledFeeder:
    """Return the network of a reference case."""
    return ControlledFeeder(load_control_case(FOLDER / f"{name}.json"))


@pytest.mark.parametrize("name", ["rural1-ov", "case33-ov", "semiurb4-uv", "rural1-congestion"])
def test_at_rest_each_device_does_what_its_voltage_calls_for(name: str) -> None:
    feeder = feeder_of(name)
    p_kw, q_kvar = droop_alone(feeder, USUAL)
    seen = feeder.device_voltages(p_kw, q_kvar)
    for device, p, q, v_pu in zip(feeder.case.devices, p_kw, q_kvar, seen, strict=True):
        can = device.can
        if device.kind is not DeviceKind.PV:
            called = standard(0.95, 1.05).answer(can, (can.planned_kw, 0.0), float(v_pu))
            assert (p, q) == pytest.approx(called, abs=1e-3)
            continue
        share = np.clip((v_pu - 1.03) / 0.02, 0.0, 1.0)
        wanted = share * can.rating_kva * np.sin(np.arccos(0.95))
        most = min(can.planned_kw, float(np.clip((1.05 - v_pu) / 0.01, 0.0, 1.0)) * can.rating_kva)
        assert p <= most + 1e-3
        assert -q == pytest.approx(min(wanted, can.reactive_limit(p)), abs=2e-3)
        # P gives way only to the voltage, or to the Q that is wanted.
        assert p >= most - 1e-3 or -q == pytest.approx(wanted, abs=2e-3)


def test_within_limits_droop_leaves_the_plan_alone() -> None:
    feeder = feeder_of("rural1-ov")
    p_kw, q_kvar = droop_alone(feeder, standard_droop(1.2))
    assert p_kw == pytest.approx(feeder.uncontrolled[0], abs=1e-9)
    assert not q_kvar.any()


def test_droop_alone_fails_where_control_that_speaks_does_not() -> None:
    """Ten inverters at the 33-bus feeder: those in the middle see no need to help its end."""
    feeder = feeder_of("case33-uv")
    found = feeder.outcome(*droop_alone(feeder, USUAL))
    assert found.v_min_pu == pytest.approx(0.943, abs=5e-4)
    assert not found.in_limits


@pytest.mark.parametrize("name", ["semiurb4-ov"])
def test_tuning_saves_and_keeps_the_limits(name: str) -> None:
    feeder = feeder_of(name)
    tuned = tuned_droop(feeder)
    usual = feeder.outcome(*droop_alone(feeder, USUAL))
    assert usual.in_limits
    assert tuned.outcome.in_limits
    assert tuned.outcome.curtailed_kw < usual.curtailed_kw
    again = feeder.outcome(*droop_alone(feeder, tuned.characteristic))
    assert again.curtailed_kw == pytest.approx(tuned.outcome.curtailed_kw)


def test_a_droop_that_is_too_steep_hunts() -> None:
    with pytest.raises(HuntingError, match="does not come to rest"):
        droop_alone(feeder_of("rural1-ov"), characteristic(1.05, (-0.02, 0.0), (0.0, 1e-4)))


def test_among_the_candidates_is_the_standard_one() -> None:
    found = list(candidates(1.05))
    assert USUAL in found
    assert 80 <= len(found) <= 100
    case = feeder_of("rural1-ov").case
    tight = replace(case, limits=structs.replace(case.limits, v_max_pu=1.04))
    assert standard_droop(tight.limits.v_max_pu) in list(candidates(1.04))
