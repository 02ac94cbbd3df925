"""A command line that runs in the process of the test, and a village to run it on."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.broker.live_cell import Cell, fast_config
from tests.broker.village import make_profiles, make_village

from peercell.broker.cells import save_cell
from peercell.broker.cli import run as run_cli
from peercell.broker.processes.cell_runs import end
from peercell.broker.terminal.command import Session


@dataclass(frozen=True)
class Result:
    """What one call left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Call `peercell` with arguments in an empty folder, without its environment variables."""
    for name in [*os.environ]:
        if name.startswith("PEERCELL_") or name in ("NO_COLOR", "COLUMNS"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def call(*args: str) -> Result:
        capsys.readouterr()
        code = run_cli(Session(), args)
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Return a folder for runs, beside the cell of the demo in a faster version, `fast.toml`.

    Whatever happens in it, nothing stays behind.
    """
    (tmp_path / "fast.toml").write_text(fast_config())
    # The path of a socket has to be short.
    home = Path(tempfile.mkdtemp(prefix="peercell-"))
    try:
        yield home
    finally:
        for run in home.iterdir():
            end(run)
        shutil.rmtree(home)


@pytest.fixture
def cell(run: Run, home: Path) -> Cell:
    """Return the cell of the demo, running."""
    began = run("--home", str(home), "up", "fast.toml")
    assert began.code == 0, began.err
    assert began.out.startswith('cell "rural1": 4 microgrid traders, 13 prosumers')
    return Cell(run, home)


@pytest.fixture
def village(tmp_path: Path) -> Path:
    """Return the folder of the village in the working folder of `run`."""
    save_cell(make_village(), make_profiles(), tmp_path / "village")
    return tmp_path / "village"
