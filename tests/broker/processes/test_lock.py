"""One supervisor a cell, whatever its predecessors left behind."""

import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from peercell.broker.processes.lock import CellLock, CellRunsError


def test_a_lock_says_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "cell.lock"
    lock = CellLock(path, "configs/rural1.toml")
    content = json.loads(path.read_text())
    assert content["pid"] == os.getpid()
    assert content["config"] == "configs/rural1.toml"
    assert datetime.fromisoformat(content["started"]).tzinfo is not None
    assert lock.stale == ""
    lock.release()
    assert not path.exists()


def test_a_cell_that_runs_is_not_started_twice(tmp_path: Path) -> None:
    lock = CellLock(tmp_path / "cell.lock", "one")
    with pytest.raises(CellRunsError) as refusal:
        CellLock(tmp_path / "cell.lock", "two")
    assert f'"pid":{os.getpid()}' in refusal.value.why
    lock.release()


@pytest.mark.parametrize("left", ['{"pid":1,"started":"","config":""}', "", "not JSON"])
def test_a_lock_without_its_process_is_stale_whoever_has_its_pid_now(
    tmp_path: Path, left: str
) -> None:
    """Process 1 always runs; it holds no lock."""
    path = tmp_path / "cell.lock"
    path.write_text(left)
    lock = CellLock(path, "new")
    assert lock.stale == left
    assert json.loads(path.read_text())["pid"] == os.getpid()
    lock.release()


def test_a_released_cell_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(3):
        CellLock(tmp_path / "cell.lock", "").release()
