"""Which rows of the profiles make up each interval of a market."""

from datetime import timedelta

import numpy as np
import numpy.typing as npt

from peercell.agents.errors import PeercellError
from peercell.broker.config import Config
from peercell.grid.model import Cell
from peercell.grid.rows import row_at


def interval_rows(config: Config, cell: Cell) -> npt.NDArray[np.int64]:
    """Return the rows of the profiles in each market interval, (intervals, rows an interval).

    Raises
    ------
    ConfigError : the profiles do not hold every interval, or their steps do not fit into it.
    """
    clock = config.cell.clock
    profile_s = cell.timeline.step_s
    step_s = min(clock.interval_s, profile_s)
    if clock.interval_s % step_s or profile_s % step_s:
        raise config.file.wrong(
            ("clock", "interval_s"),
            f"an interval of {clock.interval_s:g} s does not fit the profiles",
            f"they have steps of {profile_s} s; one must be a multiple of the other",
        )
    times = [
        clock.start + timedelta(seconds=step_s * k)
        for k in range(round(clock.intervals * clock.interval_s / step_s))
    ]
    try:
        rows = [row_at(cell, at) for at in times]
    except PeercellError as error:
        raise config.file.wrong(("clock", "start"), error.what, error.why) from None
    return np.array(rows, np.int64).reshape(clock.intervals, -1)
