"""`peercell results` on a sweep: its tables, its pictures, and each run again by one command."""

import csv
import json
import re
import shlex
import shutil
from datetime import datetime
from pathlib import Path

import pytest
from msgspec import structs
from pyarrow import parquet
from tests.broker.conftest import Run

from peercell.broker.cli import run as run_cli
from peercell.broker.configuration.toml_file import Setting
from peercell.broker.sweeps.folder import SweepFolder
from peercell.broker.sweeps.tables import intervals_table, rounds_table, runs_table, summary
from peercell.broker.terminal.command import Session

TINY = """\
name = "a"
grid = "rural1"
[clock]
start = 2016-05-28T06:00:00
intervals = 2
[telemetry]
journal = false
"""
NAMES = ("converged", "rounds_max")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a config, and a sweep of it: two settings with two seeds each."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "tiny.toml").write_text(TINY)
    words = ["sweep", str(folder / "tiny.toml"), "--set", "network.loss=0,30%", "--seeds", "2"]
    times = ["--set", "clock.start=2016-05-28T06:00:00"]
    assert run_cli(Session(), [*words, *times, "--out", str(folder / "loss"), "-q"]) == 0
    return folder


@pytest.fixture
def here(run: Run, swept: Path, tmp_path: Path) -> Path:
    """Return the working folder of `run`, with the sweep in it."""
    shutil.copytree(swept, tmp_path, dirs_exist_ok=True)
    note = tmp_path / "loss" / "sweep.json"
    note.write_text(note.read_text().replace(str(swept), str(tmp_path)))
    return tmp_path


def test_ls_lists_the_runs_of_a_sweep(run: Run, here: Path) -> None:
    rows = json.loads(run("results", "ls", "loss", "-o", "json").out)
    assert [row["run"] for row in rows] == [0, 1, 2, 3]
    assert [row["network.loss"] for row in rows] == [0.0, 0.3, 0.0, 0.3]
    assert [row["seed"] for row in rows[::2]] == [row["seed"] for row in rows[1::2]]
    assert all(row["converged"] and row["settled"] == 2 for row in rows)
    header = run("results", "ls", "loss").out.splitlines()[0].split()
    assert header[:3] == ["RUN", "NETWORK.LOSS", "CLOCK.START"]
    written = run("results", "ls", "loss", "-o", "csv").out.splitlines()
    assert [row["network.loss"] for row in csv.DictReader(written)] == ["0", "0.3", "0", "0.3"]


def test_show_takes_a_sweep_and_one_of_its_runs(run: Run, here: Path) -> None:
    rows = json.loads(run("results", "show", "loss", "-o", "json").out)
    assert [(row["network.loss"], row["runs"], row["converged"]) for row in rows] == [
        (0.0, 2, 2),
        (0.3, 2, 2),
    ]
    shown = json.loads(run("results", "show", "loss/0003", "-o", "json").out)
    listed = json.loads(run("results", "ls", "loss", "-o", "json").out)[3]
    assert {name: shown["verdict"][name] for name in NAMES} == {n: listed[n] for n in NAMES}
    assert [row["interval"] for row in shown["intervals"]] == [0, 1]
    assert "converged in all 2 intervals" in run("results", "show", "loss/3").out


def test_repro_prints_the_command_that_repeats_a_run(run: Run, here: Path) -> None:
    told = json.loads(run("results", "repro", "loss/0003", "-o", "json").out)
    words = shlex.split(told["command"])
    assert words[:4] == ["peercell", "run", "tiny.toml", "--sim"]
    again = json.loads(run(*words[1:], "-o", "json").out)
    (found,) = (each for each in SweepFolder(here / "loss").finished() if each.run == 3)
    assert again == found.result
    assert told["same_config"] is True
    assert told["versions"].keys() == {"peercell", "python", "numpy", "mesa"}
    first, *rest = run("results", "repro", "loss/0003").out.splitlines()
    assert first == told["command"]
    assert all(line.startswith("# ") for line in rest), "a shell can be given all of it"


