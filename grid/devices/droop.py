"""What inverters do by themselves at a voltage, and where voltage and droop come to rest."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from peercell.agents.control.droop import Curve
from peercell.grid.admittance import Real
from peercell.grid.devices.errors import HuntingError
from peercell.grid.devices.inverter import Inverter, Priority
from peercell.grid.devices.quantity import Quantity, number

DAMPING = 0.5
TOLERANCE_KVA = 1e-4
# Rounds of full steps: with half a step at a time, 200 rounds.
ROUNDS = 100


# Default settings of IEEE 1547-2018, tables 8 (voltage-reactive power) and 10 (voltage-active
# power); a share of 1 is the rating, positive = injection.
VOLT_VAR_CATEGORY_A = Curve(voltage_pu=(0.9, 1.0, 1.1), share=(0.25, 0.0, -0.25))
VOLT_VAR_CATEGORY_B = Curve(voltage_pu=(0.92, 0.98, 1.02, 1.08), share=(0.44, 0.0, 0.0, -0.44))
VOLT_WATT = Curve(voltage_pu=(1.06, 1.1), share=(1.0, 0.2))


@dataclass(frozen=True)
class Droop:
    """The local answer of an inverter to its voltage; None switches one of the two off.

    `volt_var` gives Q as a share of the rating and goes before P, `volt_watt` the most P.
    """

    inverter: Inverter
    volt_var: Curve | None = VOLT_VAR_CATEGORY_B
    volt_watt: Curve | None = VOLT_WATT

    def answer(self, voltage_pu: Quantity, available_kw: Quantity) -> tuple[Real, Real]:
        """Return P and Q at a voltage and an available power.

        Raises
        ------
        DeviceError : a voltage or power is not a number.
        """
        rating = np.asarray(self.inverter.rating_kva, np.float64)
        most = number("available_kw", available_kw)
        seen = number("voltage_pu", voltage_pu)
        if self.volt_watt is not None:
            most = np.minimum(most, self.volt_watt.at(seen) * rating)
        reactive = np.zeros_like(rating)
        if self.volt_var is not None:
            reactive = self.volt_var.at(seen) * rating
        return self.inverter.give(most, reactive, (0.0, most), Priority.REACTIVE)


@dataclass(frozen=True)
class Settled:
    """Where droop came to rest after some rounds; injections and voltages are (devices,)."""

    p_kw: Real
    q_kvar: Real
    voltage_pu: Real
    rounds: int


def settle(
    voltages_of: Callable[[Real, Real], Real],
    answers_to: Callable[[Real], tuple[Real, Real]],
    start: tuple[Real, Real],
    damping: float = DAMPING,
) -> Settled:
    """Return the injections at which the voltages call for exactly these injections.

    Each round goes the share `damping` of the way to what the voltages call for. Going all the way
    (1) hunts as soon as the loop gain, the slope of the curve times the rise of the voltage with
    the injection, exceeds 1; with damping d the bound is 2/d - 1, so 3 for one half. For several
    devices the gain is the largest eigenvalue of slopes times sensitivities.

    Parameters
    ----------
    voltages_of : voltages (devices,) in pu for P in kW and Q in kvar (devices,): a power flow.
    answers_to : what the devices inject at these voltages, see `Droop.answer`.
    start : P and Q to begin with, best those without droop.
    damping : above 0, at most 1; smaller is slower and surer.

    Raises
    ------
    HuntingError : the injections still move after `ROUNDS` / `damping` rounds.
    CollapseError : whatever `voltages_of` raises.
    """
    p_kw, q_kvar = start
    for rounds in range(1, math.ceil(ROUNDS / damping) + 1):
        voltage_pu = voltages_of(p_kw, q_kvar)
        p_called, q_called = answers_to(voltage_pu)
        off_kva = np.hypot(p_called - p_kw, q_called - q_kvar)
        if (off_kva <= TOLERANCE_KVA).all():
            return Settled(p_kw, q_kvar, voltage_pu, rounds)
        p_kw = p_kw + damping * (p_called - p_kw)
        q_kvar = q_kvar + damping * (q_called - q_kvar)
    worst = int(np.argmax(off_kva))
    raise HuntingError(
        "the droop of the inverters does not come to rest",
        f"device {worst} still moves by {off_kva[worst]:.3g} kVA at {voltage_pu[worst]:.4f} pu "
        f"after {rounds} rounds with damping {damping:g}",
        "a wider band of the curve, or a smaller damping",
    )
