"""Which peers of a cell run where when it is spread over machines or containers.

A place holds what one party owns: a microgrid with its prosumers and voltage agents, the network
operator, the aggregator. The directory, the observer and the grid service have a place each.
"""

from collections.abc import Collection, Iterator

from peercell.agents.control.coupling import CouplingSettings
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.agents.errors import PeercellError
from peercell.broker.directory import DIRECTORY, directory_spec
from peercell.broker.plans.cell import DSO_ID, GRID_ID, CellPlan
from peercell.broker.plans.live import peer_specs
from peercell.broker.plans.market import AGGREGATOR
from peercell.broker.processes.crew import PeerSpec
from peercell.grid.model import Zones
from peercell.grid.nearest import unknown

BROKER, PHYSICS, OBSERVER = "broker", "physics", "observer"
# What a home draws and feeds in is between it and its trader: who watches the cell is not told.
OBSERVED = ("trader", "aggregator", "dso")
OBSERVER_SPEC = PeerSpec(peer=OBSERVER, role="observer", factory="peercell.broker.directory:build")


def places(plan: CellPlan, zones: Zones) -> dict[str, tuple[str, ...]]:
    """Return the peers of each place, the one that others turn to first in front.

    Parameters
    ----------
    plan : all peers of the cell but the directory and the observer
    zones : how the cell is divided
    """
    buses = {bus: microgrid.id for microgrid in zones.microgrids for bus in microgrid.buses}
    found: dict[str, list[str]] = {BROKER: [DIRECTORY], PHYSICS: [GRID_ID], DSO_ID: [DSO_ID]}
    found |= {AGGREGATOR: [AGGREGATOR], **{microgrid.id: [] for microgrid in zones.microgrids}}
    for peer in plan.peers:
        if peer.id in found:
            continue
        if isinstance(peer.settings, VoltageSettings):
            bus = peer.settings.place.bus
            found[DSO_ID if bus is None else buses.get(bus, DSO_ID)].append(peer.id)
        elif isinstance(peer.settings, CouplingSettings):
            found[DSO_ID].append(peer.id)
        elif peer.id != GRID_ID:
            found[peer.id.partition(".")[0]].append(peer.id)
    found[OBSERVER] = [OBSERVER]
    return {place: tuple(peers) for place, peers in found.items()}


def peers_at(chosen: Collection[str], plan: CellPlan, zones: Zones) -> tuple[PeerSpec, ...]:
    """Return the peers that are meant by names of places and of peers.

    Raises
    ------
    PeercellError : a name is that of no place and no peer.
    """
    where = places(plan, zones)
    known = {spec.peer: spec for spec in (directory_spec(), *peer_specs(plan), OBSERVER_SPEC)}

    def meant() -> Iterator[str]:
        for name in chosen:
            if name not in where and name not in known:
                error = unknown("place or peer", name, [*where, *known])
                raise PeercellError(error.what, error.why, error.fix)
            yield from where.get(name, (name,))

    return tuple(known[peer] for peer in dict.fromkeys(meant()))
