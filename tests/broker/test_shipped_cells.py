"""The commands on the shipped cells: the examples of every help page run, and the numbers hold."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
from tests.broker.conftest import Run
from tests.broker.test_cli import COMMANDS, LIVE, NO_DATA, OWN_INPUT

from peercell.broker.cells import load_cell, save_cell, shipped_names

CONFIGS = Path(__file__).parents[2] / "configs"
INSTANCE = Path(__file__).parents[1] / "reference" / "trading" / "ring4.json"
CASE = Path(__file__).parents[1] / "reference" / "control" / "semiurb4-ov.json"
EXAMPLES = [
    example
    for path, leaf, _ in COMMANDS
    if path not in NO_DATA | LIVE | OWN_INPUT
    for example in getattr(leaf, "examples", ())
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_help_run(run: Run, tmp_path: Path, example: str) -> None:
    loaded = load_cell("rural1")
    save_cell(loaded.cell, loaded.profiles, tmp_path / "my-cell")
    shutil.copytree(CONFIGS, tmp_path / "configs")
    shutil.copy(INSTANCE, tmp_path / "ring.json")
    shutil.copy(CASE, tmp_path / "suburb.json")
    result = run(*shlex.split(example)[1:])
    assert (result.code, "peercell:" in result.err) == (0, False)


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_cell_passes_its_check(run: Run, name: str) -> None:
    result = run("grid", "check", name, "-o", "json")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out)["warnings"] == []


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("rural1 --date 2016-05-28", (1.0749, 6, "trafo-0", 204, 25)),
        ("semiurb4 --date 2016-05-28", (1.0776, 8, "line-34", 124, 23)),
        ("rural3 --date 2016-07-23", (1.0716, 30, "trafo-0", 108, 22)),
    ],
)
def test_the_days_that_need_control(
    run: Run, command: str, expected: tuple[float, int, str, int, int]
) -> None:
    """Highest voltage, buses above the limit, what is loaded most and how much, steps violated."""
    day = json.loads(run("grid", "day", *command.split(), "-o", "json").out)
    over = [episode for episode in day["episodes"] if episode["kind"] == "over_voltage"]
    most = day["loading_max"]
    assert expected == (
        round(day["v_max"]["value"], 4),
        max(len(episode["elements"]) for episode in over),
        most["element"],
        round(most["value"]),
        day["violated_steps"],
    )
