"""`peercell ps`: locks of cells whose processes run, or are gone."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.broker.conftest import Run


def _lock(folder: Path, pid: int) -> None:
    folder.mkdir(parents=True)
    lock = {"pid": pid, "started": "2026-11-02T14:02:00+01:00", "config": f"{folder.name}.toml"}
    (folder / "cell.lock").write_text(json.dumps(lock))


def test_a_cell_is_stale_when_its_process_is_gone(run: Run, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    _lock(tmp_path / "run" / "old", gone.pid)
    _lock(tmp_path / "run" / "new", os.getpid())
    cells = json.loads(run("ps", "-o", "json").out)
    assert [(cell["cell"], cell["state"]) for cell in cells] == [
        ("new", "running"),
        ("old", "stale"),
    ]
    assert cells[0] == {
        "cell": "new",
        "state": "running",
        "pid": os.getpid(),
        "started": "2026-11-02T14:02:00+01:00",
        "config": "new.toml",
    }


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
