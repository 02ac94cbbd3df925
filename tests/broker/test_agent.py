"""What a process of a cell loads, and what it says when it cannot find what it is told to load."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.broker.live_cell import begin

from peercell.agents.errors import PeercellError
from peercell.broker.agent import find
from peercell.broker.solver_threads import SOLVER_THREADS

HEAVY = {
    "pandapower",
    "cvxpy",
    "scipy",
    "mesa",
    "pandas",
    "matplotlib",
    "asyncio",
    "multiprocessing",
}


def test_a_process_of_a_cell_loads_nothing_heavy() -> None:
    """Hundreds of them run on one machine."""
    code = "import sys, peercell.broker.processes.starter; print(*sys.modules)"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    loaded = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "zmq" in loaded
    assert {name for name in loaded if name in HEAVY} == set()


def test_a_command_that_asks_a_cell_does_not_load_what_peers_need() -> None:
    code = "import sys, peercell.broker.processes.operate; print(*sys.modules)"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    loaded = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "zmq" in loaded
    assert {name for name in loaded if name in HEAVY | {"numpy", "nacl", "msgpack"}} == set()


@pytest.mark.parametrize("reference", ["no.such.module:x", "peercell.agents:nothing", "", "x"])
def test_what_cannot_be_found_is_named(reference: str) -> None:
    with pytest.raises(PeercellError, match=f"cannot find {reference}"):
        find(reference)


def test_what_is_named_is_found() -> None:
    assert find("peercell.broker.agent:find") is find


def test_a_peer_in_the_foreground_solves_in_one_thread(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the peers of a supervisor do, whatever the machine has; threads of ZeroMQ do not solve."""
    for variable in SOLVER_THREADS:
        monkeypatch.delenv(variable, raising=False)
    config = str(tmp_path / "fast.toml")
    words = ["agent", "run", "grid", "--config", config, "--begins", "2126-01-01T00:00:00Z"]
    with begin(home, *words) as peer:
        assert peer.stderr is not None
        said = peer.stderr.readline()
        process = Path("/proc") / str(peer.pid)
        loaded = (process / "maps").read_text()
        names = [(task / "comm").read_text() for task in (process / "task").iterdir()]
        peer.terminate()
        peer.communicate(timeout=10.0)
    assert said.startswith("grid (grid) listens at ")
    assert "blas" in loaded
    assert sum(not name.startswith("ZMQbg") for name in names) == 1
