"""How much generation the 33-bus feeder takes, at 30 % of its load, until a voltage is 1.05 pu."""

import math

import numpy as np
import pytest

from peercell.broker.cells import load_cell
from peercell.grid.admittance import Real
from peercell.grid.feeder import Feeder

LOAD, LIMIT_PU = 0.3, 1.05
TAN_PHI = math.tan(math.acos(0.95))
# MW: found by another program, with an admittance matrix and a power flow of its own.
UNIFORM, UNIFORM_ABSORBING = 5.003, 6.754
AT_BUS = {"17": (1.151, 1.716), "32": (1.891, 2.794)}


def hosted_mw(share: Real, tan_phi: float) -> float:
    """Return the most that plants feed in which divide it by these shares, absorbing Q = tan P."""
    cell = load_cell("case33").cell
    feeder = Feeder(cell)
    load_kw = np.array([LOAD * asset.p_kw for asset in cell.assets])
    load_kvar = np.array([LOAD * asset.q_kvar for asset in cell.assets])
    low, high = 0.0, 16_000.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        more = middle * share
        found = feeder.solve(load_kw + more, load_kvar - tan_phi * more)
        if float(np.abs(found.voltage).max()) > LIMIT_PU:
            high = middle
        else:
            low = middle
    return low / 1e3


@pytest.mark.parametrize(("tan_phi", "most_mw"), [(0.0, UNIFORM), (TAN_PHI, UNIFORM_ABSORBING)])
def test_plants_in_proportion_to_the_loads(tan_phi: float, most_mw: float) -> None:
    load_kw = np.array([asset.p_kw for asset in load_cell("case33").cell.assets])
    assert hosted_mw(load_kw / load_kw.sum(), tan_phi) == pytest.approx(most_mw, abs=0.005)


@pytest.mark.parametrize("bus", AT_BUS)
@pytest.mark.parametrize("absorbs", [False, True])
def test_one_plant_at_the_end_of_a_feeder(bus: str, absorbs: bool) -> None:
    customers = load_cell("case33").cell.customers
    at_bus = [customer.bus == bus for customer in customers for _ in customer.assets]
    found = hosted_mw(np.array(at_bus, np.float64), TAN_PHI if absorbs else 0.0)
    assert found == pytest.approx(AT_BUS[bus][absorbs], abs=0.005)
