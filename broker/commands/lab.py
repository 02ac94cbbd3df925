"""`peercell lab`: a cell across network namespaces, whose cables can be cut and slowed down."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from peercell.broker.lab.bench import Lab, begin, end, is_alive, log_of, read_lab
from peercell.broker.lab.wires import LabError, Station, cut, delay, join, mend, release, slow
from peercell.broker.plans.live import RunOrder
from peercell.broker.terminal.command import Session, command, data_command, hint
from peercell.broker.terminal.interrupts import Interrupts
from peercell.broker.terminal.output import Answer, listing
from peercell.broker.terminal.params import duration, rate
from peercell.grid.nearest import unknown

NAME = "lab"


def _for_option(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "--for",
        "for_s",
        type=duration,
        required=True,
        envvar=f"PEERCELL_LAB_{name}_FOR",
        help="How long, such as 10s; Ctrl-C ends it sooner.",
    )


@data_command("up", "peercell lab up configs/rural1.toml")
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_obj
def up(session: Session, config: Path) -> Answer:
    """Start a cell, each of its parts in a network namespace of its own.

    Needs root, iproute2 and iptables. Parts are the microgrids, the network operator, the
    aggregator, the grid service, the directory (broker), and an observer, whose log tells how the
    cell is doing. There is one lab below a folder of runs, in `lab`.
    """
    with Interrupts() as interrupts:
        lab = begin(RunOrder(config=config), session.home.resolve() / NAME, interrupts.pause)
    return _parts(lab, "next: peercell lab cut mg1 --for 10s     peercell lab down")


@data_command("ls", "peercell lab ls")
@click.pass_obj
def ls(session: Session) -> Answer:
    """List the parts of the lab: where they are, their process and their log."""
    return _parts(_lab(session))


@command("cut", "peercell lab cut mg1 --for 10s", "peercell lab cut mg1 dso --one-way --for 1m")
@click.argument("one", metavar="PART")
@click.argument("other", metavar="[PART]", required=False)
@click.option("--one-way", is_flag=True, help="What the first sends is lost, not what it gets.")
@_for_option("CUT")
@click.pass_obj
def cut_cable(session: Session, one: str, other: str | None, one_way: bool, for_s: float) -> None:
    """Cut a part off from another one, or from all, for a while.

    The kernel drops packets, as if a cable were cut: no process is told. Then it is mended.
    """
    lab = _lab(session)
    ends = [_station(lab, other)] if other else [s for n, s in lab.stations.items() if n != one]
    here = _station(lab, one)
    pairs = [(here, end) for end in ends]
    pairs += [] if one_way else [(end, here) for end in ends]

    def heal() -> None:
        for pair in pairs:
            join(*pair)

    with _meanwhile(heal, f"{one} is cut off from {other or 'all others'}", for_s):
        for pair in pairs:
            cut(*pair)


@command("slow", "peercell lab slow mg1 --rate 64kbit/s --for 30s")
@click.argument("part", metavar="PART")
@click.option(
    "--rate",
    "bytes_per_s",
    type=rate,
    required=True,
    envvar="PEERCELL_LAB_SLOW_RATE",
    help="At most so much, such as 64kbit/s.",
)
@_for_option("SLOW")
@click.pass_obj
def slow_cable(session: Session, part: str, bytes_per_s: float, for_s: float) -> None:
    """Let a part send no more than so much, for a while."""
    station = _station(_lab(session), part)
    with _meanwhile(lambda: release(station), f"{part} sends slowly", for_s):
        slow(station, 8.0 * bytes_per_s)


@command("delay", "peercell lab delay mg1 100ms --for 30s")
@click.argument("part", metavar="PART")
@click.argument("delay_s", metavar="TIME", type=duration)
@_for_option("DELAY")
@click.pass_obj
def delay_cable(session: Session, part: str, delay_s: float, for_s: float) -> None:
    """Let what a part sends take longer, for a while.

    By netem where the kernel has it; else its peers hold their messages back themselves, as
    `peercell fault add delay` lets them.
    """
    lab = _lab(session)
    station = _station(lab, part)
    if not delay(station, delay_s):
        hint("this kernel has no netem: the peers hold their messages back")
        _hold_back(lab, part, delay_s, for_s)
        return
    with _meanwhile(lambda: release(station), f"{part} is {1e3 * delay_s:.0f} ms away", for_s):
        pass


@command("mend", "peercell lab mend")
@click.pass_obj
def mend_cables(session: Session) -> None:
    """Take back all that was done to cables.

    What a command does to them it takes back itself, unless it was killed.
    """
    for station in _lab(session).stations.values():
        mend(station)


@command("down", "peercell lab down")
@click.pass_obj
def down(session: Session) -> None:
    """End the lab and remove its network."""
    end(_lab(session))


def _lab(session: Session) -> Lab:
    return read_lab(session.home.resolve() / NAME)


def _station(lab: Lab, name: str) -> Station:
    stations = lab.stations
    if name not in stations:
        error = unknown("part", name, stations)
        raise LabError(error.what, error.why, "peercell lab ls")
    return stations[name]


@contextmanager
def _meanwhile(undo: Callable[[], None], what: str, for_s: float) -> Iterator[None]:
    """Do something to cables, say so, wait, and undo it whatever happens."""
    with Interrupts() as interrupts:
        try:
            yield
            hint(f"{what} for {for_s:g} s")
            interrupts.pause(for_s)
        finally:
            undo()
    hint("mended")


def _hold_back(lab: Lab, part: str, delay_s: float, for_s: float) -> None:
    words = [sys.executable, "-P", "-m", "peercell", "--home", str(lab.home(part))]
    words += ["fault", "add", "delay", f"{1e3 * delay_s:.0f}ms", "all", "--for", f"{for_s:g}s"]
    if subprocess.run(words, check=False).returncode:  # noqa: S603 - our own code
        raise LabError(f"{part} cannot be delayed", "see above", "peercell lab ls")


def _parts(lab: Lab, next_step: str = "") -> Answer:
    rows = [
        {
            "part": part.station.name,
            "address": part.station.address,
            "namespace": part.station.namespace,
            "pid": part.pid,
            "runs": is_alive(lab, part),
            "peers": len(part.peers),
            "log": str(log_of(lab, part.station.name)),
        }
        for part in lab.parts
    ]
    return listing(rows, dict.fromkeys(rows[0], ""), next_step)
