"""The config of a cell: what may be said, what it comes to, and how a slip is told."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from msgspec import structs
from tests.broker.configs import MINIMAL, make_config
from tests.broker.conftest import Run
from tests.broker.village import make_profiles, make_village

from peercell.broker.cells import load_cell, save_cell, shipped_names
from peercell.broker.config import Telemetry, load_grid, read_config
from peercell.broker.config_starter import starter

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))


def test_a_minimal_config_leaves_the_rest_to_the_defaults(tmp_path: Path) -> None:
    cell = make_config(tmp_path).cell
    assert (cell.name, cell.grid, cell.clock.start) == ("a", "rural1", datetime(2016, 5, 28, 6))
    assert (cell.clock.speed, cell.seed, cell.telemetry) == (60.0, 1, Telemetry())


def test_zones_are_divided_as_the_config_wants(tmp_path: Path) -> None:
    usual = load_grid(make_config(tmp_path)).cell.zones
    coarser = load_grid(make_config(tmp_path, "[zones]\nmin_customers = 13\n")).cell.zones
    assert (len(usual.microgrids), len(coarser.microgrids)) == (4, 1)


@pytest.mark.parametrize("named", ["../village", "./../village", "village", "rural1/../village"])
def test_a_grid_is_found_from_the_folder_of_the_config(tmp_path: Path, named: str) -> None:
    inside = tmp_path / "configs"
    inside.mkdir()
    beside = inside if named == "village" else tmp_path
    save_cell(make_village(), make_profiles(), beside / "village")
    (inside / "rural1").mkdir()
    named = named.replace("rural1/..", "rural1/../..")
    found = load_grid(make_config(inside, head=MINIMAL.replace('"rural1"', f'"{named}"')))
    assert found.cell.name == "village"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_that_comes_along_is_valid(run: Run, path: Path) -> None:
    result = run("config", "validate", str(path), "-o", "json")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert found["cell"] == found["grid"] == path.stem


@pytest.mark.parametrize("name", shipped_names())
def test_a_first_config_is_valid_with_and_without_its_comments(
    run: Run, tmp_path: Path, name: str
) -> None:
    assert run("config", "init", "study", "--grid", name).code == 0
    assert run("config", "validate", "study/cell.toml").code == 0
    path = tmp_path / "study" / "cell.toml"
    text = path.read_text()
    uncommented = re.sub(r"^# (?=\[|\w+ = )", "", text, flags=re.M)
    assert len(re.findall(r"^\[", uncommented, re.M)) > len(re.findall(r"^\[", text, re.M))
    path.write_text(uncommented)
    assert run("config", "validate", "study/cell.toml").code == 0


def test_the_comments_of_a_first_config_are_the_defaults(tmp_path: Path) -> None:
    text = starter(load_cell("rural1"), tmp_path)
    uncommented = re.sub(r"^# (?=\[|\w+ = )", "", text, flags=re.M)
    assert make_config(tmp_path, head=text).cell == make_config(tmp_path, head=uncommented).cell


def test_a_first_config_for_a_cell_of_ones_own(run: Run, village: Path) -> None:
    assert run("config", "init", "my study", "--grid", "village").code == 0
    text = (village.parent / "my study" / "cell.toml").read_text()
    assert 'name = "my-study"\n' in text
    assert 'grid = "./../village"\n' in text
    assert run("config", "validate", "my study/cell.toml").code == 0


def test_a_first_config_starts_when_there_is_most_to_trade(run: Run, tmp_path: Path) -> None:
    run("config", "init", "study", "--grid", "rural1")
    clock = read_config(tmp_path / "study" / "cell.toml").cell.clock
    assert (clock.start, clock.intervals) == (datetime(2016, 5, 28, 6, 30), 16)


def test_a_first_config_replaces_none(run: Run, tmp_path: Path) -> None:
    run("config", "init", ".", "--grid", "rural1")
    before = (tmp_path / "cell.toml").read_text()
    result = run("config", "init", ".", "--grid", "case33")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("peercell: cell.toml is there already\n")
    assert (tmp_path / "cell.toml").read_text() == before


def test_the_schema_comes_as_json_and_as_a_list_of_keys(run: Run) -> None:
    assert json.loads(run("config", "schema").out) == json.loads(
        run("config", "schema", "-o", "json").out
    )
    rows = [json.loads(line) for line in run("config", "schema", "-o", "jsonl").out.splitlines()]
    assert {"table": "[clock]", "key": "speed"}.items() <= next(
        row for row in rows if row["key"] == "speed"
    ).items()


@dataclass(frozen=True)
class Mistake:
    """What somebody wrote below the minimal config (or instead), and what must be said."""

    text: str
    what: str
    why: str = ""
    head: str = MINIMAL


MISTAKES = {
    "unknown key": Mistake(
        "speeed = 2.0\n", 'cell.toml:6: unknown key "clock.speeed" (did you mean "clock.speed"?)'
    ),
    "gate closes before trading opens": Mistake(
        "offers_due = 0.9\n",
        "cell.toml:6: trading must open before the gate closes",
        "offers_due is 0.9, closure 0.8",
    ),
    "unknown cell": Mistake(
        "", "cell.toml:2: there is no cell", "it is not one of", MINIMAL.replace("rural1", "rural9")
    ),
    "no profiles then": Mistake(
        "",
        'cell.toml:4: cell "rural1" has no profiles for 2017-05-28T06:00',
        "they cover 2016-05-23T00:00 to 2016-05-30T00:00",
        MINIMAL.replace("2016", "2017"),
    ),
    "profiles end too early": Mistake(
        "",
        'cell.toml:4: cell "rural1" has no profiles for 2016-05-30T00:00',
        "they cover",
        MINIMAL.replace("intervals = 8", "intervals = 200"),
    ),
    "interval between steps of the profiles": Mistake(
        "interval_s = 1000.0\n",
        "cell.toml:6: an interval of 1000 s does not fit the profiles",
        "they have steps of 900 s",
    ),
    "zones that do not fit": Mistake(
        '[[zones.microgrids]]\nid = "a"\nbuses = ["99"]\n',
        'cell.toml:6: there is no bus "99"',
        "",
    ),
    "not TOML": Mistake("speed =\n", "cell.toml:6: this is not TOML", "invalid value"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=[*MISTAKES])
def test_a_mistake_is_told_with_its_line(run: Run, tmp_path: Path, mistake: Mistake) -> None:
    (tmp_path / "cell.toml").write_text(mistake.head + mistake.text)
    result = run("config", "validate", "cell.toml")
    assert (result.code, result.out) == (1, "")
    first, *others = result.err.splitlines()
    assert first.startswith(f"peercell: {mistake.what}")
    assert mistake.why in "".join(line for line in others if line.startswith("  why: "))
    assert all(line.startswith(("  why: ", "  try: ")) for line in others)


def test_a_file_that_is_no_text_is_no_config(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cell.toml").write_bytes(b'name = "\xff"\n')
    result = run("config", "validate", "cell.toml")
    assert result.err.splitlines()[0] == "peercell: cell.toml is not TOML"


def test_a_cell_without_profiles_has_no_market(run: Run, tmp_path: Path) -> None:
    cell = make_village()
    save_cell(structs.replace(cell, timeline=type(cell.timeline)()), {}, tmp_path / "static")
    result = run("config", "init", "study", "--grid", "static")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith('peercell: cell "village" has no profiles')
    (tmp_path / "cell.toml").write_text(MINIMAL.replace('"rural1"', '"./static"'))
    result = run("config", "validate", "cell.toml")
    assert result.err.startswith('peercell: cell.toml:4: cell "village" has no profiles')
