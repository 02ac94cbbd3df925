"""A cell in containers: it converges, is broken in four ways, and comes back to the same prices."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from tests.containers.engine import (
    PROJECT,
    ROOT,
    RURAL1,
    Shown,
    await_room,
    compose_command,
    done,
    run,
    take_down,
    tell,
    took_s,
)

pytestmark = pytest.mark.slow

UP_S_MAX, KILLED_S_MAX, BACK_S_MAX = 30.0, 10.0, 40.0
MISSED_S_MAX = 30.0
NETWORK = f"{PROJECT}_rural1"
LINE = re.compile(r"^ +(\d+) +\d\d:\d\d +\d+ +([\d.]+) \.\. ([\d.]+) ", re.M)


class Cell:
    """The cell of the Compose file, up and running."""

    def __init__(self, compose: list[str]) -> None:
        self._compose = compose
        self.began_s = time.monotonic()
        self.shown = Shown(8080)

    def container(self, service: str) -> str:
        """Return the id of the container of a service."""
        return done(*self._compose, "ps", "-q", service)

    def pid(self, service: str, peer: str) -> int:
        """Return the process of a peer, as its container counts them."""
        words = ("docker", "exec", self.container(service), "peercell", "ps", "-o", "json")
        rows = json.loads(done(*words))
        return int(next(row["pid"] for row in rows if row["peer"] == peer))

    def kill(self, service: str, pid: int) -> None:
        """End a process in a container at once.

        Detached, since the first process of a container takes the container with it, and whoever
        waits there for an answer is killed as well. That it was killed, its restart tells.
        """
        code = f"import os; os.kill({pid}, 9)"
        done("docker", "exec", "--detach", self.container(service), "python", "-c", code)

    def converges(self, within_s: float, after: int = -1, restarts: int = 0) -> float:
        """Return how long it takes until the cell has converged on an interval after one."""
        shown = self.shown
        return took_s(lambda: shown.settled_after(after, restarts), within_s, shown.status)


@pytest.fixture(scope="module")
def cell() -> Iterator[Cell]:
    compose = compose_command()
    done(*compose, "build", "broker", "physics")
    take_down(compose)
    await_room(RURAL1, day=True, need_s=240.0)
    try:
        made = Cell(compose)
        done(*compose, "up", "--detach", "--no-build")
        yield made
    finally:
        take_down(compose)


def reference(interval: int) -> tuple[float, float]:
    """Return the lowest and the highest price of an interval in an undisturbed simulated cell."""
    first = max(0, interval - 4)
    start = f"2016-05-28T{first // 4:02d}:{15 * (first % 4):02d}:00"
    words = ["--set", f"clock.start={start}", "--set", f"clock.intervals={interval - first + 1}"]
    words += ["--set", 'control.method="none"']
    told = subprocess.run(
        [sys.executable, "-m", "peercell", "run", str(RURAL1), "--sim", *words],
        cwd=ROOT,
        env={"PYTHONPATH": "src", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = {int(n): (float(low), float(high)) for n, low, high in LINE.findall(told.stderr)}
    return found[interval - first]


def test_a_cell_converges_is_broken_and_comes_back_to_the_same_prices(cell: Cell) -> None:
    """One test, so that the cell is started once: what it says is measured from there on."""
    cell.converges(UP_S_MAX)
    up_s = time.monotonic() - cell.began_s
    tell(f"from up to converged: {up_s:.1f} s")
    assert up_s <= UP_S_MAX

    pid = cell.pid("mg2", "mg2.trader")
    cell.kill("mg2", pid)
    at = cell.shown.interval()
    tell(f"killed a trader: {cell.converges(KILLED_S_MAX, at, restarts=1):.1f} s")

    cell.kill("mg3", cell.pid("mg3", "supervisor"))
    at = cell.shown.interval()
    tell(f"killed a supervisor: {cell.converges(BACK_S_MAX, at, restarts=2):.1f} s")

    container = cell.container("mg1")
    done("docker", "pause", container)
    took_s(lambda: not cell.shown.converged(), MISSED_S_MAX, cell.shown.status)
    done("docker", "unpause", container)
    tell(f"paused a host: {cell.converges(BACK_S_MAX, cell.shown.interval()):.1f} s")

    container = cell.container("mg4")
    done("docker", "network", "disconnect", NETWORK, container)
    took_s(lambda: not cell.shown.converged(), MISSED_S_MAX, cell.shown.status)
    done("docker", "network", "connect", "--alias", "mg4", NETWORK, container)
    tell(f"cut a host off: {cell.converges(BACK_S_MAX, cell.shown.interval()):.1f} s")

    settled = cell.shown.status()["settled"]
    prices = settled["price_eur_per_kwh_min"], settled["price_eur_per_kwh_max"]
    assert prices == pytest.approx(reference(settled["interval"]), abs=2e-3)
    assert settled["relative_gap"] < 1e-4


def test_no_secret_is_in_a_log_or_an_image(cell: Cell) -> None:
    text = done("docker", "exec", cell.container("mg1"), "cat", "/run/keys/mg1.c1.secret")
    told = json.loads(text)
    secrets = [told["curve"], told["signing"]]
    assert all(len(each) == 64 for each in secrets)
    logs = "".join(
        run("docker", "logs", cell.container(name)).stdout for name in ("mg1", "observer", "broker")
    )
    described = done("docker", "inspect", cell.container("mg1"))
    history = done("docker", "history", "--no-trunc", "peercell-agent")
    for text in (logs, described, history):
        assert not any(secret in text for secret in secrets)
