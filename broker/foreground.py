"""How one peer runs in the foreground, without a supervisor: on another machine, or by hand."""

from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from peercell.agents.errors import PeercellError
from peercell.broker.agent import run_crew
from peercell.broker.config import load_grid, read_config
from peercell.broker.directory import DIRECTORY, OBSERVER_MESSAGES, directory_spec
from peercell.broker.plans.cell import plan_cell
from peercell.broker.plans.live import unions_of
from peercell.broker.processes.crew import JOURNAL_BYTES_MAX, Crew, PeerSpec
from peercell.broker.roles import CELL_MESSAGES, peer_spec
from peercell.broker.sockets import endpoint_of, listen
from peercell.grid.nearest import unknown


class Alone(NamedTuple):
    """A peer that runs without a supervisor, the most bytes of its journal, and what it hears."""

    spec: PeerSpec
    journal_bytes_max: int = JOURNAL_BYTES_MAX
    unions: tuple[str, ...] = (CELL_MESSAGES,)


def peer_of(config: Path, peer: str, begins: datetime) -> Alone:
    """Return a peer of the cell of a config.

    Parameters
    ----------
    config : file
    peer : id; "directory" for the directory
    begins : real time at which the delivery of the first interval begins, the same for all peers

    Raises
    ------
    ConfigError : the config is wrong.
    PeercellError : it has no such peer.
    """
    if peer == DIRECTORY:
        return Alone(directory_spec())
    told = read_config(config)
    plan = plan_cell(told, load_grid(told), begins.timestamp())
    ids = [each.id for each in plan.peers]
    if peer not in ids:
        error = unknown("peer", peer, ids)
        raise PeercellError(error.what, error.why, error.fix)
    place = ids.index(peer)
    found = plan.peers[place]
    spec = peer_spec(found.id, found.role, found.settings, plan.seed + place, found.make)
    return Alone(spec, plan.telemetry.journal_bytes_max, unions_of(plan))


def run_peer(
    alone: Alone,
    folder: Path,
    address: tuple[str, int],
    seeds: Mapping[str, str],
    say: Callable[[str], None],
) -> str:
    """Run a peer until a signal or an operator ends it; return the reason.

    Parameters
    ----------
    alone : who
    folder : for its key, journal and roster
    address : numeric address and port to listen at; port 0 for any that is free
    seeds : endpoints of peers to turn to first
    say : is told where it listens

    Raises
    ------
    PeercellError : the address or the folder cannot be used.
    """
    try:
        listener = listen(*address)
    except OSError as error:
        raise PeercellError(
            f"cannot listen at {address[0]}:{address[1]}", str(error), "--listen 127.0.0.1:0"
        ) from None
    spec = alone.spec
    with closing(listener):
        crew = Crew(
            name=spec.peer,
            folder=str(folder),
            peers=(spec,),
            unions=(*alone.unions, OBSERVER_MESSAGES),
            endpoint=endpoint_of(listener),
            seeds=dict(seeds),
            observer="" if spec.peer == DIRECTORY else DIRECTORY,
            journal_bytes_max=alone.journal_bytes_max,
        )
        say(f"{spec.peer} ({spec.role}) listens at {crew.endpoint}")
        return run_crew(crew, listener, lambda _: None, None)
