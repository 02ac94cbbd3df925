"""A cell in parts that share nothing but a config and a clock: they find each other, and heal."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from tests.broker.cells_for_tests import eventually, is_there

from peercell.broker.sockets import listen

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
# A turn may end in the middle of a test, and the next one begins.
PATIENCE_S = 60.0


def free_port() -> int:
    with listen() as listener:
        return int(listener.getsockname()[1])


class Parts:
    """Hosts of one cell, each with a folder and a loopback address of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.http = free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._port = free_port()

    def start(self, address: str, *places: str) -> None:
        """Start a host of some places."""
        log = (self.folder / f"{address}.log").open("ab")
        words = [sys.executable, "-m", "peercell", "--home", str(self.folder / address), "host"]
        words += ["configs/rural1.toml", *places, "--day", "2016-05-28"]
        words += ["--listen", f"{address}:{self._port if 'broker' in places else 0}"]
        words += ["--seed", f"directory=tcp://127.0.1.1:{self._port}"]
        if "observer" in places:
            words += ["--http", f"127.0.0.1:{self.http}"]
        env = {**os.environ, "PYTHONPATH": "src"}
        with log:
            self.processes[address] = subprocess.Popen(
                words, cwd=ROOT, env=env, stdout=log, stderr=log
            )

    def status(self) -> dict[str, Any]:
        """Return what the observer shows; nothing while it shows nothing."""
        connection = HTTPConnection("127.0.0.1", self.http, timeout=5.0)
        try:
            connection.request("GET", "/status")
            answer = connection.getresponse()
            found: dict[str, Any] = json.loads(answer.read()) if answer.status == 200 else {}
        except OSError:
            return {}
        finally:
            connection.close()
        return found

    def observer_of(self, address: str, peer: str) -> str:
        """Return who gets copies of the facts of a peer; "" for nobody."""
        crew = self.folder / address / "rural1" / "state" / f"{peer}.crew"
        return str(json.loads(crew.read_text())["observer"])

    def converged(self) -> bool:
        """Return whether the observer shows a cell that has converged."""
        return bool(self.status().get("converged"))


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = Parts(tmp_path)
    yield made
    for process in made.processes.values():
        process.terminate()
    for process in made.processes.values():
        process.wait(10.0)


def test_hosts_find_each_other_and_one_that_is_killed_comes_back(parts: Parts) -> None:
    parts.start("127.0.1.3", "mg1", "mg2", "mg3", "mg4")
    parts.start("127.0.1.4", "observer")
    parts.start("127.0.1.1", "broker", "physics", "dso", "aggregator")
    eventually(parts.converged, "the parts do not converge", PATIENCE_S)
    before = parts.status()
    assert parts.observer_of("127.0.1.3", "mg1.trader") == "observer"
    assert parts.observer_of("127.0.1.3", "mg1.c1") == "", "its series would leave the home"
    assert set(before["peers"]) == {"up"}
    killed = parts.processes["127.0.1.3"]
    killed.kill()
    assert killed.wait(10.0) == -signal.SIGKILL
    eventually(lambda: not parts.converged(), "nobody misses four microgrids", PATIENCE_S)
    parts.start("127.0.1.3", "mg1", "mg2", "mg3", "mg4")
    eventually(parts.converged, "the parts do not converge again", PATIENCE_S)
    after = parts.status()
    assert after["settled"]["relative_gap"] < 1e-4
    for process in parts.processes.values():
        process.terminate()
    assert [process.wait(10.0) for process in parts.processes.values()] == [0, 0, 0]
    assert not is_there(killed.pid)
