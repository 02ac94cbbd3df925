"""Who corrects which assets, and what these do by themselves: primary control in every step."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from peercell.agents.control.device import DeviceSettings
from peercell.agents.control.droop import emergency, standard
from peercell.agents.grid_parts import Correction
from peercell.grid.model import PerUnit
from peercell.grid.service_errors import RefusedError
from peercell.grid.service_reading import Picture
from peercell.grid.service_standing import Standing
from peercell.grid.service_state import Plant

# An inverter follows its droop with a time constant of about a second. A droop that answers at once
# hunts as soon as its gain, slope of the curve times rise of the voltage, exceeds 1; in a feeder
# with much sun it is 5 to 15. Steps of this share in tenths of a second bear a gain of 19.
_SUB_STEPS, _SHARE = 10, 0.1
# Share of the rating below which an answer counts as none.
_NOTHING = 1e-6


class ControlledAsset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An asset that leaves its plan when its controller, or its own voltage, asks for it.

    `controller` : the peer that may correct it; when it is silent for 30 s the asset follows a
    standard droop. `v_min_pu`, `v_max_pu` : beyond these it acts at once. `bus` : whose voltage it
    sees.
    """

    device: DeviceSettings
    controller: str
    bus: str
    v_min_pu: PerUnit
    v_max_pu: PerUnit


class Firmware:
    """What the inverters of a cell do by themselves.

    Parameters
    ----------
    plant : the cell.
    controlled : its assets that have a controller.
    silence_s : longest silence of a controller.
    """

    def __init__(
        self, plant: Plant, controlled: Iterable[ControlledAsset], silence_s: float
    ) -> None:
        self._plant = plant
        self._silence_s = silence_s
        self._assets = tuple(controlled)
        self._emergency = [emergency(a.v_min_pu, a.v_max_pu) for a in self._assets]
        self._standard = [standard(a.v_min_pu, a.v_max_pu) for a in self._assets]
        self._heard_s: dict[str, float] = {}
        self._started_s = 0.0

    def start(self, now_s: float) -> None:
        """Begin to wait for the controllers."""
        self._started_s = now_s

    def hear(self, corrections: Iterable[Correction], now_s: float) -> None:
        """Note that controllers have spoken to some assets."""
        for correction in corrections:
            self._heard_s[correction.asset] = now_s

    def step(
        self, standing: Standing, picture: Picture, now_s: float
    ) -> tuple[Standing, Picture] | None:
        """Return what stands a second later with its solution, None where nobody does anything.

        Parameters
        ----------
        standing, picture : what stands, and its solution.
        now_s : host time.
        """
        begun = standing
        for _ in range(_SUB_STEPS):
            shifts = self._shifts(standing, picture, now_s)
            if not shifts:
                break
            trial = standing.copy()
            trial.is_new = True
            for shift in shifts:
                self._plant.shift(trial, shift)
            try:
                picture = self._plant.solve(trial)
            except RefusedError:
                # What stands can be solved; the inverters try again in the next step.
                break
            standing = trial
        return None if standing is begun else (standing, picture)

    def _shifts(self, standing: Standing, picture: Picture, now_s: float) -> list[Correction]:
        """Return the shifts that change within a tenth of a second."""
        changed = []
        for number, asset in enumerate(self._assets):
            position = picture.lens.position.get(asset.bus)
            if position is None:
                continue
            shift = self._shift(standing, number, float(picture.v_pu[position]), now_s)
            if shift is not None:
                changed.append(shift)
        return changed

    def _shift(
        self, standing: Standing, number: int, v_pu: float, now_s: float
    ) -> Correction | None:
        asset = self._assets[number]
        name = asset.device.asset
        silent = now_s - self._heard_s.get(name, self._started_s) > self._silence_s
        primary = (self._standard if silent else self._emergency)[number]
        planned_kw = float(standing.planned[0][self._plant.position[name]])
        wanted = self._plant.wanted(standing, name)
        begun = (planned_kw, 0.0) if silent else wanted
        called = primary.answer(self._plant.device(standing, name), begun, v_pu)
        old = standing.primary.get(name, Correction(name, 0.0, 0.0))
        off_kw = called[0] - wanted[0] - old.p_kw
        off_kvar = called[1] - wanted[1] - old.q_kvar
        least = _NOTHING * asset.device.rating_kva
        if abs(off_kw) <= least and abs(off_kvar) <= least:
            if called != wanted or (old.p_kw == 0.0 and old.q_kvar == 0.0):
                return None
            return Correction(name, 0.0, 0.0)
        return Correction(name, old.p_kw + _SHARE * off_kw, old.q_kvar + _SHARE * off_kvar)


def devices_of(controlled: Iterable[ControlledAsset]) -> Mapping[str, DeviceSettings]:
    """Return what the controlled assets can do, by their names."""
    return {asset.device.asset: asset.device for asset in controlled}
