"""How one peer runs in the foreground, without a supervisor: on another machine, or by hand."""

from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from peercell.agents.admission import Charter
from peercell.agents.errors import PeercellError
from peercell.broker.addresses import Address, endpoint_at
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
    """A peer without a supervisor, the size of its journal, what it hears, who gets its facts."""

    spec: PeerSpec
    journal_bytes_max: int = JOURNAL_BYTES_MAX
    unions: tuple[str, ...] = (CELL_MESSAGES,)
    observer: str = DIRECTORY


class Site(NamedTuple):
    """Where a peer runs, and how it gets into its cell.

    Parameters
    ----------
    listen : numeric address and port; port 0 for any that is free
    advertise : where others find it; None where it listens
    door : where strangers may knock; None for no door
    keys : file of its secret keys; None for those in its folder
    seeds : endpoints of peers to turn to first
    seed_keys : keys of the links of these
    charter : who belongs to the cell
    """

    listen: Address = ("127.0.0.1", 0)
    advertise: Address | None = None
    door: Address | None = None
    keys: Path | None = None
    seeds: Mapping[str, str] = {}
    seed_keys: Mapping[str, bytes] = {}
    charter: Charter = Charter()


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


def run_peer(alone: Alone, folder: Path, site: Site, say: Callable[[str], None]) -> str:
    """Run a peer until a signal or an operator ends it; return the reason.

    Parameters
    ----------
    alone : who
    folder : for its journal and roster, and for its keys where no file of them is named
    site : where
    say : is told where it listens

    Raises
    ------
    PeercellError : the address, the folder or the keys cannot be used.
    """
    try:
        listener = listen(*site.listen)
    except OSError as error:
        raise PeercellError(
            f"cannot listen at {site.listen[0]}:{site.listen[1]}",
            str(error),
            "--listen 127.0.0.1:0",
        ) from None
    spec = alone.spec
    with closing(listener):
        crew = Crew(
            name=spec.peer,
            folder=str(folder),
            peers=(spec,),
            unions=(*alone.unions, OBSERVER_MESSAGES),
            endpoint=endpoint_of(listener),
            seeds=dict(site.seeds),
            observer="" if spec.peer == alone.observer else alone.observer,
            journal_bytes_max=alone.journal_bytes_max,
            charter=site.charter,
            seed_keys=dict(site.seed_keys),
            advertise=endpoint_at(site.advertise) if site.advertise else "",
            door=site.door,
            keys=str(site.keys or ""),
        )
        found = f", found at {crew.advertise}" if crew.advertise else ""
        say(f"{spec.peer} ({spec.role}) listens at {crew.endpoint}{found}")
        return run_crew(crew, listener, lambda _: None, None)
