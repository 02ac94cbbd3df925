"""What disturbances make of the powers that owners and controllers have set."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peercell.agents.grid_parts import Disturbance, RefusalCode
from peercell.grid.admittance import Real
from peercell.grid.service_errors import RefusedError, unknown_asset


@dataclass(frozen=True, slots=True, eq=False)
class Upset:
    """All disturbances of a cell together.

    Attributes
    ----------
    tripped : (assets,) whether an asset gives nothing of its own.
    by_kw : (assets,) kW injected beside what it gives.
    """

    tripped: NDArray[np.bool_]
    by_kw: Real

    def own(self, power: Real) -> Real:
        """Return what assets give themselves, kW or kvar, of what they are set to."""
        return np.where(self.tripped, 0.0, power)


def upset_by(disturbances: Iterable[Disturbance], position: Mapping[str, int]) -> Upset | None:
    """Return what disturbances come to; None when there is none.

    Parameters
    ----------
    disturbances : those of one asset add up.
    position : of each asset in the arrays.
    """
    disturbed = [each for disturbance in disturbances for each in disturbance.assets]
    if not disturbed:
        return None
    upset = Upset(np.zeros(len(position), np.bool_), np.zeros(len(position)))
    for each in disturbed:
        upset.tripped[position[each.asset]] |= each.tripped
        upset.by_kw[position[each.asset]] += each.by_kw
    return upset


def check_disturbance(disturbance: Disturbance, position: Mapping[str, int]) -> None:
    """Raise RefusedError where a disturbance names what is not there, or an asset twice."""
    names = [each.asset for each in disturbance.assets]
    for name in names:
        if name not in position:
            raise unknown_asset(name, position)
    if len({*names}) < len(names):
        raise RefusedError(
            RefusalCode.BAD_REQUEST,
            f'the disturbance "{disturbance.name}" names an asset twice',
            "which of the two shall hold is not said",
        )
