"""What inverters would reach alone, without a message: the yardstick of control that speaks.

The devices follow their droop until voltage and power call for each other; a day is a row of such
states.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from msgspec import Struct

from peercell.agents.control.droop import Curve, Primary
from peercell.grid.admittance import Real
from peercell.grid.controlled_feeder import ControlledFeeder, Outcome
from peercell.grid.devices.droop import settle
from peercell.grid.devices.errors import HuntingError
from peercell.grid.errors import CollapseError

# A droop that answers at once hunts as soon as its gain exceeds 1; in a feeder with much sun the
# gain is 5 to 15, and this share of the way at a time bears 19.
_DAMPING = 0.1
# Where Q begins and is used up, and where P begins and is gone, in pu below or above the limit.
_REACTIVE_PU = (
    (-0.07, -0.05),
    (-0.05, -0.03),
    (-0.05, -0.02),
    (-0.04, -0.02),
    (-0.03, -0.01),
    (-0.03, 0.0),
    (-0.02, 0.0),
    (-0.01, 0.0),
)
_ACTIVE_PU = (
    (-0.001, 0.003),
    (-0.001, 0.01),
    (-0.002, 0.002),
    (-0.002, 0.003),
    (-0.002, 0.01),
    (-0.003, 0.003),
    (-0.005, 0.0),
    (-0.005, 0.005),
    (-0.01, 0.0),
    (-0.01, 0.005),
    (-0.02, 0.01),
    (-0.03, 0.02),
)


class Tuned(Struct, frozen=True):
    """The droop that suits one operating point best, and what it reaches there."""

    primary: Primary
    outcome: Outcome


def droop_alone(feeder: ControlledFeeder, primary: Primary) -> tuple[Real, Real]:
    """Return P and Q of the devices where their droop comes to rest.

    Raises
    ------
    HuntingError : it does not come to rest.
    CollapseError : the network cannot carry what the devices inject on the way.
    """
    devices = [device.can for device in feeder.case.devices]

    def answers_to(voltage_pu: Real) -> tuple[Real, Real]:
        found = [
            primary.answer(device, (device.planned_kw, 0.0), seen)
            for device, seen in zip(devices, voltage_pu.tolist(), strict=True)
        ]
        p_kw, q_kvar = np.array(found).T
        return p_kw, q_kvar

    settled = settle(feeder.device_voltages, answers_to, feeder.uncontrolled, _DAMPING)
    return settled.p_kw, settled.q_kvar


def tuned_droop(feeder: ControlledFeeder) -> Tuned:
    """Return the droop with the least curtailment among many, of those that keep the limits.

    It acts towards the limit that is further broken. Where none of them keeps that limit, it is the
    one that comes closest. No installer could choose it: that takes the whole network and the hour
    to come.

    Raises
    ------
    HuntingError : none of them comes to rest.
    """
    limits = feeder.case.limits
    start = feeder.outcome(*feeder.uncontrolled)
    above = start.v_max_pu - limits.v_max_pu > limits.v_min_pu - start.v_min_pu
    limit_pu = limits.v_max_pu if above else limits.v_min_pu
    found = [
        Tuned(primary, outcome)
        for primary in candidates(limit_pu, above=above)
        for outcome in _outcomes(feeder, primary)
    ]
    if not found:
        raise HuntingError("no droop comes to rest here", "the voltage answers too much to power")

    def badness(tuned: Tuned) -> tuple[float, float]:
        result = tuned.outcome
        beyond = max(result.v_max_pu - limits.v_max_pu, limits.v_min_pu - result.v_min_pu)
        return (0.0 if result.in_limits else beyond), result.curtailed_kw

    return min(found, key=badness)


def candidates(limit_pu: float, *, above: bool) -> Iterable[Primary]:
    """Yield the droops to choose from, which act towards one limit alone."""
    for reactive in _REACTIVE_PU:
        for active in _ACTIVE_PU:
            yield Primary(
                _towards(limit_pu, active, above=above), _towards(limit_pu, reactive, above=above)
            )


def _towards(limit_pu: float, band_pu: tuple[float, float], *, above: bool) -> Curve:
    begin, end = band_pu
    if above:
        return Curve(voltage_pu=(limit_pu + begin, limit_pu + end), share=(0.0, -1.0))
    return Curve(voltage_pu=(limit_pu - end, limit_pu - begin), share=(1.0, 0.0))


def _outcomes(feeder: ControlledFeeder, primary: Primary) -> Iterator[Outcome]:
    """Yield what a droop reaches, if it comes to rest."""
    try:
        yield feeder.outcome(*droop_alone(feeder, primary))
    except (HuntingError, CollapseError):
        return
