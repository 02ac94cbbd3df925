"""A Docker engine for tests: what is there, and a cell in containers to be looked at and broken."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from peercell.broker.clock import steady_clock
from peercell.broker.config import load_grid, read_config
from peercell.broker.hosting.turns import turn_at
from peercell.broker.plans.cell import plan_cell

ROOT = Path(__file__).parents[2]
BASE = "python:3.11-slim-bookworm"
BUILD_S_MAX = 1800
RURAL1 = ROOT / "configs/rural1.toml"
# What a run of these tests is called, so that nothing else on the engine is touched.
PROJECT = "peercell-tests"
POLL_S = 0.2


def works(*words: str) -> bool:
    """Return whether a command is there and succeeds."""
    if shutil.which(words[0]) is None:
        return False
    return subprocess.run(words, capture_output=True, timeout=600, check=False).returncode == 0


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Return the finished command, both streams in one text."""
    return subprocess.run(
        words,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_S_MAX,
        check=False,
    )


def done(*words: str) -> str:
    """Return what a command says that has to succeed."""
    finished = run(*words)
    assert finished.returncode == 0, finished.stdout
    return finished.stdout.strip()


def compose_command() -> list[str]:
    """Return the compose command of this machine; skip the test where there is no engine."""
    if not works("docker", "info"):
        pytest.skip("no Docker engine answers on this machine")
    if not works("docker", "image", "inspect", BASE) and not works("docker", "pull", "-q", BASE):
        pytest.skip(f"the base image {BASE} is neither here nor to be pulled")
    for command in (["docker", "compose"], ["docker-compose"]):
        if works(*command, "version"):
            return [*command, "--project-name", PROJECT]
    pytest.skip("neither docker compose nor docker-compose is installed")


def take_down(compose: list[str]) -> None:
    """Remove what an earlier test has left, so that ports and memory are free."""
    done(*compose, "down", "--volumes")


class Shown:
    """What an observer shows at a port of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port

    def status(self) -> dict[str, Any]:
        """Return the picture of the cell; nothing while there is none."""
        found: dict[str, Any] = json.loads(self._get("/status") or "{}")
        return found

    def converged(self) -> bool:
        """Return whether the cell has converged."""
        return bool(self.status().get("converged"))

    def interval(self) -> int:
        """Return the newest interval that all members have settled; -1 for none."""
        settled = self.status().get("settled")
        return int(settled["interval"]) if settled else -1

    def settled_after(self, interval: int, restarts: int = 0) -> bool:
        """Return whether the cell has converged on a later interval, after so many restarts."""
        seen = self.status()
        settled = seen.get("settled")
        if not (seen.get("converged") and settled and settled["interval"] > interval):
            return False
        return bool(seen["totals"]["restarts"] >= restarts)

    def _get(self, path: str) -> str:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5.0) as answer:
                text: str = answer.read().decode()
                return text
        except (HTTPError, URLError, OSError):
            return ""


def await_room(config: Path, day: bool, need_s: float) -> None:
    """Wait until a turn of a cell has so much time left, so that its end is in no test's way."""
    told = read_config(config)
    if day:
        told = told.on(told.cell.clock.start.date())
    count = len(plan_cell(told, load_grid(told), 0.0).peers)
    now_s = steady_clock()()
    left_s = turn_at(told.cell.clock, count, now_s).ends_s - now_s
    if left_s < need_s:
        time.sleep(left_s + 1.0)


def tell(text: str) -> None:
    """Say what was measured, for who runs these tests with `pytest -s`."""
    sys.stdout.write(f"\n{text}\n")


def took_s(ready: Callable[[], bool], within_s: float, otherwise: Callable[[], object]) -> float:
    """Return how long it took until something held; fail when it takes too long."""
    began_s = time.monotonic()
    while not ready():
        assert time.monotonic() - began_s < within_s, otherwise()
        time.sleep(POLL_S)
    return time.monotonic() - began_s
