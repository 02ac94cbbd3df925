"""`peercell sweep`: the same runs whatever happens to the one that does them, each done once."""

import contextlib
import csv
import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.broker.configs import MINIMAL
from tests.broker.conftest import Run

from peercell.agents.errors import PeercellError
from peercell.broker.configuration.setting import axis
from peercell.broker.sweeps.engines import Engine, outcomes
from peercell.broker.sweeps.progress import LINE_S, ProgressLine, Tally
from peercell.broker.sweeps.sweep import (
    Case,
    Finished,
    SweepOrder,
    case_count,
    cases,
    check_order,
    config_hash,
    run_case,
    run_seed,
)

ROOT = Path(__file__).parents[3]
WAIT_S = 60.0
TINY = MINIMAL.replace("intervals = 8", "intervals = 1")
LOSS = ("--set", "network.loss=0,30%", "--seeds", "3")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a config of one interval in the working folder of `run`."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def lines(folder: Path) -> list[str]:
    """Return what is written of the finished runs, in whatever order they ended."""
    return sorted((folder / "runs.jsonl").read_text().splitlines())


def order(*axes: str, seeds: int = 1) -> SweepOrder:
    """Return the order of a sweep of a config that nobody reads."""
    return SweepOrder(config=Path("x.toml"), axes=tuple(map(axis, axes)), seeds=seeds)


def of_order(wanted: SweepOrder) -> list[Case]:
    """Return all runs of a sweep."""
    return [*cases(wanted, "")]


def test_each_value_goes_with_each_and_all_get_the_same_seeds() -> None:
    wanted = order("a=1,2", "b=x,y,z", seeds=2)
    found = of_order(wanted)
    assert [case.number for case in found] == [*range(case_count(wanted))] == [*range(12)]
    assert [str(each) for each in found[4].settings] == ["a=2", "b=y"]
    assert found[4].settings == found[10].settings
    assert {case.seed for case in found[:6]} == {run_seed(1, 0)}
    assert {case.seed for case in found[6:]} == {run_seed(1, 1)}


@given(st.integers(1, 20), st.integers(1, 20))
def test_more_seeds_add_runs_behind_those_that_are_there(seeds: int, more: int) -> None:
    few, many = (order("a=1,2,3", seeds=count) for count in (seeds, seeds + more))
    assert of_order(many)[: case_count(few)] == of_order(few)


def test_seeds_differ_between_sweeps_and_within_one() -> None:
    seeds = {run_seed(sweep, place) for sweep in range(50) for place in range(50)}
    assert len(seeds) == 2500
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_a_run_is_what_peercell_run_prints(run: Run, config: Path) -> None:
    wanted = SweepOrder(config=config, axes=(axis("network.loss=30%"),))
    (case,) = cases(wanted, config_hash(config))
    found = run_case(case)
    assert isinstance(found, Finished)
    words = ("--sim", "--set", "network.loss=30%", "--seed", f"{case.seed}", "-o", "json")
    assert found.result == json.loads(run("run", str(config), *words).out)
    (interval,) = found.intervals
    (residuals,) = found.residuals_eur_per_kwh
    assert len(residuals) == interval.rounds == found.result["rounds_max"]
    assert residuals[-1] is not None
    assert residuals[-1] < 1e-6


def test_the_results_are_the_same_for_any_number_of_jobs(
    run: Run, config: Path, tmp_path: Path
) -> None:
    for jobs in ("1", "2"):
        result = run("sweep", str(config), *LOSS, "--jobs", jobs, "--out", jobs, "-o", "json")
        assert result.code == 0, result.err
        told = json.loads(result.out)
        assert (told["runs"], told["done"], told["failed"]) == (6, 6, 0)
        assert [row["network.loss"] for row in told["settings"]] == [0.0, 0.3]
        assert [row["converged"] for row in told["settings"]] == [3, 3]
        assert result.err.splitlines()[-2].startswith(" 6 runs · 6 done · ")
    one, two = (lines(tmp_path / jobs) for jobs in ("1", "2"))
    assert one == two
    assert len(one) == 6


def test_what_is_there_is_not_run_again(run: Run, config: Path, tmp_path: Path) -> None:
    words = ("sweep", str(config), "--set", "network.loss=0,30%", "--out", "a")
    assert run(*words).code == 0
    before = (tmp_path / "a" / "runs.jsonl").read_bytes()
    again = run(*words)
    assert again.code == 0
    assert again.err.splitlines()[0] == " 2 runs · 2 done"
    assert (tmp_path / "a" / "runs.jsonl").read_bytes() == before
    assert run(*words, "--seeds", "2").code == 0
    assert (tmp_path / "a" / "runs.jsonl").read_bytes().startswith(before)
    assert len(lines(tmp_path / "a")) == 4
    fewer = json.loads(run(*words, "-o", "json").out)
    assert (fewer["done"], [row["runs"] for row in fewer["settings"]]) == (2, [1, 1])


