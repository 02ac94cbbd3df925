"""What people do with the faults of a running cell: add one, list them, take them back."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct, structs

from peercell.broker.clock import steady_clock
from peercell.broker.config import load_grid
from peercell.broker.faults.aimed import aimed, links_hit
from peercell.broker.faults.grid_faults import assets_of, branches_of
from peercell.broker.faults.kinds import GridFault, LinkFault
from peercell.broker.faults.messages import (
    AddFault,
    EndFault,
    FaultAdded,
    FaultState,
)
from peercell.broker.faults.plan import Step
from peercell.broker.faults.texts import fault_text
from peercell.broker.operator_port import HostStatus
from peercell.broker.plans.live import RunNote, RunOrder, read_order
from peercell.broker.processes.operate import ask_supervisor, peer_states
from peercell.broker.processes.plan import PeerState
from peercell.broker.status.live import active_faults, host_counts

# s between two looks at what the grid makes of a fault, and how many of them.
EFFECT_S, EFFECT_TRIES = 0.05, 20


class FaultRow(Struct, frozen=True, kw_only=True):
    """A fault of a running cell.

    Parameters
    ----------
    id : "" for one that is only looked at
    kind, what : what is wrong
    seed : of its chance
    ends_s : s from now until it takes itself back; None for not by itself
    links : links that it hits, of those that have carried messages; None when it hits peers
    peers : that it hits, when it hits peers, or lines that it opens, or assets that it disturbs
    hits : messages that it did something to, or processes, lines or assets, since it is on
    refused : why it has no effect; "" where the grid did not refuse it
    """

    id: str
    kind: str
    what: str
    seed: int
    ends_s: float | None
    links: int | None
    peers: tuple[str, ...]
    hits: int
    refused: str = ""


class _Effect(NamedTuple):
    """How often each fault has done something, and why one has no effect, by id."""

    hits: Counter[str]
    refused: dict[str, str]


def add_fault(folder: Path, note: RunNote, step: Step, *, dry_run: bool = False) -> FaultRow:
    """Let a fault begin in a running cell, or say what it would hit, and return it.

    Parameters
    ----------
    folder, note : of the run
    step : the fault, and how long; its time is now
    dry_run : whether to leave the cell alone

    Raises
    ------
    SelectorError : it hits nobody.
    PeercellError : nobody answers, or the supervisor refuses.
    """
    states = peer_states(folder)
    at_s = max(0.0, steady_clock()() - note.begins_s)
    request = aimed(step, {state.peer: state.role for state in states}, at_s)
    if isinstance(request.fault, GridFault):
        cell = load_grid(read_order(RunOrder(config=Path(note.config)))).cell
        request = structs.replace(
            request,
            branches=branches_of(request.fault, cell),
            assets=assets_of(request.fault, cell),
        )
    row = FaultRow(
        id="",
        kind=request.fault.kind,
        what=fault_text(request.fault),
        seed=request.seed,
        ends_s=request.for_s,
        links=_link_count(request, states),
        peers=request.branches or request.assets or request.peers,
        hits=0,
    )
    if dry_run:
        return row
    answer = ask_supervisor(folder, request)
    if not isinstance(answer, FaultAdded):
        return row
    row = structs.replace(row, id=answer.id)
    in_grid = bool(request.branches or request.assets)
    return _with_effect(row, [s for s in states if s.role == "grid"]) if in_grid else row


def fault_rows(folder: Path) -> tuple[FaultRow, ...]:
    """Return the faults that are on in a running cell, the oldest first.

    Raises
    ------
    UnreachableError : no supervisor answers.
    """
    found = active_faults(folder)
    if not found:
        return ()
    states = peer_states(folder)
    hosts = host_counts(states)
    now_s = steady_clock()()
    effect = _effect(states, hosts)
    talking = {peer: host.told for peer, host in hosts.items()}
    return tuple(_row(each, effect, talking, now_s) for each in found)


def end_faults(folder: Path, fault_id: str | None) -> None:
    """Take back a fault, or all of them for None.

    Raises
    ------
    PeercellError : nobody answers, or there is no such fault.
    """
    ask_supervisor(folder, EndFault(fault_id))


def _row(
    found: FaultState,
    effect: _Effect,
    talking: Mapping[str, Mapping[str, int]],
    now_s: float,
) -> FaultRow:
    order = found.order
    on_links = isinstance(order.fault, LinkFault)
    return FaultRow(
        id=order.id,
        kind=order.fault.kind,
        what=fault_text(order.fault),
        seed=order.seed,
        ends_s=None if order.until_s is None else max(0.0, order.until_s - now_s),
        links=links_hit(order.links, talking) if on_links else None,
        peers=order.branches or order.assets or order.peers,
        hits=effect.hits[order.id] + found.signals,
        refused=effect.refused.get(order.id, ""),
    )


def _link_count(request: AddFault, states: Sequence[PeerState]) -> int | None:
    if not isinstance(request.fault, LinkFault):
        return None
    hosts = host_counts(states)
    return links_hit(request.links, {peer: host.told for peer, host in hosts.items()})


def _effect(states: Sequence[PeerState], hosts: Mapping[str, HostStatus]) -> _Effect:
    """Return what each fault has done by now; what a process counts is counted once."""
    first = {state.control: state.peer for state in reversed(states)}.values()
    found = _Effect(Counter(), {})
    for peer in first:
        if peer in hosts:
            found.hits.update(hosts[peer].faults)
            found.refused.update(hosts[peer].without_effect)
    return found


def _with_effect(row: FaultRow, grids: Sequence[PeerState]) -> FaultRow:
    """Return a fault of the grid with what the grid service made of it, if it says so in time."""
    for _ in range(EFFECT_TRIES):
        found = _effect(grids, host_counts(grids))
        if found.hits[row.id] or row.id in found.refused:
            return structs.replace(
                row, hits=found.hits[row.id], refused=found.refused.get(row.id, "")
            )
        time.sleep(EFFECT_S)
    return row
