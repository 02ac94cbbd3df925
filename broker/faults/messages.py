"""What a supervisor is asked about faults, and what it answers."""

from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.grid_parts import Names
from peercell.agents.messages import Message
from peercell.broker.faults.aim import ALL_LINKS, Links
from peercell.broker.faults.kinds import AnyFault, SpanS
from peercell.broker.faults.orders import PEERS_MAX, FaultId, Order
from peercell.broker.faults.plan import Seed
from peercell.broker.wire import Count, Instant, Name

FAULTS_MAX = 256


class AddFault(Message, frozen=True):
    """A request: break something; answered by `FaultAdded`.

    Parameters
    ----------
    fault, seed : what is wrong, and the seed of its chance
    at_s : s after the beginning of the run, for the journal
    for_s : s until it is taken back; None for not by itself
    links, peers, branches, assets : that it hits
    """

    fault: AnyFault
    seed: Seed
    at_s: SpanS
    for_s: SpanS | None
    links: Links = ALL_LINKS
    peers: Annotated[tuple[Name, ...], Meta(max_length=PEERS_MAX)] = ()
    branches: Annotated[tuple[Name, ...], Meta(max_length=PEERS_MAX)] = ()
    assets: Names = ()


class FaultAdded(Message, frozen=True):
    """A fault is on; `until_s` is None when it does not end by itself."""

    id: FaultId
    until_s: Instant | None


class EndFault(Message, frozen=True):
    """A request: take back a fault, or all of them for an `id` of None."""

    id: FaultId | None = None


class FaultsQuery(Message, frozen=True):
    """A request: which faults are on."""


class FaultState(Struct, frozen=True, array_like=True):
    """A fault that is on, and how many signals it has sent to processes."""

    order: Order
    signals: Count


class FaultsAnswer(Message, frozen=True):
    """The faults that are on, the oldest first."""

    faults: Annotated[tuple[FaultState, ...], Meta(max_length=FAULTS_MAX)]


FaultRequest = AddFault | EndFault | FaultsQuery
FaultMessage = AddFault | FaultAdded | EndFault | FaultsQuery | FaultsAnswer
