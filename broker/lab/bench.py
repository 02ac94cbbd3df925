"""A cell whose parts run each in a network namespace: how it begins, what is where, how it ends."""

import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from peercell.broker.addresses import endpoint_at
from peercell.broker.clock import steady_clock
from peercell.broker.config import load_grid
from peercell.broker.directory import DIRECTORY
from peercell.broker.home import replace_file
from peercell.broker.hosting.places import BROKER, places
from peercell.broker.lab.wires import LabError, Station, lay, take_up
from peercell.broker.plans.cell import plan_cell
from peercell.broker.plans.keys import keys_of_cell
from peercell.broker.plans.live import RunOrder, read_order
from peercell.broker.processes.cell_runs import UP_PEER_S, UP_S
from peercell.broker.processes.operate import wait_until_up

PORT = 5600
END_S = 10.0
LOOK_S = 0.05


class Part(Struct, frozen=True):
    """A part of the cell: where it is, its process, and its peers."""

    station: Station
    pid: int
    peers: tuple[str, ...]


class Lab(Struct, frozen=True, kw_only=True):
    """A lab that runs.

    Parameters
    ----------
    tag : of its network
    cell : name of the cell
    folder : of its files
    parts : of the cell, the directory first
    """

    tag: str
    cell: str
    folder: str
    parts: tuple[Part, ...]

    @property
    def stations(self) -> dict[str, Station]:
        """The stations by the names of their parts."""
        return {part.station.name: part.station for part in self.parts}

    def home(self, name: str) -> Path:
        """Return the folder of the runs of a part."""
        return Path(self.folder) / name


def begin(order: RunOrder, folder: Path, pause: Callable[[float], None]) -> Lab:
    """Start the cell of a config, each of its parts in a network namespace of its own.

    Parameters
    ----------
    order : which run
    folder : of the lab
    pause : waits so many s between two looks; may raise, which ends the lab

    Raises
    ------
    LabError : it runs already, or this user may make no network.
    PeercellError : the config is wrong, or a part does not come up; then nothing is left running.
    """
    if (folder / "lab.json").exists():
        raise LabError(f"there is a lab in {folder} already", "", "peercell lab down")
    config = read_order(order)
    loaded = load_grid(config)
    plan = plan_cell(config, loaded, steady_clock()())
    where = places(plan, loaded.cell.zones)
    folder.mkdir(parents=True, exist_ok=True)
    keys = keys_of_cell(order.config, folder / "keys", steady_clock()())
    tag = secrets.token_hex(3)
    stations = lay(tag, tuple(where))
    lab = Lab(tag=tag, cell=keys.cell, folder=str(folder), parts=())
    try:
        for station in stations:
            pid = _start(order, folder, station, stations)
            part = Part(station, pid, where[station.name])
            lab = msgspec.structs.replace(lab, parts=(*lab.parts, part))
            replace_file(folder / "lab.json", msgspec.json.encode(lab))
        deadline_s = time.monotonic() + UP_S + UP_PEER_S * len(plan.peers)
        for part in lab.parts:
            _await_part(lab, part, deadline_s, pause)
    except BaseException:
        end(lab)
        take_up(tag, stations)
        raise
    return lab


def read_lab(folder: Path) -> Lab:
    """Return the lab in a folder.

    Raises
    ------
    LabError : there is none.
    """
    try:
        return msgspec.json.decode((folder / "lab.json").read_bytes(), type=Lab)
    except FileNotFoundError:
        raise LabError(f"no lab runs in {folder}", "", "peercell lab up CONFIG") from None
    except msgspec.MsgspecError as error:
        raise LabError(f"{folder / 'lab.json'} is no lab", str(error)) from None


def end(lab: Lab) -> None:
    """End all parts of a lab and remove its network."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for part in _alive(lab):
            with contextlib.suppress(ProcessLookupError):
                os.kill(part.pid, number)
        deadline_s = time.monotonic() + END_S
        while any(True for _ in _alive(lab)) and time.monotonic() < deadline_s:
            time.sleep(LOOK_S)
    take_up(lab.tag, tuple(lab.stations.values()))
    (Path(lab.folder) / "lab.json").unlink(missing_ok=True)


def is_alive(lab: Lab, part: Part) -> bool:
    """Return whether the process of a part is there, and is still that one."""
    try:
        words = Path(f"/proc/{part.pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return str(lab.home(part.station.name)).encode() in words


def log_of(lab: Lab, name: str) -> Path:
    """Return the log of a part."""
    return Path(lab.folder) / f"{name}.log"


def _alive(lab: Lab) -> Iterator[Part]:
    return (part for part in lab.parts if is_alive(lab, part))


def _start(order: RunOrder, folder: Path, station: Station, stations: Sequence[Station]) -> int:
    """Start a part of the cell at its station; return its process id."""
    directory = next(each for each in stations if each.name == BROKER)
    words = [sys.executable, "-P", "-m", "peercell", "--home", str(folder / station.name)]
    words += ["host", str(order.config), station.name]
    words += ["--listen", f"{station.address}:{PORT}"]
    words += ["--keys", str(folder / "keys")]
    if station.name != BROKER:
        words += ["--seed", f"{DIRECTORY}={endpoint_at((directory.address, PORT))}"]
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    log = str(folder / f"{station.name}.log")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    # It outlives this process, so it is nobody's child to be waited for.
    return os.posix_spawnp(
        "ip",
        station.within(*words),
        {**os.environ, "PYTHONPATH": path},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def _await_part(lab: Lab, part: Part, deadline_s: float, pause: Callable[[float], None]) -> None:
    """Wait until all peers of a part are up."""
    name = part.station.name
    run = lab.home(name) / lab.cell
    while not (run / "cell.lock").exists():
        if not is_alive(lab, part) or time.monotonic() > deadline_s:
            said = log_of(lab, name).read_text().strip().splitlines()
            raise LabError(f"{name} did not start", said[-1] if said else "it says nothing")
        pause(LOOK_S)
    wait_until_up(run, max(1.0, deadline_s - time.monotonic()), pause)
