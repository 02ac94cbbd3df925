"""Published networks compile, and solve to what pandapower finds and the literature reports."""

import numpy as np
import pytest

from peercell.grid.compile import compile_network
from peercell.grid.compile.agreement import DIFFERENCE_PU_MAX
from peercell.grid.compile.options import Compiled, CompileOptions
from peercell.grid.feeder import Feeder, State
from peercell.grid.model import Phase

QUICK = [
    "case33bw",
    "create_cigre_network_lv",
    "create_cigre_network_mv",
    "create_dickert_lv_network",
    "create_kerber_landnetz_freileitung_1",
    "create_synthetic_voltage_control_lv_network",
    "four_loads_with_branches_out",
    "panda_four_load_branch",
    "simple_four_bus_system",
    "simple_mv_open_ring_net",
]
LARGE = [
    "create_kerber_dorfnetz",
    "create_kerber_landnetz_freileitung_2",
    "create_kerber_landnetz_kabel_1",
    "create_kerber_landnetz_kabel_2",
    "create_kerber_vorstadtnetz_kabel_1",
    "create_kerber_vorstadtnetz_kabel_2",
    "ieee_european_lv_asymmetric",
    "kb_extrem_dorfnetz",
    "kb_extrem_dorfnetz_trafo",
    "kb_extrem_landnetz_freileitung",
    "kb_extrem_landnetz_freileitung_trafo",
    "kb_extrem_landnetz_kabel",
    "kb_extrem_vorstadtnetz_1",
    "kb_extrem_vorstadtnetz_2",
    "kb_extrem_vorstadtnetz_trafo_1",
    "kb_extrem_vorstadtnetz_trafo_2",
    "lv_schutterwald",
    "mv_oberrhein",
    "kb_extrem_landnetz_kabel_trafo",
]
WITH_GENERATORS = ["case9", "example_simple"]
MANY_GENERATORS = [
    "case14", "case30", "case4gs", "case5", "case6ww", "case24_ieee_rts", "case57", "case89pegase",
    "case_ieee30", "case_illinois200",
]  # fmt: skip
SIMBENCH = [
    "1-LV-rural1--0-sw",
    "1-LV-rural2--1-no_sw",
    "1-LV-semiurb5--2-sw",
    "1-LV-urban6--2-sw",
    "1-MV-rural--0-sw",
    "1-MV-comm--2-no_sw",
    "1-MVLV-semiurb-5.220-2-sw",
    "1-HV-mixed--2-sw",
    "1-HVMV-urban-2.203-0-no_sw",
]


def compile_named(source: str, options: CompileOptions | None = None) -> Compiled:
    def read(name: str) -> bytes:
        raise FileNotFoundError(2, "No such file", name)

    return compile_network(source, options or CompileOptions(), read)


def solved(source: str) -> tuple[Feeder, State]:
    feeder = Feeder(compile_named(source).cell)
    return feeder, feeder.solve(*feeder.nominal)


@pytest.mark.parametrize(
    "source", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE + SIMBENCH)]
)
def test_distribution_networks_agree_with_pandapower(source: str) -> None:
    found = compile_named(source)
    assert found.agreement.difference_pu <= DIFFERENCE_PU_MAX
    assert found.agreement.point.startswith("all powers at their table values")
    assert found.cell.zones.microgrids or source == "1-HV-mixed--2-sw"


@pytest.mark.parametrize(
    "source",
    [
        *WITH_GENERATORS,
        *(pytest.param(name, marks=pytest.mark.slow) for name in MANY_GENERATORS),
    ],
)
def test_generators_can_be_frozen_as_injections(source: str) -> None:
    found = compile_named(source, CompileOptions(generators_as_injections=True))
    assert found.agreement.difference_pu <= DIFFERENCE_PU_MAX
    assert any("inject a fixed Q" in note for note in found.cell.provenance.notes)


def test_case33bw_gives_the_published_losses() -> None:
    """Baran and Wu 1989: 202.7 kW; the further digits are those of pandapower and MATPOWER."""
    feeder, state = solved("case33bw")
    magnitude = np.abs(state.voltage)
    assert state.links.losses_kw == pytest.approx(202.6771, abs=1e-4)
    assert magnitude.min() == pytest.approx(0.913090, abs=1e-6)
    assert feeder.node_ids[int(magnitude.argmin())] == "17"
    assert state.source_kva == pytest.approx(3917.677 + 2435.141j, abs=1e-3)


def test_cigre_low_voltage_gives_the_figures_of_pandapower() -> None:
    feeder, state = solved("create_cigre_network_lv")
    magnitude = np.abs(state.voltage)
    assert magnitude.min() == pytest.approx(0.912269, abs=1e-6)
    assert magnitude[feeder.node_ids.index("35")] == pytest.approx(magnitude.min(), abs=1e-9)
    assert state.links.losses_kw == pytest.approx(21.8218 + 6.5075, abs=1e-3)
    loading = dict(zip(feeder.branch_ids, 100.0 * state.links.loading, strict=True))
    assert max(loading.values()) == pytest.approx(85.25, abs=0.01)
    lines = [value for name, value in loading.items() if name.startswith("line-")]
    assert max(lines) == pytest.approx(31.72, abs=0.01)
    assert state.source_kva == pytest.approx(714.929 + 318.760j, abs=1e-3)


def test_cigre_medium_voltage_gives_the_figures_of_pandapower() -> None:
    feeder, state = solved("create_cigre_network_mv")
    assert np.abs(state.voltage).min() == pytest.approx(0.922980, abs=1e-6)
    assert state.links.losses_kw == pytest.approx(233.7496 + 69.8322, abs=1e-3)
    loading = dict(zip(feeder.branch_ids, 100.0 * state.links.loading, strict=True))
    assert max(loading.values()) == pytest.approx(101.41, abs=0.01)


@pytest.mark.slow
def test_the_european_feeder_gives_the_losses_that_opendss_finds() -> None:
    """OpenDSS on the same data: 2087.19 W in all, lowest low-voltage phase at 0.996414 pu.

    The remaining difference is OpenDSS's source, which is not stiff.
    """
    feeder, state = solved("ieee_european_lv_asymmetric")
    low = [place for place, node in enumerate(feeder.node_ids) if not node.startswith("0.")]
    assert state.links.losses_kw == pytest.approx(2.08719, abs=1e-5)
    assert np.abs(state.voltage[low]).min() == pytest.approx(0.996414, abs=5e-6)
    assert {asset.phase for asset in feeder.cell.assets} == {Phase.A, Phase.B, Phase.C}


@pytest.mark.parametrize(
    ("code", "v_pu", "losses_kw"),
    [
        ("1-LV-rural1--0-sw", (1.019270, 1.026532), 0.3129 + 1.1281),
        ("1-LV-rural1--2-sw", (None, 1.082833), 8.0588 + 20.7204),
        pytest.param("1-LV-rural3--2-sw", (0.951997, None), None, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_simbench_snapshots_give_the_figures_of_pandapower(
    code: str, v_pu: tuple[float | None, float | None], losses_kw: float | None
) -> None:
    _, state = solved(code)
    magnitude = np.abs(state.voltage)
    for value, expected in zip((magnitude.min(), magnitude.max()), v_pu, strict=True):
        assert expected is None or value == pytest.approx(expected, abs=1e-6)
    assert losses_kw is None or state.links.losses_kw == pytest.approx(losses_kw, abs=1e-3)
