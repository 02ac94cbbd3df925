"""What the processes of a cell are told, and what they tell their supervisor."""

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from peercell.agents.admission import Charter
from peercell.agents.protocol import Role
from peercell.agents.signing import SignedRecord
from peercell.broker.faults.orders import Order

if TYPE_CHECKING:
    # Commands that ask how a cell is doing read this page, and have no use for NumPy.
    import numpy as np

# (peer, settings, generator) -> role; what `PeerSpec.factory` names.
Factory = Callable[[str, bytes, "np.random.Generator"], Role]

# A peer that hears a message a second fills this in some weeks.
JOURNAL_BYTES_MAX = 256 * 1024 * 1024


class State(StrEnum):
    """How a supervised process is doing."""

    STARTING = "starting"
    UP = "up"
    RESTARTING = "restarting"
    STOPPED = "stopped"
    FAILED = "failed"


class PeerSpec(Struct, frozen=True, kw_only=True):
    """One peer, as a configuration asks for it.

    Parameters
    ----------
    peer : id
    role : name of the role, for people
    factory : "module:function" that builds it, see `Factory`
    settings : what the factory gets, in the form that it expects
    seed : of the generator
    """

    peer: str
    role: str
    factory: str
    settings: bytes = b""
    seed: int = 0


class Crew(Struct, frozen=True, kw_only=True):
    """The peers of one process and what they need to find the others.

    Parameters
    ----------
    name : of the process
    folder : of the cell
    peers : at least one
    unions : "module:NAME" of the unions of messages that the roles hear
    endpoint : where the process listens for peers
    seeds : endpoints of peers to turn to first
    observer : peer that gets copies of the facts; "" for none
    journal_bytes_max : of each peer's journal; 0 for none
    faults : that are on when the process starts
    charter : who belongs to the cell; with an operator its links are locked
    seed_keys : keys of the links of seeds, as far as the charter does not say them
    advertise : endpoint at which others find the process; "" where it listens
    door : numeric address and port where strangers may knock; None for no door
    keys : file of the keys of its one peer; "" for those in the folder of the cell
    """

    name: str
    folder: str
    peers: tuple[PeerSpec, ...]
    unions: tuple[str, ...]
    endpoint: str
    seeds: dict[str, str]
    observer: str = ""
    journal_bytes_max: int = JOURNAL_BYTES_MAX
    faults: tuple[Order, ...] = ()
    charter: Charter = Charter()
    seed_keys: dict[str, bytes] = {}
    advertise: str = ""
    door: tuple[str, int] | None = None
    keys: str = ""


class Context(Struct, frozen=True):
    """What a journal has to hold besides the role itself, to build the `Member` again.

    Parameters
    ----------
    role, endpoint, signing_key, curve_key : as in the record of the peer
    seeds, observer, charter : as in its settings
    known : records that it remembered from earlier runs
    unions : as in its crew
    """

    role: str
    endpoint: str
    signing_key: bytes
    seeds: tuple[str, ...]
    observer: str
    known: tuple[SignedRecord, ...]
    unions: tuple[str, ...]
    curve_key: bytes = b""
    charter: Charter = Charter()


class Ready(Struct, frozen=True, tag=True):
    """A process tells its supervisor that its peers run, and as which incarnations."""

    incarnations: dict[str, int]


class Left(Struct, frozen=True, tag=True):
    """A process tells its supervisor that it ends in good order, and why."""

    why: str


class Failed(Struct, frozen=True, tag=True):
    """A process tells its supervisor what it fails of."""

    why: str


Notice = Ready | Left | Failed
