"""What a device accepts as a number: finite or not, single or an array, never not-a-number."""

import numpy as np

from peercell.agents.errors import DeviceError
from peercell.grid.admittance import Real

Quantity = float | Real


def number(name: str, value: Quantity) -> Real:
    """Return a value as an array of floats; infinity passes.

    Raises
    ------
    DeviceError : a value is not a number.
    """
    values = np.asarray(value, np.float64)
    if np.isnan(values).any():
        where = f" at position {int(np.argmax(np.isnan(values)))}" if values.ndim else ""
        raise DeviceError(f"{name} is not a number{where}", "a device needs a value to act upon")
    return values


def setting(name: str, value: Quantity, least: float, most: float) -> Real:
    """Return a device's setting as an array of floats.

    Raises
    ------
    DeviceError : a value is not a number, or outside least … most.
    """
    values = number(name, value)
    outside = (values < least) | (values > most)
    if outside.any():
        worst = float(values[outside].flat[0])
        raise DeviceError(f"{name} is {worst:g}", f"it must be from {least:g} to {most:g}")
    return values
