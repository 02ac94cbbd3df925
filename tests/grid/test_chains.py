"""Nodes between others get the voltage that a product of their own would give them."""

import numpy as np
import pytest
from hypothesis import given
from tests.grid.builders import chain, make_cell, random_cells

from peercell.broker.cells import load_cell
from peercell.grid.chains import chains
from peercell.grid.feeder import Feeder
from peercell.grid.model import Branch, Bus, Cell, Source


def bare_row(lengths_km: list[float], load_at: list[int]) -> Cell:
    """Return a row of buses along one cable, with loads at some of them only."""
    full = chain(len(lengths_km) + 1)
    branches = [
        Branch(
            id=f"line-{n}",
            from_bus=str(n),
            to_bus=str(n + 1),
            r_ohm=0.2 * length,
            x_ohm=0.08 * length,
        )
        for n, length in enumerate(lengths_km)
    ]
    return make_cell(
        full.buses,
        branches,
        sources=[Source(id="grid", bus="0")],
        customers=[full.customers[n - 1] for n in load_at],
    )


def keys_of(cell: Cell) -> list[str]:
    """Return the buses that need a product of their own beside the active ones."""
    engine = Feeder(cell).power_flow
    answers = engine.impedance.columns(engine.active)
    answers = np.concatenate([answers, engine.impedance.no_load[:, None]], axis=1)
    found = chains(engine.network, engine.active, answers)
    return [engine.network.labels[node] for node in found.keys]


@pytest.mark.parametrize(
    ("lengths_km", "load_at", "keys"),
    [
        ([0.1, 0.3, 0.2, 0.4], [4], ["0"]),
        ([0.1, 0.3, 0.2, 0.4], [2, 4], ["0"]),
        ([0.1, 0.3, 0.2, 0.4], [2], ["0", "4"]),
        ([0.1], [1], ["0"]),
    ],
)
def test_joints_of_a_cable_need_no_product(
    lengths_km: list[float], load_at: list[int], keys: list[str]
) -> None:
    assert keys_of(bare_row(lengths_km, load_at)) == keys


def test_a_charged_line_bends_the_voltage() -> None:
    cell = bare_row([0.1, 0.3, 0.2], [3])
    buses = [Bus(id=bus.id, kv=20.0) for bus in cell.buses]
    charged = [
        Branch(
            id=b.id, from_bus=b.from_bus, to_bus=b.to_bus, r_ohm=b.r_ohm, x_ohm=b.x_ohm,
            b_siemens=1e-3,
        )
        for b in cell.branches
    ]  # fmt: skip
    cell = make_cell(buses, charged, sources=cell.sources, customers=cell.customers)
    assert keys_of(cell) == ["0", "1", "2"]


@given(cell=random_cells(most_buses=8) | random_cells(most_buses=8, phases=3))
def test_every_voltage_is_that_of_a_product(cell: Cell) -> None:
    _assert_same(Feeder(cell))


def test_most_buses_of_a_measured_network_are_joints() -> None:
    feeder = Feeder(load_cell("eu-lv").cell)
    _assert_same(feeder)
    assert len(keys_of(feeder.cell)) < 0.25 * len(feeder.node_ids)


def _assert_same(feeder: Feeder) -> None:
    """Compare all voltages with the full product w + Z I."""
    engine = feeder.power_flow
    current = np.exp(1j * np.arange(engine.active.size)) * 5.0
    currents = np.append(current, 1.0)
    columns = engine.impedance.columns(engine.active)
    wanted = engine.impedance.no_load + columns @ current
    found = engine.impedance.everywhere(engine.impedance.at_active(currents), currents)
    assert np.abs(found - wanted).max() < 1e-9
