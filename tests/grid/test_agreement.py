"""The shipped cells against three other solvers, each fed by a converter of its own."""

import numpy as np
import pytest
from tests.oracles.fused import largest_difference_pu
from tests.oracles.opendss import OpenDssOracle
from tests.oracles.pandapower_net import PandapowerOracle
from tests.oracles.pgm import PowerGridModelOracle

from peercell.broker.cells import load_cell, shipped_names
from peercell.grid.admittance import Real
from peercell.grid.feeder import Feeder
from peercell.grid.model import Cell

CELLS = {name: load_cell(name).cell for name in shipped_names()}
BALANCED = [name for name, cell in CELLS.items() if cell.phases == 1]
UNBALANCED = [name for name, cell in CELLS.items() if cell.phases == 3]


def operating_points(cell: Cell) -> list[tuple[Real, Real]]:
    """Return the nominal powers, and two draws of a share of each."""
    p_kw, q_kvar = Feeder(cell).nominal
    shares = np.random.default_rng(33).uniform(0.0, 1.2, (2, p_kw.size))
    return [(p_kw, q_kvar), *((p_kw * share, q_kvar * share) for share in shares)]


@pytest.mark.parametrize("oracle", [PowerGridModelOracle, PandapowerOracle, OpenDssOracle])
@pytest.mark.parametrize("name", BALANCED)
def test_balanced_cells_agree_with_every_solver(
    name: str, oracle: type[PowerGridModelOracle] | type[PandapowerOracle] | type[OpenDssOracle]
) -> None:
    cell = CELLS[name]
    feeder, other = Feeder(cell), oracle(cell)
    for p_kw, q_kvar in operating_points(cell):
        state, theirs = feeder.solve(p_kw, q_kvar), other.solve(p_kw, q_kvar)
        assert largest_difference_pu(state, feeder.node_ids, theirs) <= 1e-8
        if oracle is not OpenDssOracle:  # whose losses leave out what stands for iron losses
            assert state.links.losses_kw == pytest.approx(theirs.losses_kw, rel=1e-6)


@pytest.mark.parametrize("name", BALANCED)
def test_branch_currents_agree_with_pandapower(name: str) -> None:
    cell = CELLS[name]
    feeder = Feeder(cell)
    loading = dict(zip(feeder.branch_ids, feeder.solve(*feeder.nominal).links.loading, strict=True))
    current_a = PandapowerOracle(cell).solve(*feeder.nominal).current_a
    assert set(loading) == set(current_a)
    rated = [branch for branch in cell.branches if branch.rating_a and branch.id in loading]
    for branch in rated:
        expected_a = max(current_a[branch.id])
        assert loading[branch.id] * (branch.rating_a or 0.0) == pytest.approx(expected_a, abs=1e-4)


@pytest.mark.parametrize("oracle", [PowerGridModelOracle, OpenDssOracle])
@pytest.mark.parametrize("name", UNBALANCED)
def test_unbalanced_cells_agree_with_both_solvers(
    name: str, oracle: type[PowerGridModelOracle] | type[OpenDssOracle]
) -> None:
    cell = CELLS[name]
    feeder, other = Feeder(cell), oracle(cell)
    for p_kw, q_kvar in operating_points(cell):
        state, theirs = feeder.solve(p_kw, q_kvar), other.solve(p_kw, q_kvar)
        assert largest_difference_pu(state, feeder.node_ids, theirs) <= 1e-7
        assert state.links.losses_kw == pytest.approx(theirs.losses_kw, rel=1e-6)
