"""What inverters would reach alone, without a message: the yardstick of control that speaks.

PV plants follow a characteristic over their voltage, as their standards ask; other devices do what
their primary control does without a secondary. All of it is at rest when voltage and power call for
each other.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from msgspec import Struct

from peercell.agents.control.device import Device
from peercell.agents.control.droop import Curve, standard
from peercell.grid.admittance import Real
from peercell.grid.control_device import DeviceKind
from peercell.grid.controlled_feeder import ControlledFeeder, Outcome
from peercell.grid.devices.droop import settle
from peercell.grid.devices.errors import HuntingError
from peercell.grid.devices.inverter import Inverter, Priority
from peercell.grid.errors import CollapseError

# A droop that answers at once hunts as soon as its gain exceeds 1; in a feeder with much sun the
# gain is 5 to 15, and this share of the way at a time bears 39.
_DAMPING = 0.05
# Where Q begins and is used up, and where P begins and is gone, in pu beyond the upper limit.
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
    (-0.001, 0.004),
    (-0.001, 0.01),
    (-0.002, 0.003),
    (-0.002, 0.01),
    (-0.005, 0.0),
    (-0.005, 0.005),
    (-0.005, 0.01),
    (-0.01, 0.0),
    (-0.01, 0.005),
    (-0.01, 0.01),
    (-0.02, 0.0),
    (-0.03, 0.01),
)


class Characteristic(Struct, frozen=True):
    """What a plant does at a voltage.

    Attributes
    ----------
    reactive : Q as a share of the most that it can absorb, from 0 to -1.
    active : the most P as a share of its rating, from 1 to 0.
    """

    reactive: Curve
    active: Curve


class Tuned(Struct, frozen=True):
    """The characteristic that suits one operating point best, and what it reaches there."""

    characteristic: Characteristic
    outcome: Outcome


def standard_droop(v_max_pu: float) -> Characteristic:
    """Return the usual characteristic: Q over the last 0.02 pu below the limit, P over 0.01."""
    return characteristic(v_max_pu, (-0.02, 0.0), (-0.01, 0.0))


def characteristic(
    v_max_pu: float, reactive_pu: tuple[float, float], active_pu: tuple[float, float]
) -> Characteristic:
    """Return a characteristic whose bands begin and end so far beyond a limit, in pu."""
    reactive, active = (
        tuple(v_max_pu + edge for edge in band) for band in (reactive_pu, active_pu)
    )
    return Characteristic(
        Curve(voltage_pu=reactive, share=(0.0, -1.0)), Curve(voltage_pu=active, share=(1.0, 0.0))
    )


def droop_alone(feeder: ControlledFeeder, followed: Characteristic) -> tuple[Real, Real]:
    """Return P and Q of the devices where their droop comes to rest.

    Raises
    ------
    HuntingError : it does not come to rest.
    CollapseError : the network cannot carry what the devices inject on the way.
    """
    settled = settle(
        feeder.device_voltages, _Answers(feeder, followed).at, feeder.uncontrolled, _DAMPING
    )
    return settled.p_kw, settled.q_kvar


def tuned_droop(feeder: ControlledFeeder) -> Tuned:
    """Return the droop with the least curtailment among many, of those that keep the limits.

    Where none of them keeps the upper limit, it is the one that comes closest. No installer could
    choose it: that takes the whole network and the hour to come.

    Raises
    ------
    HuntingError : none of them comes to rest.
    """
    v_max_pu = feeder.case.limits.v_max_pu
    found = [
        Tuned(followed, outcome)
        for followed in candidates(v_max_pu)
        for outcome in _outcomes(feeder, followed)
    ]
    if not found:
        raise HuntingError("no droop comes to rest here", "the voltage answers too much to power")

    def badness(tuned: Tuned) -> tuple[float, float]:
        result = tuned.outcome
        beyond = 0.0 if result.in_limits else max(result.v_max_pu - v_max_pu, 0.0)
        return beyond, result.curtailed_kw

    return min(found, key=badness)


def candidates(v_max_pu: float) -> Iterable[Characteristic]:
    """Yield the characteristics to choose from."""
    for reactive in _REACTIVE_PU:
        for active in _ACTIVE_PU:
            yield characteristic(v_max_pu, reactive, active)


def _outcomes(feeder: ControlledFeeder, followed: Characteristic) -> Iterator[Outcome]:
    """Yield what a droop reaches, if it comes to rest."""
    try:
        yield feeder.outcome(*droop_alone(feeder, followed))
    except (HuntingError, CollapseError):
        return


class _Answers:
    """What the devices of a case inject at the voltages that they see."""

    def __init__(self, feeder: ControlledFeeder, followed: Characteristic) -> None:
        case = feeder.case
        self._followed = followed
        self._primary = [standard(*case.band(device.bus)) for device in case.devices]
        is_plant = [device.kind is DeviceKind.PV for device in case.devices]
        self._plants = np.flatnonzero(is_plant)
        self._others = np.flatnonzero(np.logical_not(is_plant))
        self._devices = [device.can for device in case.devices]
        plants = [self._devices[k] for k in self._plants]
        self._planned = np.array([plant.planned_kw for plant in plants])
        self._rating = np.array([plant.rating_kva for plant in plants])
        self._inverter = Inverter(
            rating_kva=self._rating,
            power_factor_min=np.array([_power_factor(plant) for plant in plants]),
            reactive_kvar_max=np.array([plant.q_kvar_max for plant in plants]),
        )
        angle = np.arccos(self._inverter.power_factor_min)
        self._most_kvar = np.minimum(self._rating * np.sin(angle), self._inverter.reactive_kvar_max)

    def at(self, voltage_pu: Real) -> tuple[Real, Real]:
        """Return P and Q of all devices at the voltages of all."""
        p_kw, q_kvar = np.empty((2, len(self._devices)))
        seen, followed = voltage_pu[self._plants], self._followed
        most = np.minimum(self._planned, followed.active.at(seen) * self._rating)
        wanted = followed.reactive.at(seen) * self._most_kvar
        p_kw[self._plants], q_kvar[self._plants] = self._inverter.give(
            most, wanted, (0.0, most), Priority.REACTIVE
        )
        for k in self._others:
            device = self._devices[k]
            plan = (device.planned_kw, 0.0)
            p_kw[k], q_kvar[k] = self._primary[k].answer(device, plan, float(voltage_pu[k]))
        return p_kw, q_kvar


def _power_factor(plant: Device) -> float:
    """Return the least power factor, 0 where Q needs no P."""
    return 0.0 if plant.tan_max is None else float(np.cos(np.arctan(plant.tan_max)))
