"""A fault that is on in a running cell, as its supervisor tells it to the processes."""

from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.grid_parts import Names
from peercell.broker.faults.aim import ALL_LINKS, Links
from peercell.broker.faults.fate import Active
from peercell.broker.faults.kinds import AnyFault, LinkFault
from peercell.broker.faults.plan import Seed
from peercell.broker.wire import Instant, Name

PEERS_MAX = 4096

FaultId = Annotated[str, Meta(min_length=1, max_length=32)]


class Order(Struct, frozen=True, kw_only=True):
    """What is wrong on purpose, with whom, and until when.

    Parameters
    ----------
    id : such as `f1`
    fault : what is wrong; whom it hits stands below, whatever its selector says
    seed : of its chance
    links : that it hits, when it is a fault of links
    peers : that it hits, when it is one of peers or of what they say
    branches : lines and transformers that it opens
    assets : that it disturbs
    until_s : s, Unix time at which everybody takes it back by himself; None for not by himself
    """

    id: FaultId
    fault: AnyFault
    seed: Seed = 0
    links: Links = ALL_LINKS
    peers: Annotated[tuple[Name, ...], Meta(max_length=PEERS_MAX)] = ()
    branches: Annotated[tuple[Name, ...], Meta(max_length=PEERS_MAX)] = ()
    assets: Names = ()
    until_s: Instant | None = None

    def is_over(self, now_s: float) -> bool:
        """Return whether it has taken itself back by a time."""
        return self.until_s is not None and self.until_s <= now_s


def active_of(order: Order) -> Active | None:
    """Return what an order does to messages on their way; None when it is of another kind."""
    if isinstance(order.fault, LinkFault):
        return Active(order.fault, order.seed, order.links)
    return None
