"""What pandapower finds: the operating point that a compiled cell must reproduce."""

import copy
from enum import Enum

from peercell.grid.compile.libraries import Net, pandapower, quiet, submodule
from peercell.grid.errors import CompileError

# Tight first; a mismatch of 1e-10 MVA is below the rounding noise of a large network.
_TOLERANCES_MVA = (1e-10, 1e-8)
_SHARE = 0.1
_SCALED = ("load", "sgen", "storage", "motor", "asymmetric_load", "asymmetric_sgen")


class Point(Enum):
    """An operating point that both programs can solve."""

    TABLE = "all powers at their table values"
    TENTH = "all powers at a tenth of their table values"


def at_point(net: Net, point: Point) -> Net:
    """Return a copy of a network at an operating point."""
    with quiet():
        moved = copy.deepcopy(net)
        if point is Point.TENTH:
            for table in _SCALED:
                moved[table]["scaling"] = moved[table]["scaling"] * _SHARE
            for column in ("ps_mw", "qs_mvar"):
                moved.ward[column] *= _SHARE
    return moved


def reference(net: Net, point: Point, *, voltage_dependent: bool = True) -> Net | None:
    """Return a solved copy of a network, None where pandapower finds no solution.

    Raises
    ------
    CompileError : pandapower refuses the network: no source, two voltages at one bus, and so on.
    """
    moved = at_point(net, point)
    moved["user_pf_options"] = {}
    not_converged = submodule("pandapower.powerflow").LoadflowNotConverged
    for tolerance_mva in _TOLERANCES_MVA:
        try:
            with quiet():
                pandapower().runpp(
                    moved,
                    calculate_voltage_angles=True,
                    init="dc",
                    max_iteration=50,
                    tolerance_mva=tolerance_mva,
                    trafo_model="t",
                    voltage_depend_loads=voltage_dependent,
                    numba=False,
                )
        except (not_converged, FloatingPointError, ZeroDivisionError):
            continue
        except (UserWarning, ValueError, KeyError, TypeError) as error:
            raise CompileError("pandapower cannot solve the network", str(error)) from error
        return moved
    return None
