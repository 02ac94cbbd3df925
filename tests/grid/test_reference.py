"""Golden power flows: the folders of tests/reference, each with a README naming its source."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
from tests.grid.builders import REFERENCE, case33

from peercell.broker.cells import load_cell
from peercell.grid.admittance import Real
from peercell.grid.compile import compile_network
from peercell.grid.compile.options import CompileOptions
from peercell.grid.feeder import Feeder, State
from peercell.grid.model import AssetKind, Cell
from peercell.grid.topology import Switching

Case = tuple[Cell, Real, Real]


def nominal(cell: Cell) -> Case:
    """Return a cell at the powers that its file states."""
    return (cell, *Feeder(cell).nominal)


def shipped(name: str) -> Callable[[Path], Case]:
    """Return what gives a shipped cell at its nominal powers."""
    return lambda _: nominal(load_cell(name).cell)


def published_case33(_: Path) -> Case:
    """Return the 33-bus feeder from its published table."""
    return nominal(case33())


def cigre_lv_without_pv(_: Path) -> Case:
    """Return the shipped CIGRE cell without the PV that its recipe adds."""
    cell, p_kw, q_kvar = nominal(load_cell("cigre-lv3").cell)
    is_load = np.array([asset.kind is AssetKind.LOAD for asset in cell.assets])
    return cell, p_kw * is_load, q_kvar * is_load


def rural3_at_pv_of_the_source(_: Path) -> Case:
    """Return the shipped cell with the PV that its recipe triples back at its own size."""
    cell, p_kw, q_kvar = nominal(load_cell("rural3").cell)
    tripled = [a.kind is AssetKind.PV and not a.id.startswith("pv-bat") for a in cell.assets]
    assert sum(tripled) == 27
    return cell, np.where(tripled, p_kw / 3.0, p_kw), q_kvar


def compiled(make: Callable[[], Any]) -> Callable[[Path], Case]:
    """Return what compiles a pandapower network, by way of a file."""

    def case(folder: Path) -> Case:
        path = folder / "net.json"
        pp.to_json(make(), str(path))
        made = compile_network(str(path), CompileOptions(), lambda name: Path(name).read_bytes())
        return nominal(made.cell)

    return case


def compiled_simbench(code: str) -> Callable[[Path], Case]:
    """Return what compiles a SimBench network."""

    def case(_: Path) -> Case:
        made = compile_network(f"simbench:{code}", CompileOptions(), lambda _: b"")
        return nominal(made.cell)

    return case


def split_losses(cell: Cell, feeder: Feeder, state: State) -> tuple[float, float]:
    """Return the losses of lines and of transformers in kW."""
    heat = (state.links.from_kva + state.links.to_kva).real
    names = {transformer.id for transformer in cell.transformers}
    is_transformer = np.array([name in names for name in feeder.branch_ids])
    return float(heat[~is_transformer].sum()), float(heat[is_transformer].sum())


def largest_loading_percent(cell: Cell, feeder: Feeder, state: State) -> tuple[float, float]:
    """Return the largest loading of a line and of a transformer in percent."""
    names = {transformer.id for transformer in cell.transformers}
    is_transformer = np.array([name in names for name in feeder.branch_ids])
    loading = state.links.loading * 100.0
    return (
        float(loading[~is_transformer].max(initial=0.0)),
        float(loading[is_transformer].max(initial=0.0)),
    )


@pytest.mark.parametrize(
    ("folder", "make"),
    [
        pytest.param("case33bw", published_case33, id="case33bw, published table"),
        pytest.param("case33bw", shipped("case33"), id="case33bw, shipped"),
        pytest.param("cigre-lv", cigre_lv_without_pv, id="cigre-lv"),
        pytest.param("cigre-mv", compiled(pn.create_cigre_network_mv), id="cigre-mv"),
        pytest.param(
            "cigre-mv-der",
            compiled(lambda: pn.create_cigre_network_mv(with_der="all")),
            id="cigre-mv with all DER",
        ),
        pytest.param("rural1-tomorrow", shipped("rural1"), id="rural1, tomorrow"),
        pytest.param("rural3-tomorrow", rural3_at_pv_of_the_source, id="rural3, tomorrow"),
        pytest.param("mvlv108-tomorrow", shipped("mvlv108"), id="mvlv108, tomorrow"),
        pytest.param(
            "rural1-today",
            compiled_simbench("1-LV-rural1--0-sw"),
            id="rural1, today",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_balanced_cells_reproduce_pandapower(
    folder: str, make: Callable[[Path], Case], tmp_path: Path
) -> None:
    expected = json.loads((REFERENCE / folder / "expected.json").read_text())
    cell, p_kw, q_kvar = make(tmp_path)
    feeder = Feeder(cell)
    state = feeder.solve(p_kw, q_kvar)
    magnitude = np.abs(state.voltage)
    lines, transformers = split_losses(cell, feeder, state)
    line_loading, transformer_loading = largest_loading_percent(cell, feeder, state)
    assert magnitude.min() == pytest.approx(expected["v_min_pu"], abs=1e-8)
    assert magnitude.max() == pytest.approx(expected["v_max_pu"], abs=1e-8)
    at = dict(zip(feeder.node_ids, magnitude, strict=True))
    assert at[expected["v_min_bus"]] == pytest.approx(expected["v_min_pu"], abs=1e-8)
    assert at[expected["v_max_bus"]] == pytest.approx(expected["v_max_pu"], abs=1e-8)
    assert lines == pytest.approx(expected["line_losses_kw"], rel=1e-6)
    assert transformers == pytest.approx(expected.get("transformer_losses_kw", 0.0), rel=1e-6)
    assert state.source_kva.real == pytest.approx(expected["source_kw"], rel=1e-6)
    assert state.source_kva.imag == pytest.approx(expected["source_kvar"], rel=1e-6)
    if not feeder.unrated.all():
        assert line_loading == pytest.approx(expected["line_loading_percent_max"], rel=1e-6)
        assert transformer_loading == pytest.approx(
            expected["transformer_loading_percent_max"], rel=1e-6
        )


def test_the_unbalanced_feeder_reproduces_opendss() -> None:
    expected = json.loads((REFERENCE / "eu-lv" / "expected.json").read_text())
    cell, p_kw, q_kvar = nominal(load_cell("eu-lv").cell)
    feeder = Feeder(cell)
    state = feeder.solve(p_kw, q_kvar)
    magnitude = np.abs(state.voltage)
    assert magnitude.min() == pytest.approx(expected["v_min_pu"], abs=1e-7)
    weakest = feeder.node_ids.index(expected["v_min_bus"])
    assert magnitude[weakest] == pytest.approx(magnitude.min(), abs=1e-9)
    lines, transformers = split_losses(cell, feeder, state)
    assert lines == pytest.approx(expected["line_losses_kw"], rel=1e-5)
    assert lines + transformers == pytest.approx(expected["losses_kw"], rel=1e-5)
    assert state.source_kva.real == pytest.approx(expected["source_kw"], rel=1e-5)
    assert state.source_kva.imag == pytest.approx(expected["source_kvar"], rel=1e-4)


def test_the_best_radial_configuration_of_33_buses_has_the_losses_of_the_literature() -> None:
    # Lines 7, 9, 14, 32 and 37 open (numbered from 1): 139.55 kW, 0.9378 pu.
    cell = case33()
    is_open = {f"switch-line-{number - 1}" for number in (7, 9, 14, 32, 37)}
    feeder = Feeder(cell, Switching(closed={s.id: s.id not in is_open for s in cell.switches}))
    state = feeder.solve(*feeder.nominal)
    assert state.links.losses_kw == pytest.approx(139.5513, abs=5e-4)
    assert np.abs(state.voltage).min() == pytest.approx(0.937819, abs=5e-6)
