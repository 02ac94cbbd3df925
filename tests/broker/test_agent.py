"""What a process of a cell loads, and what it says when it cannot find what it is told to load."""

import subprocess
import sys

import pytest

from peercell.agents.errors import PeercellError
from peercell.broker.agent import find

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
    code = "import sys, peercell.broker.starter; print(*sys.modules)"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    loaded = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "zmq" in loaded
    assert {name for name in loaded if name in HEAVY} == set()


def test_a_command_that_asks_a_cell_does_not_load_what_peers_need() -> None:
    code = "import sys, peercell.broker.operate; print(*sys.modules)"
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
