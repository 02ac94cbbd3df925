"""A health check reads a file: it is cheap, and says what is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from peercell.broker.hosting.pulse import FILE, OLD_S, beat, check


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cell").mkdir()
    return tmp_path / "cell"


def test_a_host_lives_while_it_says_so(folder: Path) -> None:
    assert "no host" in check(folder.parent, 0.0, ready=False)
    beat(folder, up=2, peers=3)
    now_s = (folder / FILE).stat().st_mtime
    assert check(folder.parent, now_s, ready=False) == ""
    assert check(folder.parent, now_s, ready=True) == "2 of 3 peers are up"
    assert "not said anything" in check(folder.parent, now_s + OLD_S + 1.0, ready=False)
    beat(folder, up=3, peers=3)
    assert check(folder.parent, now_s, ready=True) == ""


def test_the_command_loads_next_to_nothing(folder: Path) -> None:
    beat(folder, up=1, peers=1)
    code = (
        "import sys; from peercell.broker.hosting.pulse import main; code = main(['ready']);"
        "print(len(sys.modules), {'zmq', 'numpy', 'click', 'msgspec'} & set(sys.modules));"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PEERCELL_HOME": str(folder.parent), "PYTHONPATH": "src"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[0] == "ok"
    assert done.stdout.splitlines()[1].endswith("set()")
