"""The reference cases of voltage control are what their README says, and are read from anywhere."""

from pathlib import Path

import pytest
from tests.reference.control.make import cases

from peercell.broker.solving.control_cases import load_control_case, read_case, save_case
from peercell.grid.controlled_feeder import ControlledFeeder
from peercell.grid.errors import ControlCaseError, UnknownCellError

FOLDER = Path(__file__).parents[2] / "reference" / "control"

# Found by another program (pandapower's admittance matrix, a power flow of its own) from SimBench's
# and pandapower's tables.
LOWEST_PU = {
    "rural1-uv": 0.9280,
    "rural2-uv": 0.9369,
    "rural3-uv": 0.9325,
    "cigre-lv-uv70": 0.940,
    "cigre-lv-uv80": 0.931,
    "cigre-lv-uv90": 0.922,
    "case33-uv": 0.9131,
}

HIGHEST_PU = {
    "rural1-ov": 1.12994,
    "rural2-ov": 1.12306,
    "rural3-ov": 1.12745,
    "semiurb4-ov": 1.09978,
    "cigre-lv-ov": 1.07693,
    "case33-ov": 1.09978,
}


@pytest.mark.parametrize("name", HIGHEST_PU)
def test_a_case_starts_at_the_voltage_that_is_known_of_it(name: str) -> None:
    feeder = ControlledFeeder(load_control_case(FOLDER / f"{name}.json"))
    found = feeder.solve(*feeder.uncontrolled)
    assert float(found.v_pu.max()) == pytest.approx(HIGHEST_PU[name], abs=6e-6)


@pytest.mark.parametrize("name", LOWEST_PU)
def test_a_loaded_case_starts_as_low_as_is_known_of_it(name: str) -> None:
    feeder = ControlledFeeder(load_control_case(FOLDER / f"{name}.json"))
    found = feeder.solve(*feeder.uncontrolled)
    known = LOWEST_PU[name]
    digits = len(str(known)) - 2
    assert round(float(found.v_pu.min()), digits) == known


def test_the_congested_transformer_carries_204_percent() -> None:
    feeder = ControlledFeeder(load_control_case(FOLDER / "rural1-congestion.json"))
    found = feeder.solve(*feeder.uncontrolled)
    assert found.loading_percent == pytest.approx([204.0], abs=0.05)


def test_the_thin_lines_carry_148_and_125_percent() -> None:
    feeder = ControlledFeeder(load_control_case(FOLDER / "rural1-lines.json"))
    found = feeder.solve(*feeder.uncontrolled)
    assert found.loading_percent == pytest.approx([147.7, 124.6], abs=0.05)


def test_the_files_are_those_that_make_writes(tmp_path: Path) -> None:
    for name, case in cases():
        save_case(case, tmp_path / "case.json")
        assert read_case(tmp_path / "case.json") == case
        assert (tmp_path / "case.json").read_bytes() == (FOLDER / f"{name}.json").read_bytes()


def test_a_missing_file_or_cell_is_named(tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    with pytest.raises(ControlCaseError, match=r"case\.json"):
        load_control_case(path)
    for cell in ("nowhere", "./nowhere"):
        path.write_text(f'{{"cell": "{cell}", "devices": [{{"id": "a", "bus": "1"}}]}}')
        with pytest.raises(UnknownCellError, match="nowhere"):
            load_control_case(path)
