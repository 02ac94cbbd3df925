"""The power flow: right against closed forms and other solvers, to its bound, up to the nose."""

import cmath
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from power_grid_model._core.errors import PowerGridError
from tests.grid.builders import (
    case33,
    chain,
    injected_kva,
    largest_factor_of_two_buses,
    random_cells,
    scaled,
    three_phase,
)
from tests.oracles.fused import largest_difference_pu
from tests.oracles.pgm import PowerGridModelOracle

from peercell.grid import engine
from peercell.grid.errors import CollapseError
from peercell.grid.feeder import Feeder
from peercell.grid.model import Cell

PHASES = pytest.mark.parametrize("phases", [1, 3])


def nose(feeder: Feeder, most: float) -> float:
    """Return the largest multiple of the nominal powers that the engine still solves."""
    p_kw, q_kvar = feeder.nominal
    low, high = 0.0, most
    for _ in range(40):
        middle = (low + high) / 2.0
        try:
            feeder.solve(p_kw * middle, q_kvar * middle)
            low = middle
        except CollapseError:
            high = middle
    return low


@pytest.mark.parametrize("p_kw", [-60.0, -5.0, 0.0, 5.0, 60.0])
@pytest.mark.parametrize("q_kvar", [-20.0, 0.0, 20.0])
def test_two_buses_have_the_voltage_of_the_quadratic(p_kw: float, q_kvar: float) -> None:
    cell = chain(2)
    state = Feeder(cell).solve(np.array([p_kw]), np.array([q_kvar]))
    # V = 1 + z conj(s / V), so V = u - conj(z) s with u = |V|², the upper root of
    # u² - u (1 + 2 Re(z conj(s))) + |z s|² = 0.
    drive = complex(0.05, 0.02) / 160.0 * complex(p_kw, -q_kvar)
    half = 0.5 + drive.real
    square = half + math.sqrt(half**2 - abs(drive) ** 2)
    assert state.voltage[1] == pytest.approx(square - drive.conjugate(), abs=1e-9)


@PHASES
@given(values=st.data())
def test_sources_and_injections_cover_what_the_links_take(
    phases: int, values: st.DataObject
) -> None:
    cell = values.draw(random_cells(phases=phases))
    feeder = Feeder(cell)
    state = feeder.solve(*feeder.nominal)
    taken = (state.links.from_kva + state.links.to_kva).sum()
    assert state.source_kva + injected_kva(feeder, *feeder.nominal) == pytest.approx(
        taken, abs=1e-5
    )
    assert state.links.losses_kw == pytest.approx(taken.real, abs=1e-9)
    assert state.links.losses_kw >= -1e-9


@PHASES
@pytest.mark.parametrize("zip_loads", [False, True], ids=["constant power", "ZIP"])
@settings(max_examples=40)
@given(values=st.data())
def test_random_networks_agree_with_power_grid_model(
    phases: int, zip_loads: bool, values: st.DataObject
) -> None:
    cell = values.draw(random_cells(phases=phases, zip_loads=zip_loads))
    feeder = Feeder(cell)
    state = feeder.solve(*feeder.nominal)
    theirs = PowerGridModelOracle(cell).solve(*feeder.nominal)
    assert largest_difference_pu(state, feeder.node_ids, theirs) <= 2e-9
    assert state.links.losses_kw == pytest.approx(theirs.losses_kw, abs=1e-6)


@PHASES
@given(values=st.data())
def test_the_error_stays_within_its_bound(phases: int, values: st.DataObject) -> None:
    cell = values.draw(random_cells(phases=phases, zip_loads=values.draw(st.booleans())))
    powers = scaled(cell, values.draw(st.floats(0.0, 4.0)))
    feeder = Feeder(cell)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "ERROR_PU_MAX", 1e-14)
        try:
            exact = feeder.solve(*powers)
        except CollapseError:
            return
    found = feeder.solve(*powers)
    assert np.linalg.norm(found.voltage - exact.voltage) <= 2.0 * engine.ERROR_PU_MAX
    assert found.iterations <= exact.iterations