def test_a_sweep_that_was_killed_goes_on_and_comes_to_the_same(
    run: Run, config: Path, tmp_path: Path
) -> None:
    killed = _begin_and_end(config, tmp_path / "killed", signal.SIGKILL)
    assert killed == -signal.SIGKILL
    runs = tmp_path / "killed" / "runs.jsonl"
    with runs.open("a") as file:
        file.write('{"run":5,"settings":{"netw')  # what a crash of the machine may leave
    assert 0 < len(runs.read_text().splitlines()) - 1 < 6
    assert run("sweep", str(config), *LOSS, "--out", "killed").code == 0
    assert run("sweep", str(config), *LOSS, "--out", "whole").code == 0
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")


def test_an_interrupted_sweep_keeps_what_is_finished(config: Path, tmp_path: Path) -> None:
    assert _begin_and_end(config, tmp_path / "a", signal.SIGINT) == 130
    assert 0 < len(lines(tmp_path / "a")) < 6


def _begin_and_end(config: Path, out: Path, number: signal.Signals) -> int:
    """Return how a sweep ends to which a signal is sent after its first run; no process stays."""
    words = [sys.executable, "-P", "-m", "peercell", "sweep", str(config), *LOSS, "--jobs", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    began = subprocess.Popen(
        [*words, "--out", str(out)], env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _await(lambda: (out / "runs.jsonl").exists() and bool(lines(out)))
        began.send_signal(number)
        code = began.wait(WAIT_S)
        _await(lambda: not _alive(began.pid))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(began.pid, signal.SIGKILL)
        began.wait(WAIT_S)
    return code


def _alive(group: int) -> list[str]:
    """Return the states of the processes of a group that are none of them dead."""
    states = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                states.append(state)
    return states


def _await(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def test_a_process_that_is_killed_ends_the_sweep_with_a_reason(config: Path) -> None:
    def kill() -> None:
        for child in multiprocessing.active_children():
            child.kill()

    wanted = cases(SweepOrder(config=config, seeds=4), config_hash(config))
    with pytest.raises(PeercellError, match="a process of the sweep was killed"):
        list(outcomes(Engine.LOCAL, wanted, 1, kill))
    assert not multiprocessing.active_children()


def test_runs_that_cannot_be_done_are_listed_and_tried_again(
    run: Run, config: Path, tmp_path: Path
) -> None:
    words = ("sweep", str(config), "--set", "clock.speed=60.0,100000.0", "--out", "a")
    for _ in range(2):
        result = run(*words, "-o", "json")
        assert result.code == 1
        assert (json.loads(result.out)["done"], json.loads(result.out)["failed"]) == (1, 1)
        assert "2 runs · 1 done · 1 failed (a/failed.csv) · " in result.err
        with (tmp_path / "a" / "failed.csv").open() as file:
            (row,) = csv.DictReader(file)
        assert (row["run"], row["clock.speed"]) == ("1", "100000.0")
        assert "traders have time for" in row["reason"]


def test_a_config_that_changes_while_a_sweep_runs_fails_its_runs(config: Path) -> None:
    (case,) = cases(SweepOrder(config=config), config_hash(config))
    config.write_text(TINY.replace("06:00", "07:00"))
    found = run_case(case)
    assert not isinstance(found, Finished)
    assert found.reason == f"{config} has changed since the sweep began"


@pytest.mark.parametrize(
    ("words", "what", "why"),
    [
        (["--set", "network.loss=0,20%"], "list of --set values", "[[0,0.2]], here [[0,0.3]]"),
        (["--set", "network.jitter=0"], "set of --set keys", '"jitter"'),
        (["--set", "network.loss=0,30%", "--seed", "2"], "--seed", "it is 2, here 1"),
        (
            ["--set", "network.loss=0,30%", "--day", "2016-05-28"],
            "day",
            'it is "2016-05-28", here null',
        ),
    ],
)
def test_a_folder_holds_one_sweep(
    run: Run, config: Path, words: list[str], what: str, why: str
) -> None:
    # A sweep that has ended before its first run.
    assert run("sweep", str(config), *words, "--out", "a", "--engine", "ray").code == 3
    result = run("sweep", str(config), "--set", "network.loss=0,30%", "--out", "a")
    assert result.code == 1
    assert result.err.splitlines()[0] == f"peercell: a holds a sweep with another {what}"
    assert why in result.err


@pytest.fixture(autouse=True)
def _without_ray(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setitem(sys.modules, "ray", None)


def test_another_config_is_another_sweep_but_another_comment_is_not(run: Run, config: Path) -> None:
    words = ("sweep", str(config), "--out", "a")
    assert run(*words).code == 0
    config.write_text(f"# A comment.\n{TINY}")
    assert run(*words).code == 0
    config.write_text(TINY.replace("06:00", "07:00"))
    result = run(*words)
    assert result.code == 1
    assert result.err.splitlines()[0] == "peercell: a holds a sweep with another config"
    assert result.err.splitlines()[2].startswith("  try: another --out")


def test_two_sweeps_cannot_work_in_one_folder(run: Run, config: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with (tmp_path / "a" / "runs.jsonl").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        result = run("sweep", str(config), "--out", "a")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("peercell: another process works in a\n")


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (["network.los=0,1"], 1, '--set network.los=0: unknown key "network.los" (did you mean'),
        (["network.loss=0,2"], 1, '--set network.loss=2: "network.loss" cannot be 2'),
        (["network.loss=0:1:0"], 2, "never comes from its first value to its last"),
        (["peers.'mg2.c9'.retry=1"], 1, "unknown key \"peers.'mg2.c9'.retry\" (did you mean"),
        (["seed=1,2"], 1, "the seeds of a sweep are not set"),
        (["network.loss=0", "network.loss=1"], 1, "network.loss is set twice"),
        (["network.loss=0:1:0.001", "network.jitter=0:1:0.001"], 1, "has 1002001 runs"),
    ],
)
def test_mistakes_are_told_before_anything_is_run(
    run: Run, config: Path, words: list[str], code: int, what: str
) -> None:
    settings = [part for word in words for part in ("--set", word)]
    result = run("sweep", str(config), *settings, "--out", "a")
    assert (result.code, result.out) == (code, "")
    assert what in result.err.splitlines()[0]
    assert not (config.parent / "a").exists()


def test_a_day_and_its_times_do_not_go_together() -> None:
    wanted = SweepOrder(
        config=ROOT / "configs/rural1.toml",
        day=date(2016, 5, 28),
        axes=(axis("clock.intervals=1,2"),),
    )
    with pytest.raises(PeercellError, match="does not go with --day"):
        check_order(wanted)


def test_without_ray_the_extra_is_named(run: Run, config: Path) -> None:
    result = run("sweep", str(config), "--engine", "ray", "--out", "a")
    assert result.code == 3
    assert [line for line in result.err.splitlines() if not line.startswith(" 1 run")] == [
        "peercell: a sweep on Ray needs the extra [ray]",
        "  why: its libraries are not installed in this environment",
        "  try: ./peercell setup ray     or: pip install 'peercell[ray]'",
    ]


def test_without_mesa_the_extra_is_named_before_anything_is_run(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mesa", None)
    result = run("sweep", str(config), "--out", "a")
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("peercell: a sweep needs the extra [sim]\n")
    assert not (config.parent / "a").exists()


@pytest.mark.slow
def test_ray_comes_to_the_same(run: Run, config: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra [ray]")
    for engine in Engine:
        words = ("--jobs", "2", "--engine", engine, "--out", engine)
        assert run("sweep", str(config), *LOSS, *words).code == 0
    assert lines(tmp_path / "ray") == lines(tmp_path / "local")


@pytest.mark.parametrize(
    ("done", "ended", "elapsed_s", "text"),
    [
        (0, "", 0.0, "300 runs · 0 done"),
        (212, "", 3.0, "300 runs · 212 done"),
        (209, "ddd", 1.5, "300 runs · 212 done · 2 runs/s · about 44 s left"),
        (
            100,
            "d" * 112 + "fff",
            60.0,
            "300 runs · 212 done · 3 failed (a/failed.csv) · 1.9 runs/s · about 44 s left",
        ),
        (0, "d", 10.0, "300 runs · 1 done · 0.1 runs/s · about 50 min left"),
        (0, "d", 100.0, "300 runs · 1 done · 0.01 runs/s · about 8 h left"),
        (299, "d", 1.0, "300 runs · 300 done · 1 runs/s · none left"),
    ],
)
def test_progress_is_told_in_a_line(done: int, ended: str, elapsed_s: float, text: str) -> None:
    tally = Tally(300, done, "a/failed.csv")
    for each in ended:
        tally.count(done=each == "d")
    assert tally.text(elapsed_s) == text


def test_elsewhere_than_on_a_terminal_a_line_comes_every_few_seconds() -> None:
    said: list[str] = []
    tally = Tally(3, 0, "a/failed.csv")
    now_s = 0.0
    with ProgressLine(tally, said.append, clock=lambda: now_s) as line:
        for _ in range(3):
            now_s += LINE_S / 2.0
            tally.count(done=True)
            line.show()
    assert said == [
        " 3 runs · 2 done · 0.4 runs/s · about 2 s left",
        " 3 runs · 3 done · 0.4 runs/s · none left",
    ]


def test_results_that_are_damaged_are_told(run: Run, config: Path, tmp_path: Path) -> None:
    assert run("sweep", str(config), "--out", "a").code == 0
    path = tmp_path / "a" / "runs.jsonl"
    path.write_text("{}\n" + path.read_text())
    result: Any = run("sweep", str(config), "--out", "a")
    assert result.code == 1
    assert result.err.splitlines() == [
        "peercell: a/runs.jsonl:1 is no run of a sweep",
        "  why: Object missing required field `run`",
        "  try: another --out, if another version of peercell wrote it",
    ]
