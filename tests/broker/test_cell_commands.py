"""The commands of a cell where none runs: what they say, and with which code they end."""

import json
import tempfile
from pathlib import Path

import pytest
from tests.broker.conftest import Run

from peercell.broker import doctor
from peercell.broker.terminal.params import duration


def test_to_end_what_does_not_run_is_no_error(run: Run) -> None:
    result = run("down")
    assert (result.code, result.out) == (0, "")
    assert result.err == "nothing to do: a cell does not run under run/\n"
    assert json.loads(run("down", "village", "-o", "json").out) == []


def test_a_stale_lock_is_tidied_up(run: Run, tmp_path: Path) -> None:
    lock = tmp_path / "run" / "old" / "cell.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text('{"pid": 1, "started": "2026-11-02T14:02:00Z", "config": "old.toml"}')
    (row,) = json.loads(run("ps", "-o", "json").out)
    assert (row["peer"], row["state"], row["reason"]) == (
        "supervisor",
        "stale",
        "it has ended; peercell down old",
    )
    assert run("down").out == 'cell "old" has ended\n'
    assert not lock.exists()


@pytest.mark.parametrize("command", [["status"], ["logs"], ["status", "village"]])
def test_a_cell_that_does_not_run_ends_with_4(run: Run, command: list[str]) -> None:
    result = run(*command)
    assert (result.code, result.out) == (4, "")
    assert result.err.startswith("peercell: ")
    assert "  try: peercell " in result.err


def test_a_log_that_is_not_there(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "old"
    folder.mkdir(parents=True)
    (folder / "mg1.trader.log").write_text("".join(f"line {k}\n" for k in range(30)))
    result = run("logs", "mg9", "--cell", "old")
    assert result.code == 1
    assert result.err.startswith('peercell: no log: there is no peer "mg9"')
    shown = run("logs", "--cell", "old", "--lines", "2")
    assert shown.out == "mg1.trader | line 28\nmg1.trader | line 29\n"


def test_waiting_in_vain_ends_with_5_and_says_for_what(run: Run) -> None:
    result = run("wait", "converged", "--timeout", "0s")
    assert result.code == 5
    assert result.err.splitlines()[:2] == [
        "peercell: the cell is not converged after 0 s",
        "  why: no cell runs under run/",
    ]


def test_waiting_for_the_end_of_nothing_is_done(run: Run) -> None:
    assert run("wait", "down").code == 0


def test_a_wrong_config_starts_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        'name = "a"\ngrid = "rural9"\n[clock]\nstart = 2016-05-28T06:00:00\n'
    )
    result = run("up", "a.toml")
    assert result.code == 1
    assert "a.toml:2" in result.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("10s", 10.0), ("2m", 120.0), ("1.5", 1.5), ("1 h", 3600)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


def test_no_duration(run: Run) -> None:
    result = run("wait", "up", "--timeout", "soon")
    assert result.code == 2
    assert "'soon' is not a duration; write it as 250ms, 10s or 2m" in result.err


def test_a_healthy_machine(run: Run) -> None:
    with tempfile.TemporaryDirectory() as home:
        found = json.loads(run("--home", home, "doctor", "-o", "json").out)
    health = {each["check"]: each["health"] for each in found}
    assert list(health) == [
        "versions", "folder", "disk", "memory", "files", "loopback", "processes", "timers",
    ]  # fmt: skip
    # How full and how busy the machine of a test is, nobody knows.
    sure = {check: health[check] for check in ("versions", "folder", "loopback", "processes")}
    assert set(sure.values()) == {"ok"}
    assert all(each["fix"] for each in found if each["health"] != "ok")


def test_a_small_machine_is_told_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DISK_GB_MIN", 1e9)
    monkeypatch.setattr(doctor, "PEERS_MIN", 10**9)
    monkeypatch.setattr(doctor, "LATE_MS_MAX", -1.0)
    with tempfile.TemporaryDirectory() as home:
        result = run("--home", home, "doctor", "-o", "json")
    warned = {each["check"]: each["fix"] for each in json.loads(result.out)}
    assert result.code == 0
    assert warned["memory"] == "--pack 10"
    assert warned["files"] == "ulimit -n 4096"
    assert "trading.round_s" in warned["timers"]
    assert "PEERCELL_HOME" in warned["disk"]


def test_a_folder_in_which_no_cell_can_run_ends_with_3(run: Run, tmp_path: Path) -> None:
    result = run("--home", str(tmp_path / ("long" * 30)), "doctor", "-o", "json")
    assert result.code == 3
    (folder,) = (each for each in json.loads(result.out) if each["check"] == "folder")
    assert folder["health"] == "fail"
    assert "set PEERCELL_HOME to a shorter folder" in folder["fix"]
