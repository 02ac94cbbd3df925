"""The power of every asset at the times of the cell's timeline."""

from collections.abc import Sequence

import numpy as np

from peercell.grid.admittance import Real
from peercell.grid.cellfile import Profiles
from peercell.grid.model import Cell


def power_at(cell: Cell, profiles: Profiles, rows: Sequence[int]) -> tuple[Real, Real]:
    """Return P in kW and Q in kvar, each (rows, assets), positive = injection.

    Parameters
    ----------
    cell, profiles : a cell and its checked profiles.
    rows : rows of the timeline, see `Timeline.row`.
    """
    assets = cell.assets
    p_kw = np.tile(np.array([asset.p_kw for asset in assets], np.float64), (len(rows), 1))
    q_kvar = np.tile(np.array([asset.q_kvar for asset in assets], np.float64), (len(rows), 1))
    index = np.asarray(rows, np.int64)
    for column, asset in enumerate(assets):
        if asset.p_profile:
            p_kw[:, column] = asset.p_base_kw * profiles[asset.p_profile][index].astype(np.float64)
        if asset.q_profile:
            q_kvar[:, column] = asset.q_base_kvar * profiles[asset.q_profile][index].astype(
                np.float64
            )
    return p_kw, q_kvar
