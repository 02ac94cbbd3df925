"""How full the batteries are that a controller may move, and what it has lent or borrowed there."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from peercell.agents.control.device import DeviceSettings
from peercell.grid.admittance import Real
from peercell.grid.devices.battery import Battery

# Recorded operations know neither losses of a converter nor a limit of power of their own.
_ANY_KW = 1e12
_HALF = 0.5


class Stores:
    """The batteries of a cell with a controller; their energy moves when the time does.

    Parameters
    ----------
    devices : what the assets that have a controller can do, by name.
    position : of each asset in the arrays of a cell.

    Attributes
    ----------
    names : of the batteries.
    """

    def __init__(self, devices: Mapping[str, DeviceSettings], position: Mapping[str, int]) -> None:
        stores = {name: told for name, told in devices.items() if told.energy_kwh is not None}
        self.names = dict.fromkeys(stores)
        self._settings = tuple(stores.values())
        self._at = np.array([position[name] for name in stores], np.int64)
        self._count = len(position)
        capacity = np.array([told.energy_kwh for told in self._settings], np.float64)
        self._battery = Battery(capacity, _ANY_KW, _ANY_KW, 1.0, 1.0)

    def start(self) -> tuple[Real, Real]:
        """Return kWh in each asset, half full, and what of it is lent: nothing."""
        stored = np.zeros(self._count)
        stored[self._at] = _HALF * np.asarray(self._battery.capacity_kwh)
        return stored, np.zeros(self._count)

    def after(
        self, store: tuple[Real, Real], planned_kw: Real, p_kw: Real, passed_s: float
    ) -> tuple[Real, Real]:
        """Return the same when the cell has stood for a time as it stands.

        What leaves the plan is lent to the battery where it is charged more, and borrowed from it
        where it gives more; what the plan itself cannot do counts as neither.
        """
        stored, lent = store
        if not self._settings or passed_s <= 0.0:
            return store
        at, hours = self._at, passed_s / 3600.0
        before = stored[at]
        step = self._battery.step(before, p_kw[at], passed_s)
        could_kw = np.array(
            [
                told.at(*numbers).nearest(numbers[0], 0.0)[0]
                for told, *numbers in self._told(planned_kw, store)
            ]
        )
        after = np.asarray(step.energy_kwh)
        owed = lent[at] + (could_kw - np.asarray(step.power_kw)) * hours
        stored, lent = stored.copy(), lent.copy()
        stored[at] = after
        lent[at] = np.clip(owed, after - self._battery.capacity_kwh, after)
        return stored, lent

    def _told(self, planned_kw: Real, store: tuple[Real, Real]) -> Any:
        numbers = (planned_kw[self._at].tolist(), *(part[self._at].tolist() for part in store))
        return zip(self._settings, *numbers, strict=True)
