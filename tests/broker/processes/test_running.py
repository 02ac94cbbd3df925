"""Which cells run: locks that a supervisor holds, or left behind; and `peercell ps` of none."""

import fcntl
import json
import os
from pathlib import Path

from tests.broker.conftest import Run

from peercell.broker.processes.running import State, running_cells


def _lock(folder: Path) -> Path:
    folder.mkdir(parents=True)
    path = folder / "cell.lock"
    lock = {
        "pid": os.getpid(),
        "started": "2026-11-02T14:02:00+01:00",
        "config": f"{folder.name}.toml",
    }
    path.write_text(json.dumps(lock))
    return path


def test_a_cell_is_stale_when_nobody_holds_its_lock(tmp_path: Path) -> None:
    _lock(tmp_path / "old")
    with _lock(tmp_path / "new").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        new, old = running_cells(tmp_path)
    assert (new.cell, new.state, new.config) == ("new", State.RUNNING, "new.toml")
    assert (old.cell, old.state, old.pid) == ("old", State.STALE, os.getpid())


def test_nothing_runs(run: Run) -> None:
    result = run("ps")
    assert (result.code, result.out, result.err) == (0, "", "no cell runs under run/\n")
    assert run("ps", "-q").err == ""
    assert run("-q", "ps").err == ""
    assert run("ps", "-o", "json").out == "[]\n"


def test_a_lock_that_no_supervisor_wrote(run: Run, tmp_path: Path) -> None:
    lock = tmp_path / "run" / "odd" / "cell.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text('{"pid": "many"}')
    result = run("ps")
    assert result.code == 1
    assert result.err.splitlines() == [
        "peercell: run/odd/cell.lock is not a lock of a cell",
        "  why: Expected `int`, got `str` - at `$.pid`",
        "  try: rm run/odd/cell.lock",
    ]