@PHASES
@given(values=st.data())
def test_a_state_has_the_same_bits_whatever_came_before(phases: int, values: st.DataObject) -> None:
    cell = values.draw(random_cells(phases=phases))
    feeder = Feeder(cell)
    first = feeder.solve(*feeder.nominal)
    feeder.solve(*scaled(cell, -2.0))
    again, fresh = feeder.solve(*feeder.nominal), Feeder(cell).solve(*feeder.nominal)
    assert first.voltage.tobytes() == again.voltage.tobytes() == fresh.voltage.tobytes()
    assert first.links.loading.tobytes() == again.links.loading.tobytes()


@PHASES
@settings(max_examples=40)
@given(values=st.data())
def test_a_batch_holds_what_single_solutions_are(phases: int, values: st.DataObject) -> None:
    cell = values.draw(random_cells(phases=phases, zip_loads=values.draw(st.booleans())))
    factors = np.array(values.draw(st.lists(st.floats(-2.0, 2.0), min_size=1, max_size=6)))
    feeder = Feeder(cell)
    p_kw, q_kvar = feeder.nominal
    steps = feeder.solve_steps(factors[:, None] * p_kw, factors[:, None] * q_kvar)
    assert steps.converged.all()
    for row, factor in enumerate(factors):
        state = feeder.solve(factor * p_kw, factor * q_kvar)
        assert np.abs(steps.voltage[row] - state.voltage).max() <= 1e-9
        assert steps.source_kva[row] == pytest.approx(state.source_kva, abs=1e-5)
        assert steps.links.loading[row] == pytest.approx(state.links.loading, abs=1e-7)
        assert steps.links.losses_kw[row] == pytest.approx(state.links.losses_kw, abs=1e-6)


def test_steps_of_a_batch_do_not_disturb_each_other() -> None:
    feeder = Feeder(case33())
    p_kw, q_kvar = feeder.nominal
    # Easy, hard and impossible steps side by side, over more than one chunk.
    factors = np.tile([0.0, 1.0, 2.5, 3.55, 3.6, 3.7, 50.0], 60)
    steps = feeder.solve_steps(factors[:, None] * p_kw, factors[:, None] * q_kvar)
    assert steps.converged.tolist() == (factors < 3.65).tolist()
    assert not steps.voltage[~steps.converged].any()
    assert np.isfinite(steps.voltage).all()
    assert np.isfinite(steps.links.loading).all()
    alone = feeder.solve_steps(p_kw[None], q_kvar[None])
    assert np.abs(steps.voltage[factors == 1.0] - alone.voltage).max() <= 1e-12


@PHASES
@given(values=st.data())
def test_impedance_is_reciprocal(phases: int, values: st.DataObject) -> None:
    cell = values.draw(random_cells(phases=phases))
    feeder = Feeder(cell)
    free = np.setdiff1d(np.arange(len(feeder.node_ids)), feeder.power_flow.network.fixed)
    z = feeder.power_flow.impedance.columns(free)[free]
    assert np.abs(z - z.T).max() <= 1e-12 * np.abs(z).max()