@pytest.mark.parametrize(
    ("text", "same", "words"),
    [(TINY.replace("06:00", "07:00"), False, "another one now"), ("", None, "cannot be read now")],
)
def test_repro_says_when_the_config_is_not_what_it_was(
    run: Run, here: Path, text: str, same: bool | None, words: str
) -> None:
    (here / "tiny.toml").write_text(text)
    told = json.loads(run("results", "repro", "loss/0", "-o", "json").out)
    assert told["same_config"] is same
    assert words in run("results", "repro", "loss/0").out


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "a.b=0.1"),
        (True, "a.b=true"),
        ("dual", "a.b=dual"),
        ("./grids/mine", "a.b=./grids/mine"),
        ("2016-05-28T06:00:00", "a.b=2016-05-28T06:00:00"),
        (datetime(2016, 5, 28, 6), "a.b=2016-05-28T06:00:00"),
        ("1", 'a.b="1"'),
        ("true", 'a.b="true"'),
        ("a,b", 'a.b="a,b"'),
    ],
)
def test_a_setting_is_written_as_it_is_read(value: object, text: str) -> None:
    assert str(Setting(("a", "b"), value)) == text


def test_the_tables_of_a_sweep_are_exported(run: Run, here: Path) -> None:
    assert run("results", "export", "loss", "--out", "t", "--format", "parquet").code == 0
    found = {path.stem: parquet.read_table(path) for path in (here / "t").iterdir()}
    assert {name: table.num_rows for name, table in found.items()} == {
        "runs": 4,
        "intervals": 8,
        "rounds": sum(found["intervals"].column("rounds").to_pylist()),
    }
    types = {field.name: str(field.type) for field in found["rounds"].schema}
    assert types == {
        "run": "int64",
        "network.loss": "double",
        "clock.start": "string",
        "seed": "int64",
        "interval": "int64",
        "round": "int64",
        "residual_eur_per_kwh": "double",
    }
    result = run("results", "export", "loss/0001", "--out", "one", "--tables", "runs, intervals")
    assert [line.split(": ")[1] for line in result.err.splitlines()] == ["1 rows", "2 rows"]
    with (here / "one" / "intervals.csv").open() as file:
        assert {row["run"] for row in csv.DictReader(file)} == {"1"}


def test_a_table_that_is_not_there_is_told(run: Run, here: Path) -> None:
    result = run("results", "export", "loss", "--out", "t", "--tables", "trades")
    assert (result.code, (here / "t").exists()) == (1, False)
    assert result.err.splitlines() == [
        'peercell: there is no table "trades" here',
        "  why: there are runs, intervals, rounds",
    ]


@pytest.mark.parametrize(
    ("name", "head"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")]
)
def test_residuals_are_drawn_over_rounds(run: Run, here: Path, name: str, head: bytes) -> None:
    words = ("--y", "residual", "--x", "round", "--by", "network.loss", "--band", "p10-p90")
    result = run("results", "plot", "loss", *words, "-o", name)
    assert result.code == 0, result.err
    assert (here / name).read_bytes().startswith(head)
    assert re.fullmatch(rf"{name}: 2 curves from \d+ rows\n", result.err)


def test_equal_sweeps_give_equal_pictures(run: Run, here: Path) -> None:
    for name in ("a.svg", "b.svg"):
        run("results", "plot", "loss", "--y", "rounds_max", "--x", "network.loss", "-o", name)
    assert (here / "a.svg").read_bytes() == (here / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["repro", "loss/0004"], "there is no run 0004 in loss"),
        (["show", "loss/four"], "there is no run four in loss"),
        (["ls", "none"], "none is no folder of a sweep"),
        (["repro", "none/1"], "none is no folder of a sweep"),
        (["show", "none"], 'there is no run "none" under run/'),
        (
            ["plot", "loss", "--y", "rounds_mx", "--x", "network.loss", "-o", "a.svg"],
            'there is no column "rounds_mx" (did you mean "rounds_max"?)',
        ),
    ],
)
def test_what_is_not_there_is_told(run: Run, here: Path, words: list[str], what: str) -> None:
    result = run("results", *words)
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[0] == f"peercell: {what}"


def test_tables_of_nothing_are_empty(here: Path) -> None:
    assert runs_table([]).rows == intervals_table([]).rows == rounds_table([]).rows == []
    assert summary([]) == []


def test_settings_of_several_kinds_share_a_column(here: Path) -> None:
    first, second, *_ = SweepFolder(here / "loss").finished()
    mixed = [
        structs.replace(first, settings={"a": 1, "b": True, "c": "x"}),
        structs.replace(second, settings={"a": 0.5, "b": 2, "c": [1]}),
    ]
    table = runs_table(mixed)
    kinds = {key: table.columns[key] for key in "abc"}
    assert kinds == {"a": float, "b": str, "c": str}
    assert [[row[key] for key in "abc"] for row in table.rows] == [
        [1, "True", "x"],
        [0.5, "2", "[1]"],
    ]
