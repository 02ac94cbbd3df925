"""How a battery's store fills and empties, and which power it can really give meanwhile."""

import math
from dataclasses import dataclass

import numpy as np

from peercell.agents.errors import DeviceError
from peercell.grid.admittance import Real
from peercell.grid.devices.quantity import Quantity, number, setting

_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Battery:
    """One battery, or several as arrays; powers are on the grid's side of its converter.

    Attributes
    ----------
    capacity_kwh : usable energy; >= 0.
    charge_kw_max, discharge_kw_max : limits of power, both >= 0.
    charge_efficiency, discharge_efficiency : share that arrives, from 0.01 to 1.
    self_discharge_per_h : share of the stored energy that is lost in an hour, as a rate; >= 0.

    Raises
    ------
    DeviceError : a setting outside its range.
    """

    capacity_kwh: Quantity
    charge_kw_max: Quantity
    discharge_kw_max: Quantity
    charge_efficiency: Quantity = 0.95
    discharge_efficiency: Quantity = 0.95
    self_discharge_per_h: Quantity = 0.0

    def __post_init__(self) -> None:
        setting("capacity_kwh", self.capacity_kwh, 0.0, 1e12)
        setting("charge_kw_max", self.charge_kw_max, 0.0, 1e12)
        setting("discharge_kw_max", self.discharge_kw_max, 0.0, 1e12)
        setting("charge_efficiency", self.charge_efficiency, 0.01, 1.0)
        setting("discharge_efficiency", self.discharge_efficiency, 0.01, 1.0)
        setting("self_discharge_per_h", self.self_discharge_per_h, 0.0, 10.0)

    def range_kw(self, energy_kwh: Quantity, dt_s: float) -> tuple[Real, Real]:
        """Return the least and the most power that can be held for `dt_s`; least is charging.

        Parameters
        ----------
        energy_kwh : energy in store, from 0 to the capacity.
        dt_s : > 0.

        Raises
        ------
        DeviceError : an energy outside its range, or a step that is not a positive time.
        """
        kept, held_h = self._decay(energy_kwh, dt_s)
        room = (np.asarray(self.capacity_kwh) - kept) / (held_h * self.charge_efficiency)
        supply = kept * self.discharge_efficiency / held_h
        return (
            -np.minimum(self.charge_kw_max, room),
            np.minimum(self.discharge_kw_max, supply),
        )

    def step(self, energy_kwh: Quantity, wanted_kw: Quantity, dt_s: float) -> "BatteryStep":
        """Return what happens in `dt_s` when a power is wanted; positive discharges.

        The power is constant over the step and cut to what can be held for all of it.

        Raises
        ------
        DeviceError : see `range_kw`; or a wanted power that is not a number.
        """
        least, most = self.range_kw(energy_kwh, dt_s)
        power = np.clip(number("wanted_kw", wanted_kw), least, most)
        kept, held_h = self._decay(energy_kwh, dt_s)
        drawn = np.where(
            power > 0.0, power / self.discharge_efficiency, power * self.charge_efficiency
        )
        # The clip only takes away what rounding adds.
        after = np.clip(kept - drawn * held_h, 0.0, self.capacity_kwh)
        given_kwh = power * (dt_s / _SECONDS_PER_HOUR)
        return BatteryStep(power, after, np.asarray(energy_kwh) - after - given_kwh)

    def _decay(self, energy_kwh: Quantity, dt_s: float) -> tuple[Real, Real]:
        """Return what self-discharge leaves of the store, and how long a power counts in hours.

        With dE/dt = -s E - D and a constant draw D, E(t) = E0 exp(-s t) - D (1 - exp(-s t)) / s.
        E runs one way only, so that limits which hold at the end hold all the time.
        """
        if not (math.isfinite(dt_s) and dt_s > 0.0):
            raise DeviceError(f"a battery cannot step by {dt_s:g} s", "time steps are positive")
        energy = number("energy_kwh", energy_kwh)
        if ((energy < 0.0) | (energy > self.capacity_kwh)).any():
            raise DeviceError(
                "energy_kwh is outside the battery",
                "the store holds from 0 to its capacity",
            )
        hours = dt_s / _SECONDS_PER_HOUR
        rate = np.asarray(self.self_discharge_per_h, np.float64)
        lost_share = -np.expm1(-rate * hours)
        held_h = np.where(rate > 0.0, lost_share / np.where(rate > 0.0, rate, 1.0), hours)
        return energy * (1.0 - lost_share), held_h


@dataclass(frozen=True)
class BatteryStep:
    """A step of a battery.

    Attributes
    ----------
    power_kw : delivered power, positive = injection.
    energy_kwh : energy in store at the end.
    loss_kwh : energy that became heat; store before = store after + injected energy + loss.
    """

    power_kw: Real
    energy_kwh: Real
    loss_kwh: Real
