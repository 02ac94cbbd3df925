"""How a running cell is doing: every peer is asked, and the answers become one picture.

The peers themselves are asked, not the directory, so that a picture needs nobody but those that it
shows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from peercell.agents.dso_messages import DsoStatus, DsoStatusQuery
from peercell.agents.grid_messages import GridHello, GridWelcome
from peercell.agents.grid_parts import AssetFacts
from peercell.agents.membership_messages import MembershipMessage
from peercell.agents.messages import Message
from peercell.agents.trading.contract_messages import MarketStatus, MarketStatusQuery
from peercell.broker.faults.messages import FaultsAnswer, FaultsQuery, FaultState
from peercell.broker.operator_port import (
    HostMessage,
    HostStatus,
    StatusQuery,
    UnreachableError,
    ask,
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
    by_id = {state.peer: state for state in states}
    market: dict[str, MarketStatus] = {}
    for _ in range(TRIES):
        for member in note.members:
            status = _answer(by_id[member], MarketStatusQuery(), MarketStatus)
            market.pop(member, None)
            if status is not None:
                market[member] = status
        if len({each.last.interval for each in market.values() if each.last is not None}) < 2:
            break
    dsos = (by_id[peer] for peer, role in note.roles.items() if role == "dso")
    dso = next((_answer(state, DsoStatusQuery(), DsoStatus) for state in dsos), None)
    faults = active_faults(folder)
    if not messages:
        return Told(states, market, dso, faults=faults)
    hosts = host_counts(states)
    grids = (by_id[peer] for peer, role in note.roles.items() if role == "grid")
    welcomes = [_answer(state, GridHello(0), GridWelcome) for state in grids]
    assets = tuple(asset for each in welcomes if each is not None for asset in each.assets)
    return Told(states, market, dso, hosts, host_counts(states), faults, assets)


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
    answers = ((state.peer, _answer(state, StatusQuery(), HostStatus)) for state in states)
    return {peer: answer for peer, answer in answers if answer is not None}


def _answer(state: PeerState, request: Message, kind: type[M]) -> M | None:
    """Return what a peer answers; None when it is not up, or does not answer in time."""
    if state.state is not State.UP:
        return None
    try:
        answer = ask(state.control, state.peer, request, CODEC, ANSWER_S)
    except UnreachableError:
        return None
    return answer if isinstance(answer, kind) else None
