"""Slopes: exact ones against differences of the power flow, linear ones within their reach."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.grid.builders import case33, chain, random_cells, scaled, three_phase

from peercell.grid import engine
from peercell.grid.admittance import Real
from peercell.grid.feeder import Feeder
from peercell.grid.model import Asset, AssetKind, Cell, Customer, Phase
from peercell.grid.sensitivity import Sensitivity

PHASES = pytest.mark.parametrize("phases", [1, 3])
_STEP_KW = 0.5


def with_probe(cell: Cell, bus: str, phase: Phase) -> Cell:
    """Return a cell with one more asset, the last one, idle at a bus."""
    probe = Asset(id="probe", kind=AssetKind.GENERATOR, p_kw=0.0, phase=phase)
    customers = (*cell.customers, Customer(id="probe", bus=bus, assets=(probe,)))
    return structs.replace(cell, customers=customers)


def differences(feeder: Feeder, p_kw: Real, q_kvar: Real) -> Sensitivity:
    """Return d|V| by central differences of fourth order, the last asset being moved."""

    def magnitude(by_kw: float, by_kvar: float) -> Real:
        moved_p, moved_q = p_kw.copy(), q_kvar.copy()
        moved_p[-1] += by_kw
        moved_q[-1] += by_kvar
        return np.abs(feeder.solve(moved_p, moved_q).voltage)

    def slope(kw: float, kvar: float) -> Real:
        near = magnitude(kw, kvar) - magnitude(-kw, -kvar)
        far = magnitude(2.0 * kw, 2.0 * kvar) - magnitude(-2.0 * kw, -2.0 * kvar)
        return (8.0 * near - far) / (12.0 * _STEP_KW)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "ERROR_PU_MAX", 1e-15)
        return Sensitivity(slope(_STEP_KW, 0.0)[:, None], slope(0.0, _STEP_KW)[:, None])


@PHASES
@pytest.mark.parametrize("zip_loads", [False, True], ids=["constant power", "ZIP"])
@settings(max_examples=25)
@given(values=st.data())
def test_exact_slopes_are_those_of_the_power_flow(
    phases: int, zip_loads: bool, values: st.DataObject
) -> None:
    cell = values.draw(random_cells(phases=phases, zip_loads=zip_loads))
    bus = values.draw(st.sampled_from([bus.id for bus in cell.buses[1:]]))
    phase = values.draw(st.sampled_from([Phase.A, Phase.B, Phase.C])) if phases == 3 else Phase.ABC
    feeder = Feeder(with_probe(cell, bus, phase))
    powers = feeder.nominal
    node = bus if phases == 1 else f"{bus}.{phase}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "ERROR_PU_MAX", 1e-15)
        ours = feeder.sensitivity(*powers, node)
    truth = differences(feeder, *powers)
    for mine, true in ((ours.per_kw, truth.per_kw), (ours.per_kvar, truth.per_kvar)):
        assert np.abs(mine - true).max() <= 1e-8 * np.abs(true).max()


@pytest.mark.parametrize(("factor", "bus"), [(1.0, "17"), (2.5, "32"), (3.3, "24")])
def test_exact_slopes_hold_up_to_heavy_loading(factor: float, bus: str) -> None:
    feeder = Feeder(with_probe(case33(), bus, Phase.ABC))
    powers = scaled(feeder.cell, factor)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "ERROR_PU_MAX", 1e-15)
        ours = feeder.sensitivity(*powers, bus)
    truth = differences(feeder, *powers)
    assert np.abs(ours.per_kw - truth.per_kw).max() <= 1e-8 * np.abs(truth.per_kw).max()
    assert np.abs(ours.per_kvar - truth.per_kvar).max() <= 1e-8 * np.abs(truth.per_kvar).max()


def test_a_bus_without_assets_has_slopes_too() -> None:
    cell = chain(6)
    bare = Feeder(structs.replace(cell, customers=cell.customers[:3]))
    answer = bare.sensitivity(*bare.nominal, "5")
    assert answer.per_kw.shape == (6, 1)
    assert answer.per_kw[:, 0].tolist() == sorted(answer.per_kw[:, 0])


def test_a_bus_that_a_source_holds_moves_nothing() -> None:
    feeder = Feeder(chain(4))
    answer = feeder.sensitivity(*feeder.nominal, "0")
    assert not answer.per_kw.any()
    assert not answer.per_kvar.any()


def test_a_bus_of_three_phases_has_a_column_a_phase() -> None:
    feeder = Feeder(three_phase(chain(4)))
    whole = feeder.sensitivity(*feeder.nominal, "3")
    assert whole.per_kw.shape == (12, 3)
    for column, phase in enumerate("abc"):
        alone = feeder.sensitivity(*feeder.nominal, f"3.{phase}")
        assert alone.per_kw[:, 0] == pytest.approx(whole.per_kw[:, column])
        assert alone.per_kvar[:, 0] == pytest.approx(whole.per_kvar[:, column])


def test_first_order_slopes_are_a_few_percent_off() -> None:
    feeder = Feeder(case33())
    for bus in ("5", "17", "32"):
        exact = feeder.sensitivity(*feeder.nominal, bus)
        first = feeder.first_order_sensitivity(*feeder.nominal, bus)
        error = np.abs(first.per_kw - exact.per_kw).max() / np.abs(exact.per_kw).max()
        assert 0.0 < error < 0.15


@settings(max_examples=40)
@given(cell=random_cells())
def test_first_order_slopes_are_exact_without_load(cell: Cell) -> None:
    feeder = Feeder(cell)
    nothing = np.zeros(len(cell.assets))
    bus = feeder.node_ids[-1]
    exact = feeder.sensitivity(nothing, nothing, bus)
    first = feeder.first_order_sensitivity(nothing, nothing, bus)
    assert first.per_kw == pytest.approx(exact.per_kw, rel=1e-9, abs=1e-15)
    assert first.per_kvar == pytest.approx(exact.per_kvar, rel=1e-9, abs=1e-15)


@settings(max_examples=40)
@given(cell=random_cells())
def test_lindistflow_reproduces_small_changes_from_no_load(cell: Cell) -> None:
    feeder = Feeder(cell)
    r, x = feeder.lindistflow
    nothing = np.zeros(len(cell.assets))
    start = np.abs(feeder.solve(nothing, nothing).voltage)
    small = 1e-3
    p_kw, q_kvar = scaled(cell, small)
    moved = np.abs(feeder.solve(p_kw, q_kvar).voltage) - start
    at = {bus: position for position, bus in enumerate(feeder.node_ids)}
    p_bus, q_bus = np.zeros(len(at)), np.zeros(len(at))
    places = [at[customer.bus] for customer in cell.customers for _ in customer.assets]
    np.add.at(p_bus, places, p_kw)
    np.add.at(q_bus, places, q_kvar)
    predicted = r @ p_bus + x @ q_bus
    assert np.abs(predicted - moved).max() <= 1e-3 * np.abs(predicted).max() + 2e-9


def test_lindistflow_of_a_radial_feeder_is_the_shared_resistance() -> None:
    # Baran and Wu: R between two buses is the resistance that their ways from the source share.
    feeder = Feeder(chain(5, r_ohm=0.05, x_ohm=0.02))
    r, x = feeder.lindistflow
    shared = np.minimum.outer(np.arange(5), np.arange(5))
    assert r == pytest.approx(shared * 0.05 / 160.0, abs=1e-15)
    assert x == pytest.approx(shared * 0.02 / 160.0, abs=1e-15)


def test_lindistflow_misses_the_33_bus_feeder_by_as_much_as_published() -> None:
    feeder = Feeder(case33())
    r, x = feeder.lindistflow
    p_kw, q_kvar = feeder.nominal
    linear = 1.0 + r[:, 1:] @ p_kw + x[:, 1:] @ q_kvar
    error = linear - np.abs(feeder.solve(p_kw, q_kvar).voltage)
    assert 0.005 < error.max() < 0.0065
    assert error.min() > -1e-12


@PHASES
@given(values=st.data())
def test_lindistflow_is_symmetric(phases: int, values: st.DataObject) -> None:
    feeder = Feeder(values.draw(random_cells(phases=phases)))
    r, x = feeder.lindistflow
    if phases == 1:
        assert np.abs(r - r.T).max() <= 1e-3 * np.abs(r).max()
        assert np.abs(x - x.T).max() <= 1e-3 * np.abs(x).max()
    assert (np.linalg.eigvalsh(r + r.T) >= -1e-9 * np.abs(r).max()).all()
