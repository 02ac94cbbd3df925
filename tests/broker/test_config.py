"""The config of a cell: what may be said, what it comes to, and how a slip is told."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.broker.configs import MINIMAL, make_config
from tests.broker.conftest import Run
from tests.broker.village import make_profiles, make_village

from peercell.broker.cells import load_cell, save_cell, shipped_names
from peercell.broker.config import load_grid, read_config
from peercell.broker.configuration.role_tables import PROSUMER, TABLES
from peercell.broker.configuration.settings_table import SettingsTable
from peercell.broker.configuration.starter import starter

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))


def test_a_minimal_config_leaves_the_rest_to_the_defaults(tmp_path: Path) -> None:
    cell = make_config(tmp_path).cell
    assert (cell.name, cell.grid, cell.clock.start) == ("a", "rural1", datetime(2016, 5, 28, 6))
    assert (cell.clock.speed, cell.links, cell.peers) == (60.0, (), {})


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.key)
def test_a_table_of_a_role_that_is_left_out_is_its_default(
    tmp_path: Path, table: SettingsTable[Any]
) -> None:
    assert make_config(tmp_path).table(table, "x") == table.kind()


def test_what_one_prosumer_wants_lies_on_top_of_what_all_want(tmp_path: Path) -> None:
    said = make_config(
        tmp_path,
        """
        [prosumer]
        contract = false
        [prosumer.ev]
        flexible_share = 0.4
        [peers."mg2.c9"]
        contract = true
        ev = {price_eur_per_kwh = 0.7}
        generators = [{power_kw = 5.0, price_eur_per_kwh = 0.2}]
        """,
    )
    default, usual, own = PROSUMER.kind(), said.table(PROSUMER, "x"), said.table(PROSUMER, "mg2.c9")
    assert not usual.contract
    assert usual.ev == structs.replace(default.ev, flexible_share=0.4)
    assert own.contract
    assert own.ev == structs.replace(usual.ev, price_eur_per_kwh=0.7)
    assert [plant.power_kw for plant in own.generators] == [5.0]
    assert own.heat_pump == usual.heat_pump == default.heat_pump


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


def test_the_demo_is_what_its_comments_say(run: Run) -> None:
    (path,) = (path for path in CONFIGS if path.stem == "rural1")
    found = json.loads(run("config", "validate", str(path), "-o", "json").out)
    assert found["start"].startswith("2016-05-28")
    assert found["microgrids"] == 4
    assert found["peers"] == {
        "trader": 4,
        "prosumer": 13,
        "aggregator": 1,
        "dso": 1,
        "voltage": 14,
        "grid": 1,
    }
    assert found["interval_real_s"] == 5.0


@pytest.mark.parametrize("name", shipped_names())
def test_a_first_config_is_valid_with_and_without_its_comments(
    run: Run, tmp_path: Path, name: str
) -> None:
    assert run("config", "init", "study", "--grid", name).code == 0
    assert run("config", "validate", "study/cell.toml").code == 0
    path = tmp_path / "study" / "cell.toml"
    text = path.read_text()
    uncommented = re.sub(r"^# (?=\[|\w+ = )", "", text, flags=re.M)
    assert len(re.findall(r"^\[", uncommented, re.M)) > len(re.findall(r"^\[", text, re.M)) + 2
    path.write_text(uncommented)
    assert run("config", "validate", "study/cell.toml").code == 0


def test_the_comments_of_a_first_config_are_the_defaults(tmp_path: Path) -> None:
    text = starter(load_cell("rural1"), tmp_path)
    uncommented = re.sub(r"^# (?=\[|\w+ = )", "", text, flags=re.M)
    bare, full = make_config(tmp_path, head=text), make_config(tmp_path, head=uncommented)
    assert bare.cell == full.cell
    for table in TABLES:
        assert bare.table(table, "x") == full.table(table, "x")


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
    "unknown key of a role": Mistake(
        "[trading]\nround = 1.0\n",
        'cell.toml:7: unknown key "trading.round" (did you mean "trading.round_s"?)',
    ),
    "key that the plan fills in": Mistake(
        '[trading]\nroster = ["a"]\n', 'cell.toml:7: unknown key "trading.roster"', "known here: "
    ),
    "unknown method": Mistake(
        '[trading]\nmethod = "admm"\n',
        'cell.toml:7: "trading.method" cannot be "admm"',
        'expected "rce" or "relax" or "subgradient"',
    ),
    "gate closes before trading opens": Mistake(
        "offers_due = 0.9\n",
        "cell.toml:6: trading must open before the gate closes",
        "offers_due is 0.9, closure 0.8",
    ),
    "no time to trade": Mistake(
        "speed = 3600.0\n",
        "cell.toml:6: traders have time for 3 rounds in an interval, and need 40",
        "it takes 0.25 s of real time, in which they trade for 0.15 s with 0.05 s a round",
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
    "unknown peer": Mistake(
        '[peers."mg1.c11"]\ncontract = false\n',
        "cell.toml:6: unknown key \"peers.'mg1.c11'\" (did you mean \"peers.'mg1.c1'\"?)",
    ),
    "peer without a table": Mistake(
        '[peers."mg1.trader"]\nround_s = 1.0\n',
        'cell.toml:6: "mg1.trader" has no table of its own',
        "share [trading] and [wholesale]",
    ),
    "unknown key of a peer": Mistake(
        '[peers."mg1.c1"]\nround_s = 1.0\n',
        "cell.toml:7: unknown key \"peers.'mg1.c1'.round_s\"",
    ),
    "link to nobody": Mistake(
        '[[links]]\nseller = "mg1.trader"\nbuyer = "mg9.trader"\n',
        'cell.toml:8: there is no member of the market "mg9.trader"',
        "did you mean",
    ),
    "link to oneself": Mistake(
        '[[links]]\nseller = "mg1.trader"\nbuyer = "mg1.trader"\n',
        'cell.toml:6: "mg1.trader" cannot sell to itself',
    ),
    "group with a stranger": Mistake(
        '[[market_cells]]\nname = "x"\nmembers = ["mg1.trader", "mg1.c1"]\n',
        'cell.toml:8: there is no member of the market "mg1.c1"',
        "did you mean mg1.trader",
    ),
    "groups that share all their links": Mistake(
        '[[market_cells]]\nname = "x"\nmembers = ["mg1.trader", "mg2.trader"]\n'
        '[[market_cells]]\nname = "y"\nmembers = ["mg2.trader", "mg1.trader"]\n',
        'cell.toml:9: the members of "y" have no link that is not in a group before it',
    ),
    "groups of one name": Mistake(
        '[[market_cells]]\nname = "x"\nmembers = ["mg1.trader", "mg2.trader"]\n'
        '[[market_cells]]\nname = "x"\nmembers = ["mg2.trader", "mg3.trader"]\n',
        'cell.toml:10: two groups are called "x"',
    ),
    "wholesale that pays more than it asks": Mistake(
        "[wholesale]\nfeed_in_eur_per_kwh = 0.5\n",
        'cell.toml:6: this does not fit "aggregator"',
        "it buys at 0.5 EUR/kWh and sells at 0.3",
    ),
    "prices of another number of intervals": Mistake(
        "[wholesale]\nretail_eur_per_kwh = [0.3, 0.2]\n",
        'cell.toml:6: this does not fit "aggregator"',
        "2 prices for a market of 8 intervals",
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
