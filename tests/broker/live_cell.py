"""A cell of real processes for tests: how it is called, looked at and hurt."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.broker.conftest import Run

ROOT = Path(__file__).parents[2]
# A quarter of an hour takes 2.5 s, half of the demo's.
FAST = (
    ("speed = 180.0", "speed = 360.0"),
    ("round_s = 0.03", "round_s = 0.02"),
    ("intervals = 8", "intervals = 24"),
)


@dataclass(frozen=True)
class Cell:
    """A running cell; `json` calls a command on it and reads its answer."""

    run: "Run"
    home: Path

    def json(self, *args: str) -> Any:
        """Return what a command says of it."""
        result = self.run("--home", str(self.home), *args, "-o", "json")
        assert result.code == 0, result.err
        return json.loads(result.out)

    def peers(self) -> dict[str, Any]:
        """Return the rows of `ps` by peer."""
        return {row["peer"]: row for row in self.json("ps")}

    def kill(self, peer: str) -> None:
        """End the process of a peer as a crash would."""
        os.kill(self.peers()[peer]["pid"], signal.SIGKILL)


def fast_config() -> str:
    """Return the config of the demo, made faster and longer."""
    text = (ROOT / "configs" / "rural1.toml").read_text()
    for slow, fast in FAST:
        assert slow in text
        text = text.replace(slow, fast)
    return text


def command(home: Path, *words: str) -> list[str]:
    """Return the words that call peercell in a process of its own."""
    return [sys.executable, "-m", "peercell", "--home", str(home), *words]


def environment() -> dict[str, str]:
    """Return the environment in which that finds the code under test."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def begin(home: Path, *words: str) -> "subprocess.Popen[str]":
    """Start peercell in a process of its own; to be used in a `with` block."""
    # Tests that run in the background of a shell have an ignored SIGINT, which a child would keep.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            command(home, *words),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def until(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    """Return when a condition holds; the state of processes comes by asking for it."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def runs(pid: int) -> bool:
    """Return whether a process is there and not only waiting to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
