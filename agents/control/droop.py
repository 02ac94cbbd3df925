"""What an inverter does by itself at the voltage it sees: primary control, without any message.

While its voltage is within the limits, and a secondary control speaks to it, it adds exactly
nothing. Beyond the limits it moves away from its set-point at once; when the secondary is silent
it follows a standard droop, which begins within the limits.
"""

from typing import Annotated

import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from peercell.agents.control.device import Device
from peercell.agents.errors import DeviceError

SILENCE_S = 30.0
"""Longest silence of the secondary control, s; then the set-points it gave are forgotten."""

# Width of the bands in pu: beyond a limit in an emergency, inside it without a secondary. Reactive
# power goes first, and is used up before half of the active power is.
_EMERGENCY_KW, _EMERGENCY_KVAR = 0.02, 0.01
_STANDARD_KW, _STANDARD_KVAR = 0.01, 0.02

CurveVoltage = Annotated[float, Meta(ge=0.0, le=10.0)]
CurveShare = Annotated[float, Meta(ge=-10.0, le=10.0)]


class Curve(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A characteristic in straight pieces: `share` of the rating over `voltage_pu`, flat outside.

    Raises
    ------
    DeviceError : fewer than two points, lists of different length, or voltages that do not rise.
    """

    voltage_pu: tuple[CurveVoltage, ...]
    share: tuple[CurveShare, ...]

    def __post_init__(self) -> None:
        if len(self.voltage_pu) != len(self.share) or len(self.share) < 2:
            raise DeviceError(
                "a droop curve needs a share for each of two or more voltages",
                f"it has {len(self.voltage_pu)} voltages and {len(self.share)} shares",
            )
        if not (np.diff(self.voltage_pu) > 0.0).all():
            raise DeviceError("the voltages of a droop curve must rise", f"{self.voltage_pu}")

    def at(self, voltage_pu: float | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the share at a voltage; not-a-number stays what it is."""
        return np.asarray(np.interp(voltage_pu, self.voltage_pu, self.share))


class Primary(Struct, frozen=True):
    """How far an inverter goes at a voltage: 1 all the way up, -1 all the way down, 0 not at all.

    Parameters
    ----------
    active, reactive : share of the way from where P and Q are to the end of their range
    """

    active: Curve
    reactive: Curve

    def answer(
        self, device: Device, wanted: tuple[float, float], voltage_pu: float
    ) -> tuple[float, float]:
        """Return the P and Q that a device injects when these are wanted of it.

        Parameters
        ----------
        device : as it stands
        wanted : kW and kvar, within its range
        voltage_pu : at its bus
        """
        p_kw, q_kvar = wanted
        up_kw = float(self.active.at(voltage_pu))
        up_kvar = float(self.reactive.at(voltage_pu))
        if up_kw == 0.0 and up_kvar == 0.0:
            return wanted
        end_kw = device.p_kw_most if up_kw > 0.0 else device.p_kw_min
        p_kw += abs(up_kw) * (end_kw - p_kw)
        limit = device.reactive_limit(min(max(p_kw, device.p_kw_min), device.p_kw_most))
        end_kvar = limit if up_kvar > 0.0 else -limit
        q_kvar += abs(up_kvar) * (end_kvar - q_kvar)
        return device.nearest(p_kw, q_kvar)


def emergency(v_min_pu: float, v_max_pu: float) -> Primary:
    """Return what holds while the secondary speaks: nothing within these limits."""
    return Primary(
        _beyond(v_min_pu - _EMERGENCY_KW, v_min_pu, v_max_pu, v_max_pu + _EMERGENCY_KW),
        _beyond(v_min_pu - _EMERGENCY_KVAR, v_min_pu, v_max_pu, v_max_pu + _EMERGENCY_KVAR),
    )


def standard(v_min_pu: float, v_max_pu: float) -> Primary:
    """Return what holds when the secondary is silent: used up at the limits."""
    return Primary(
        _beyond(v_min_pu, v_min_pu + _STANDARD_KW, v_max_pu - _STANDARD_KW, v_max_pu),
        _beyond(v_min_pu, v_min_pu + _STANDARD_KVAR, v_max_pu - _STANDARD_KVAR, v_max_pu),
    )


def _beyond(lowest: float, low: float, high: float, highest: float) -> Curve:
    return Curve(voltage_pu=(lowest, low, high, highest), share=(1.0, 0.0, 0.0, -1.0))
