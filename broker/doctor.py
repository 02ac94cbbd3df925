"""Whether this machine can run a cell, and what to do where it cannot."""

import os
import platform
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from peercell import __version__
from peercell.agents.errors import PeercellError
from peercell.broker.home import CellHome
from peercell.broker.processes.running import State, running_cells
from peercell.broker.sockets import listen

# A peer's id and a cell's name of usual length, for the path of its socket.
USUAL_CELL, USUAL_PEER = "cell", "mg12.trader"
# What each extra is looked for by.
EXTRAS = {
    "sparse": "scipy",
    "grid": "pandapower",
    "simbench": "simbench",
    "plot": "matplotlib",
    "parquet": "pyarrow",
    "solver": "cvxpy",
    "sim": "mesa",
}
DISK_GB_MIN = 1.0
# A peer of a cell that has solved for a while, and one of its descriptors at the supervisor.
PEER_MB, PEERS_MIN = 10.0, 50
FILES_PEER, FILES_OTHER = 2, 64
# As many wake-ups, each after s; the worst but one may be late by ms.
WAKE_UPS, WAKE_UP_S, LATE_MS_MAX = 40, 0.005, 15.0


class Health(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(Struct, frozen=True, kw_only=True):
    """What a check found; `fix` is what to try, "" when all is well."""

    health: Health
    check: str
    found: str
    fix: str = ""


def findings(home: Path) -> list[Finding]:
    """Return what all checks find.

    Parameters
    ----------
    home : folder of the runs
    """
    checks: tuple[Callable[[Path], Iterator[Finding]], ...] = (
        _versions,
        _folder,
        _disk,
        _memory,
        _files,
        _loopback,
        _processes,
        _timers,
        _cells,
    )
    return [finding for check in checks for finding in check(home)]


def _versions(_: Path) -> Iterator[Finding]:
    """Say what runs here, and which extras are installed."""
    core = ", ".join(f"{name} {version(name)}" for name in ("pyzmq", "msgspec", "numpy"))
    extras = [extra for extra, module in EXTRAS.items() if find_spec(module) is not None]
    found = (
        f"peercell {__version__}, Python {platform.python_version()}, {core};"
        f" extras: {', '.join(extras) or 'none'}"
    )
    yield Finding(health=Health.OK, check="versions", found=found)


def _folder(home: Path) -> Iterator[Finding]:
    """Look whether runs can be written, and their sockets named."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=home):
            pass
    except OSError as error:
        fix = "set PEERCELL_HOME to a folder that you may write to"
        yield Finding(health=Health.FAIL, check="folder", found=f"{home}: {error}", fix=fix)
        return
    try:
        CellHome(home / USUAL_CELL).control(USUAL_PEER)
    except PeercellError as error:
        yield Finding(health=Health.FAIL, check="folder", found=error.what, fix=error.fix)
        return
    yield Finding(health=Health.OK, check="folder", found=f"{home.resolve()} can be written to")


def _disk(home: Path) -> Iterator[Finding]:
    """Look how much the journals may grow."""
    if home.is_dir():
        free_gb = shutil.disk_usage(home).free / 1e9
        found = f"{free_gb:.1f} GB free for journals, of which each peer may fill 0.26"
        low = free_gb < DISK_GB_MIN
        fix = (
            "telemetry.journal_mb_max in the config, or PEERCELL_HOME on another disk"
            if low
            else ""
        )
        health = Health.WARN if low else Health.OK
        yield Finding(health=health, check="disk", found=found, fix=fix)


def _memory(_: Path) -> Iterator[Finding]:
    """Look how many peers the memory holds."""
    if (free_mb := _free_memory_mb()) is None:
        return
    peers = int(free_mb / PEER_MB)
    found = f"{free_mb / 1000.0:.1f} GB free, enough for about {peers:,} peers"
    if peers < PEERS_MIN:
        yield Finding(health=Health.WARN, check="memory", found=found, fix="--pack 10")
    else:
        yield Finding(health=Health.OK, check="memory", found=found)


def _files(_: Path) -> Iterator[Finding]:
    """Look how many processes a supervisor can hold: each costs it a socket and a pipe."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    peers = max(0, limit - FILES_OTHER) // FILES_PEER
    found = f"{limit:,} open files a process, enough for {peers:,} processes a cell"
    if peers < PEERS_MIN:
        yield Finding(health=Health.WARN, check="files", found=found, fix="ulimit -n 4096")
    else:
        yield Finding(health=Health.OK, check="files", found=found)


def _timers(_: Path) -> Iterator[Finding]:
    """Look how late a process wakes up: rounds that are not much longer than that fail."""
    late_s = []
    for _wake_up in range(WAKE_UPS):
        due_s = time.monotonic() + WAKE_UP_S
        time.sleep(WAKE_UP_S)
        late_s.append(time.monotonic() - due_s)
    worst_ms = 1e3 * sorted(late_s)[-2]
    found = f"wake up within {worst_ms:.1f} ms"
    if worst_ms > LATE_MS_MAX:
        fix = "a larger trading.round_s and a smaller clock.speed, or a less busy machine"
        yield Finding(health=Health.WARN, check="timers", found=found, fix=fix)
    else:
        yield Finding(health=Health.OK, check="timers", found=found)


def _free_memory_mb() -> float | None:
    """Return what processes may still take, MB; None where the system does not say."""
    try:
        told = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return float(told["MemAvailable"].removesuffix("kB")) / 1e3
    except (OSError, KeyError, ValueError):
        return None


def _loopback(_: Path) -> Iterator[Finding]:
    """Look whether a message gets from one socket of this machine to another."""
    try:
        with (
            listen() as listener,
            socket.create_connection(listener.getsockname()[:2], timeout=2.0),
        ):
            yield Finding(health=Health.OK, check="loopback", found="127.0.0.1 can be reached")
    except OSError as error:
        fix = "allow connections to 127.0.0.1 in the firewall of this machine"
        yield Finding(health=Health.FAIL, check="loopback", found=str(error), fix=fix)


def _processes(_: Path) -> Iterator[Finding]:
    """Look how processes are started, and how many cores they share."""
    if sys.platform == "linux":
        found = f"forked from a warm server, {os.cpu_count()} cores"
        yield Finding(health=Health.OK, check="processes", found=found)
    else:
        found = f"{sys.platform} has no fork server: each process starts from nothing"
        yield Finding(health=Health.WARN, check="processes", found=found, fix="--pack 4")


def _cells(home: Path) -> Iterator[Finding]:
    """Look for runs that were left behind."""
    for cell in running_cells(home):
        if cell.state is State.STALE:
            found = f'"{cell.cell}" has ended and left its lock'
            fix = f"peercell down {cell.cell}"
            yield Finding(health=Health.WARN, check="cells", found=found, fix=fix)
        else:
            found = f'"{cell.cell}" runs as process {cell.pid}'
            yield Finding(health=Health.OK, check="cells", found=found)