@PHASES
@pytest.mark.parametrize("dense_nodes", [0, 12], ids=["many active", "few active"])
def test_dense_and_sparse_impedances_are_the_same(
    phases: int, dense_nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = structs.replace(chain(15), customers=chain(15).customers[::4])
    cell = cell if phases == 1 else three_phase(cell)
    dense = Feeder(cell)
    monkeypatch.setattr("peercell.grid.impedance.DENSE_NODES", dense_nodes)
    sparse = Feeder(cell)
    assert type(sparse.power_flow.impedance) is not type(dense.power_flow.impedance)
    powers, node = dense.nominal, dense.node_ids[-1]
    expected = dense.solve(*powers)
    assert sparse.solve(*powers).voltage == pytest.approx(expected.voltage, abs=1e-12)
    steps = sparse.solve_steps(*(np.tile(power, (3, 1)) for power in powers))
    assert steps.voltage[2] == pytest.approx(expected.voltage, abs=1e-12)
    slope = dense.sensitivity(*powers, node).per_kw
    assert sparse.sensitivity(*powers, node).per_kw == pytest.approx(slope, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("angle_deg", [0.0, 20.0, -30.0, 60.0])
def test_collapse_comes_at_the_nose_of_two_buses(angle_deg: float) -> None:
    load = cmath.rect(20.0, cmath.pi * angle_deg / 180.0)
    cell = chain(2, -load.real)
    asset = structs.replace(cell.assets[0], p_kw=-load.real, q_kvar=-load.imag)
    customer = structs.replace(cell.customers[0], assets=(asset,))
    feeder = Feeder(structs.replace(cell, customers=(customer,)))
    true = largest_factor_of_two_buses(complex(0.05, 0.02), 0.4, load)
    assert 0.999 * true < nose(feeder, 2.0 * true) <= true * (1.0 + 1e-6)
    at_99 = [power * 0.99 * true for power in feeder.nominal]
    assert feeder.solve(*at_99).iterations <= 80


def newton_nose(cell: Cell, most: float) -> float:
    """Return the largest multiple of the nominal powers that Newton's method solves."""
    oracle = PowerGridModelOracle(cell)
    low, high = 0.0, most
    for _ in range(25):
        middle = (low + high) / 2.0
        try:
            oracle.solve(*scaled(cell, middle))
            low = middle
        except PowerGridError:
            high = middle
    return low


@pytest.mark.parametrize(
    "cell",
    [case33(), chain(12), three_phase(chain(8))],
    ids=["33 buses", "a chain", "three phases"],
)
def test_collapse_comes_where_newton_fails_too(cell: Cell) -> None:
    feeder, theirs = Feeder(cell), newton_nose(cell, 8.0)
    ours = nose(feeder, 8.0)
    assert ours == pytest.approx(theirs, rel=1e-3)
    p_kw, q_kvar = feeder.nominal
    assert feeder.solve(p_kw * 0.99 * ours, q_kvar * 0.99 * ours).iterations <= 80


def test_collapse_names_the_weakest_bus_and_what_to_try() -> None:
    feeder = Feeder(case33())
    with pytest.raises(CollapseError) as caught:
        feeder.solve(*scaled(feeder.cell, 4.0))
    assert caught.value.weakest_bus == "17"
    assert "bus 17 is the weakest" in caught.value.why
    assert "it carries 90.5% of it" in caught.value.why
    assert caught.value.exit_code == 5


def test_power_beyond_all_measure_is_a_collapse_too() -> None:
    feeder = Feeder(chain(4))
    with pytest.raises(CollapseError):
        feeder.solve(*scaled(feeder.cell, 1e300))


def test_no_injection_leaves_the_no_load_voltages() -> None:
    feeder = Feeder(chain(5))
    state = feeder.solve(np.zeros(4), np.zeros(4))
    assert state.voltage == pytest.approx(np.ones(5), abs=1e-12)
    assert state.iterations == 2
    assert state.links.losses_kw == pytest.approx(0.0, abs=1e-12)


def test_a_network_without_assets_is_solved() -> None:
    feeder = Feeder(structs.replace(chain(5), customers=()))
    nothing = np.zeros(0)
    assert feeder.solve(nothing, nothing).voltage == pytest.approx(np.ones(5))
    steps = feeder.solve_steps(np.zeros((3, 0)), np.zeros((3, 0)))
    assert steps.voltage == pytest.approx(np.ones((3, 5)))
    assert steps.converged.all()


def test_no_steps_give_no_rows() -> None:
    feeder = Feeder(chain(3))
    steps = feeder.solve_steps(np.zeros((0, 2)), np.zeros((0, 2)))
    assert steps.voltage.shape == (0, 3)
    assert steps.links.losses_kw.shape == (0,)
