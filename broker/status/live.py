"""How a running cell is doing: every peer is asked, and the answers become one picture.

The peers themselves are asked, not the directory, so that a picture needs nobody but those that it
shows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from peercell.agents.dso_messages import DsoStatus, DsoStatusQuery
from peercell.agents.errors import PeercellError
from peercell.agents.grid_messages import GridHello, GridWelcome
from peercell.agents.grid_parts import AssetFacts
from peercell.agents.membership_messages import MembershipMessage
from peercell.agents.messages import Message
from peercell.agents.trading.contract_messages import MarketStatus, MarketStatusQuery
from peercell.broker.faults.messages import FaultsAnswer, FaultsQuery, FaultState
from peercell.broker.operator_port import (
    HostMessage,
    HostStatus,
    Question,
    StatusQuery,
    UnreachableError,
    ask_all,
)
from peercell.broker.plans.live import RunNote
from peercell.broker.processes.crew import State
from peercell.broker.processes.operate import ask_supervisor, peer_states
from peercell.broker.processes.plan import PeerState
from peercell.broker.roles import CellMessage
from peercell.broker.wire import FRAME_BYTES_MAX, Codec

ANSWER_S = 1.0
# Times that members are asked again while some have settled an interval more than others: they do
# so within a round of each other.
TRIES = 5
CODEC = Codec(CellMessage, MembershipMessage, HostMessage, frame_bytes_max=FRAME_BYTES_MAX)

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Told:
    """What the peers of a run have answered; who is missing did not.

    Parameters
    ----------
    states : of all processes, as their supervisor says
    market : of each trader and the aggregator
    dso : of the DSO
    hosts : counts of each peer; empty when they were not asked for
    faults : that are on, as their supervisor says
    later : the same, asked after all others: what has arrived by `hosts` was sent by `later`
    assets : of the grid, with what they are set to; empty when they were not asked for
    """

    states: tuple[PeerState, ...]
    market: Mapping[str, MarketStatus]
    dso: DsoStatus | None
    hosts: Mapping[str, HostStatus] = field(default_factory=dict)
    later: Mapping[str, HostStatus] = field(default_factory=dict)
    faults: tuple[FaultState, ...] = ()
    assets: tuple[AssetFacts, ...] = ()


def ask_cell(folder: Path, note: RunNote, *, messages: bool = False) -> Told:
    """Return what the peers of a running cell say.

    Parameters
    ----------
    folder : of the run
    note : what the run is
    messages : whether to ask each peer for its counts of messages as well, and the grid for what
        its assets are set to

    Raises
    ------
    UnreachableError : no supervisor answers.
    """
    states = peer_states(folder)
    asking = _Asking(states)
    market = _market(note, asking)
    dsos = asking.answers(_of_role(note, "dso"), DsoStatusQuery(), DsoStatus)
    dso = next(iter(dsos.values()), None)
    faults = active_faults(folder)
    if not messages:
        return Told(states, market, dso, faults=faults)
    everybody = [state.peer for state in states]
    hosts = asking.answers(everybody, StatusQuery(), HostStatus)
    welcomes = asking.answers(_of_role(note, "grid"), GridHello(0), GridWelcome)
    assets = tuple(asset for each in welcomes.values() for asset in each.assets)
    later = asking.answers(everybody, StatusQuery(), HostStatus)
    return Told(states, market, dso, hosts, later, faults, assets)


def _market(note: RunNote, asking: "_Asking") -> dict[str, MarketStatus]:
    """Return what each member says of its trading, of the same interval if they get there."""
    market: dict[str, MarketStatus] = {}
    for _ in range(TRIES):
        market = asking.answers(note.members, MarketStatusQuery(), MarketStatus)
        if len({each.last.interval for each in market.values() if each.last is not None}) < 2:
            break
    return market


def _of_role(note: RunNote, role: str) -> list[str]:
    return [peer for peer, theirs in note.roles.items() if theirs == role]


def active_faults(folder: Path) -> tuple[FaultState, ...]:
    """Return the faults that are on in a running cell.

    Raises
    ------
    UnreachableError : no supervisor answers.
    """
    answer = ask_supervisor(folder, FaultsQuery())
    return answer.faults if isinstance(answer, FaultsAnswer) else ()


def host_counts(states: Sequence[PeerState]) -> dict[str, HostStatus]:
    """Return the counts of each peer that answers."""
    return _Asking(states).answers([state.peer for state in states], StatusQuery(), HostStatus)


class _Asking:
    """Asks peers that are up, all at once; who is silent once is not waited for again."""

    def __init__(self, states: Iterable[PeerState]) -> None:
        self._controls = {each.peer: each.control for each in states if each.state is State.UP}

    def answers(self, peers: Iterable[str], request: Message, kind: type[M]) -> dict[str, M]:
        """Return what those of some peers say who answer in time.

        Raises
        ------
        PeercellError : a peer refused, or its answer cannot be read.
        """
        asked = [peer for peer in peers if peer in self._controls]
        questions = [Question(self._controls[peer], peer, request) for peer in asked]
        found: dict[str, M] = {}
        for peer, answer in zip(asked, ask_all(questions, CODEC, ANSWER_S), strict=True):
            match answer:
                case UnreachableError():
                    del self._controls[peer]
                case PeercellError():
                    raise answer
                case kind():
                    found[peer] = answer
        return found
