"""From a fault and its selector to the peers and links of a running cell that it hits."""

from collections.abc import Mapping
from math import floor

from peercell.agents.errors import PeercellError
from peercell.broker.faults.aim import ALL_LINKS, Links, links_at, peers_at
from peercell.broker.faults.kinds import (
    AnyFault,
    GridFault,
    LinkFault,
    MeterNoise,
)
from peercell.broker.faults.messages import AddFault
from peercell.broker.faults.plan import Step


def aimed(step: Step, roles: Mapping[str, str], at_s: float) -> AddFault:
    """Return the request that lets a step of a plan begin now.

    Parameters
    ----------
    step : its seed may be None, and then follows from the time
    roles : role of each peer of the cell
    at_s : s after the beginning of the run, which is now

    Raises
    ------
    SelectorError : it hits nobody.
    PeercellError : the cell has no grid to break.
    """
    fault = step.fault
    # Two that are added one after the other are to lose different messages.
    seed = floor(1000.0 * at_s) if step.seed is None else step.seed
    links = ALL_LINKS
    peers: tuple[str, ...] = ()
    if isinstance(fault, LinkFault):
        links = links_at(fault.on, roles, seed)
    else:
        peers = _peers(fault, roles, seed)
    return AddFault(fault, seed, at_s, step.for_s, links, peers)


def links_hit(links: Links, talking: Mapping[str, Mapping[str, int]]) -> int:
    """Return how many of the links that carry messages are hit.

    Parameters
    ----------
    links : that a fault hits
    talking : how many messages each peer has sent to each other one
    """
    return sum(
        (src, dst) in links for src, told in talking.items() for dst, count in told.items() if count
    )


def _peers(fault: AnyFault, roles: Mapping[str, str], seed: int) -> tuple[str, ...]:
    """Return the peers that a fault of peers, words, meters or the grid hits."""
    if isinstance(fault, GridFault) and not isinstance(fault, MeterNoise):
        grids = tuple(peer for peer, role in roles.items() if role == "grid")
        if not grids:
            raise PeercellError(f"{fault.kind} needs a grid, and this cell has none")
        return grids
    return peers_at(getattr(fault, "on", "all"), roles, seed)
