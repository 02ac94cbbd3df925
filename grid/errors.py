"""What can be wrong with a cell or its power flow, each a type of its own."""

from peercell.agents.errors import PeercellError


class CellError(PeercellError):
    """A cell file that contradicts itself or cannot be read."""


class UnknownCellError(PeercellError):
    """No shipped cell and no folder has that name."""

    exit_code = 4


class UnknownElementError(PeercellError):
    """An id of a bus, asset, branch or switch that the cell does not have."""


class TimeOutsideProfilesError(PeercellError):
    """A time for which the cell holds no profile row."""


class NoSourceError(PeercellError):
    """No bus of the network is fed by a source."""


class CollapseError(PeercellError):
    """The power flow has no solution: the network cannot carry this power.

    `weakest_bus` is the one whose voltage moved most at the largest share that can be carried.
    """

    exit_code = 5

    def __init__(self, what: str, why: str, fix: str, weakest_bus: str) -> None:
        super().__init__(what, why, fix)
        self.weakest_bus = weakest_bus


class CompileError(PeercellError):
    """A foreign network that cannot become a cell file."""


class ControlCaseError(PeercellError):
    """A case of voltage control that cannot be read or contradicts itself or its cell."""


class NoOpenPointError(PeercellError):
    """A network that can be fed in one way only."""
