"""Path lists against the impedance matrix of the network that they stand for."""

import numpy as np
import pytest

from peercell.agents.control.paths import Track
from peercell.broker.cells import load_cell
from peercell.grid.feeder import Feeder
from peercell.grid.paths import path_lists


@pytest.mark.parametrize("name", ["case33", "cigre-lv3", "rural1", "rural3", "semiurb4"])
def test_path_lists_give_the_slopes_of_lindistflow(name: str) -> None:
    cell = load_cell(name).cell
    feeder = Feeder(cell)
    tracks = {bus: Track(path) for bus, path in path_lists(cell).items()}
    linear_kw, linear_kvar = feeder.lindistflow
    found = np.array(
        [[tracks[k].shared(tracks[i]) for i in feeder.node_ids] for k in feeder.node_ids]
    )
    for slopes, linear in ((found[..., 0], linear_kw), (found[..., 1], linear_kvar)):
        # What is left is the ratio of the transformer and the voltage of the source.
        assert np.abs(slopes - linear).max() <= 0.06 * np.abs(linear).max()


def test_a_path_names_its_branches_from_the_source_on() -> None:
    cell = load_cell("rural1").cell
    path = path_lists(cell)[cell.customers[-1].bus]
    assert path[0].branch == cell.transformers[0].id
    assert Track(path).passes(path[-1].branch)
    assert not Track(path[:-1]).passes(path[-1].branch)
