"""What a supervisor is asked for, and what it answers."""

from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.messages import Message
from peercell.broker.directory import DIRECTORY
from peercell.broker.faults.messages import FaultMessage
from peercell.broker.faults.orders import Order
from peercell.broker.operator_port import HostMessage
from peercell.broker.processes.crew import JOURNAL_BYTES_MAX, PeerSpec, State
from peercell.broker.wire import FRAME_BYTES_MAX, Codec, Count

SUPERVISOR = "supervisor"


class Plan(Struct, frozen=True, kw_only=True):
    """A cell, as a configuration asks for it.

    Parameters
    ----------
    cell : name
    folder : of the cell, `$PEERCELL_HOME/<cell>`
    config : where it was configured, for people
    peers : without the directory
    unions : "module:NAME" of the unions of messages that the roles hear
    pack : peers in one process; 1 unless the cell is large
    address : numeric address that the peers listen at
    port : of the first process, the others have the next ones; 0 for any that are free
    directory : whether the directory is here
    seeds : endpoints of peers elsewhere, to turn to first
    observer : peer that gets copies of the facts
    observed : roles whose facts it gets; those of all when there are none
    advertise : numeric address at which peers of other machines find them; "" for `address`
    door : address where strangers may knock at the directory; None for no door
    journal_bytes_max : of each peer's journal; 0 for none
    faults : that are on from the beginning
    lab : whether people may break it without saying until when
    keys : folder with the keys of its peers; "" for a cell without, whose links are open and lead
        nowhere beyond this machine
    """

    cell: str
    folder: str
    config: str
    peers: tuple[PeerSpec, ...]
    unions: tuple[str, ...]
    pack: int = 1
    address: str = "127.0.0.1"
    port: int = 0
    directory: bool = True
    seeds: dict[str, str] = {}
    observer: str = DIRECTORY
    observed: tuple[str, ...] = ()
    advertise: str = ""
    door: tuple[str, int] | None = None
    journal_bytes_max: int = JOURNAL_BYTES_MAX
    faults: tuple[Order, ...] = ()
    lab: bool = False
    keys: str = ""


class PeerState(Struct, frozen=True, array_like=True):
    """How a peer is doing.

    Parameters
    ----------
    peer, role : who
    state : of its process
    reason : why it is not up, or why it had to be started again; "" when all went well
    since_s : s, Unix time at which it came into this state
    pid : of its process, 0 for none
    restarts : of its process by the supervisor
    incarnation : 0 before it was up for the first time
    endpoint : where other peers find it
    control : where an operator reaches its process
    """

    peer: str
    role: str
    state: State
    reason: str
    since_s: Annotated[float, Meta(ge=0.0, le=1e11)]
    pid: Count
    restarts: Count
    incarnation: Count
    endpoint: str
    control: str


class PeersQuery(Message, frozen=True):
    """A request: how are the peers doing."""


class PeersAnswer(Message, frozen=True):
    """All peers of the cell, the directory first."""

    peers: Annotated[tuple[PeerState, ...], Meta(max_length=4097)]


class StopPeer(Message, frozen=True):
    """A request: end the process of the peer asked, and do not start it again."""


class StartPeer(Message, frozen=True):
    """A request: start the process of the peer asked, also after it had been given up."""


SupervisorMessage = PeersQuery | PeersAnswer | StopPeer | StartPeer | FaultMessage
CODEC = Codec(SupervisorMessage, HostMessage, frame_bytes_max=FRAME_BYTES_MAX)
