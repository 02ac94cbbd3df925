"""How a part of a cell runs in the foreground: in a container, or on a machine of its own.

The parts need no common file and no order of starting. Each makes the same plan from the config,
knows from its clock which turn of the cell it joins, and finds the others through any of its seeds.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from peercell.agents.errors import PeercellError
from peercell.broker.clock import steady_clock
from peercell.broker.config import load_grid
from peercell.broker.directory import DIRECTORY
from peercell.broker.home import CellHome
from peercell.broker.hosting.addresses import await_one, look_up_seeds, own_address
from peercell.broker.hosting.chores import MOVED, TURN_OVER, EndOfTurn, Pulse, Removal
from peercell.broker.hosting.dealing import take
from peercell.broker.hosting.heard import CODEC, Ear
from peercell.broker.hosting.observing import Observing
from peercell.broker.hosting.page import StatusPage
from peercell.broker.hosting.places import OBSERVED, OBSERVER, peers_at
from peercell.broker.hosting.turns import Turn, turn_at
from peercell.broker.operator_port import ask
from peercell.broker.plans.cell import CellPlan, plan_cell
from peercell.broker.plans.live import (
    RunNote,
    RunOrder,
    note_path,
    read_note,
    read_order,
    run_note,
    unions_of,
    write_note,
)
from peercell.broker.processes.crew import PeerSpec
from peercell.broker.processes.plan import Plan
from peercell.broker.supervisor import Supervisor

NO_ADDRESS_S = 1.0
ANSWER_S = 1.0

log = logging.getLogger(__name__)


class HostOrder(NamedTuple):
    """Which part of which cell, and how others reach it.

    Parameters
    ----------
    run : the config, and how the run is called
    chosen : names of places and peers
    listen : numeric address and port of the first process, see `own_address`
    seeds : tcp endpoint of each peer to turn to first, with the name of a host or its address
    http : where to show what an observer hears; None for nowhere
    keys : folder with the keys of this host; None for what the config says
    """

    run: RunOrder
    chosen: tuple[str, ...]
    listen: tuple[str, int]
    seeds: Mapping[str, str]
    http: tuple[str, int] | None = None
    keys: Path | None = None


class _Part(NamedTuple):
    """A part of a cell in one turn."""

    plan: CellPlan
    peers: tuple[PeerSpec, ...]
    turn: Turn


def run_host(order: HostOrder, home: Path, say: Callable[[str], None]) -> str:
    """Run a part of a cell until a signal or an operator ends it; return the reason.

    Parameters
    ----------
    order : which part
    home : folder of all runs
    say : gets a line when something happens

    Raises
    ------
    PeercellError : the config is wrong, names are unknown, or an address cannot be used.
    """
    with _served(order.http) as page:
        while True:
            part = _part(order, steady_clock()())
            if page is not None and all(spec.peer != OBSERVER for spec in part.peers):
                raise PeercellError(
                    "there is nothing to show", f"no {OBSERVER} is among {', '.join(order.chosen)}"
                )
            why = _run_part(order, part, home, page, say)
            if why not in (TURN_OVER, MOVED):
                return why
            say(f"{why}: all begin again")


@contextmanager
def _served(http: tuple[str, int] | None) -> Iterator[StatusPage | None]:
    """Give the page of an observer, if there is to be one."""
    if http is None:
        yield None
        return
    with closing(StatusPage(*http)) as page:
        yield page


def _part(order: HostOrder, now_s: float) -> _Part:
    """Return what runs here in the turn of a host time."""
    config = read_order(order.run)
    loaded = load_grid(config)
    count = len(plan_cell(config, loaded, now_s).peers)
    turn = turn_at(config.cell.clock, count, now_s)
    plan = plan_cell(config, loaded, turn.origin_s)
    return _Part(plan, peers_at(order.chosen, plan, loaded.cell.zones), turn)


def _run_part(
    order: HostOrder,
    part: _Part,
    home: Path,
    page: StatusPage | None,
    say: Callable[[str], None],
) -> str:
    """Run what is here until its turn is over, the host has moved or somebody ends it."""
    here = {spec.peer for spec in part.peers}
    wanted = {peer: endpoint for peer, endpoint in order.seeds.items() if peer not in here}
    # A directory has nobody to wait for: the others wait for it.
    seeds = look_up_seeds(wanted) if DIRECTORY in here else await_one(wanted, time.sleep)
    log.info("seeds: %s", ", ".join(seeds.values()))
    address = _await_address(order.listen[0], seeds)
    note = run_note(part.plan, order.run, part.turn.begins_s)
    folder = (home / note.cell).resolve()
    CellHome(folder).prepare()
    _tidy(folder, note)
    keys = part.plan.keys
    if order.keys is not None:
        keys = take(order.keys, CellHome(folder), [spec.peer for spec in part.peers])
    write_note(note, folder)
    supervisor = Supervisor(
        structs.replace(_plan(order, part, folder, seeds), address=address, keys=keys)
    )
    supervisor.also(Pulse(supervisor, folder))
    supervisor.also(EndOfTurn(supervisor, part.turn.ends_s))
    supervisor.also(Removal(supervisor, address, lambda: own_address(order.listen[0], seeds)))
    if OBSERVER in here:
        control = CellHome(folder).control(OBSERVER)
        ear = Ear(lambda request: ask(control, OBSERVER, request, CODEC, ANSWER_S))
        supervisor.also(Observing(ear, note, page, say))
    say(f"{len(here)} peers at {address}: {', '.join(spec.peer for spec in part.peers)}")
    return supervisor.run()


def _plan(order: HostOrder, part: _Part, folder: Path, seeds: Mapping[str, str]) -> Plan:
    """Return the plan of a supervisor that has only a part of the cell."""
    return Plan(
        cell=folder.name,
        folder=str(folder),
        config=str(order.run.config),
        peers=tuple(spec for spec in part.peers if spec.peer != DIRECTORY),
        unions=unions_of(part.plan),
        port=order.listen[1],
        directory=any(spec.peer == DIRECTORY for spec in part.peers),
        seeds=dict(seeds),
        observer=OBSERVER,
        observed=OBSERVED,
        journal_bytes_max=part.plan.telemetry.journal_bytes_max,
    )


def _await_address(listen: str, seeds: Mapping[str, str]) -> str:
    """Return the address of this host once it has one."""
    while not (address := own_address(listen, seeds)):
        log.warning("this host has no address that leads to the others yet")
        time.sleep(NO_ADDRESS_S)
    return address


def _tidy(folder: Path, note: RunNote) -> None:
    """Remove the journals of an earlier turn: they would fill the disk in the course of days."""
    if note_path(folder).exists() and read_note(folder).calendar != note.calendar:
        for journal in folder.glob("*.journal"):
            journal.unlink()
