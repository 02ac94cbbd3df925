"""The grid service: a role that obeys physics for all the others.

Everything that arrives in one turn is answered at its end: all writes are applied, the cell is
solved at most once, and every reply shows the state after it, under one revision. Each request so
takes effect between its call and its reply, and no read ever goes back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import assert_never, cast, get_args

from peercell.agents.grid_messages import (
    Corrections,
    GridHello,
    GridRefusal,
    GridReply,
    GridRequest,
    GridRevision,
    GridStats,
    StateReport,
    StatsQuery,
    Subscription,
)
from peercell.agents.grid_parts import RefusalCode, Stamp
from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    Commanded,
    Event,
    PeerDown,
    PeerUp,
    Received,
    Record,
    Reply,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.grid.cellfile import Profiles
from peercell.grid.model import Cell
from peercell.grid.service_answers import Reader
from peercell.grid.service_control import Firmware, devices_of
from peercell.grid.service_errors import RefusedError
from peercell.grid.service_reading import Picture
from peercell.grid.service_rights import Caller, GridServiceSettings, Rights
from peercell.grid.service_standing import Standing
from peercell.grid.service_state import Plant
from peercell.grid.service_subscribers import Subscribers
from peercell.grid.service_writes import WRITES, Write, Writer

# s; longest wait for requests that are likely to come.
WINDOW_S = 0.001
_FLUSH, _REFRESH, _PRIMARY = "flush", "refresh", "primary"
_REQUESTS: frozenset[type] = frozenset(get_args(GridRequest))


@dataclass(slots=True)
class _Counts:
    """What `GridStats` tells of the role itself."""

    requests: int = 0
    turns: int = 0
    turn_max: int = 0
    refusals: int = 0
    busy: int = 0
    ignored: int = 0
    replays: int = 0
    pushes: int = 0


class GridService:
    """Solves one cell for many peers; see `Role` and docs/reference/grid-service.md.

    Parameters
    ----------
    cell, profiles : a checked cell and its profiles.
    settings : who may do what, and when to begin.

    Raises
    ------
    UnknownElementError, CellError, MissingExtraError : see `Rights` and `Feeder`.
    TimeOutsideProfilesError : the profiles do not cover the start.
    RefusedError : the cell has no solution at the start.
    """

    def __init__(self, cell: Cell, profiles: Profiles, settings: GridServiceSettings) -> None:
        self._settings = settings
        self._plant = Plant(cell, profiles, devices_of(settings.controlled))
        self._firmware = Firmware(self._plant, settings.controlled, settings.silence_s)
        rights = Rights(cell, settings)
        self._rights = rights
        self._writer = Writer(self._plant, rights, settings)
        self._reader = Reader(self._plant, rights, self._writer)
        self._standing = self._plant.start(settings.start)
        self._picture = self._plant.solve(self._standing)
        self._queue: list[tuple[Caller, GridRequest]] = []
        self._waiting: dict[Caller, int] = {}
        self._subscribers = Subscribers()
        self._counts = _Counts()
        # Requests that are likely to come together: as many as last time, or a few turns ago.
        self._expected = 1

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See `Role.step`."""
        match event:
            case Received():
                return self._queue_up(event.sender, event.message)
            case TimerFired():
                return self._fire(event.name, now_s)
            case Commanded(request_id, request):
                return self._queue_up(request_id, request)
            case Started():
                return self._start(now_s)
            case PeerUp(peer, incarnation):
                self._subscribers.meet(peer, incarnation)
                return []
            case PeerDown():
                return []
            case _:
                assert_never(event)

    @property
    def set_points(self) -> Mapping[str, tuple[float, float]]:
        """What each asset is set to now, kW and kvar, with all corrections and primary control."""
        standing, position = self._standing, self._plant.position
        return {
            asset: (float(standing.p_kw[number]), float(standing.q_kvar[number]))
            for asset, number in position.items()
        }

    def _start(self, now_s: float) -> list[Action]:
        refresh = SetTimer(_REFRESH, self._settings.refresh_s)
        if not self._settings.controlled:
            return [refresh]
        self._firmware.start(now_s)
        return [refresh, SetTimer(_PRIMARY, self._settings.primary_s)]

    def _fire(self, timer: str, now_s: float) -> list[Action]:
        match timer:
            case "flush":
                return self._flush(now_s)
            case "primary":
                again = SetTimer(_PRIMARY, self._settings.primary_s)
                return [*self._let_inverters_act(now_s), again]
            case _:
                return self._refresh()

    def _let_inverters_act(self, now_s: float) -> list[Action]:
        moved = self._firmware.step(self._standing, self._picture, now_s)
        if moved is None:
            return []
        self._commit(*moved)
        return self._tell(writes=0, refusals=0)

    def _queue_up(self, caller: Caller, message: Message) -> list[Action]:
        if type(message) not in _REQUESTS:
            return self._ignore(caller, message)
        request = cast("GridRequest", message)
        waiting = self._waiting.get(caller, 0)
        if waiting >= self._settings.waiting_max:
            self._counts.busy += 1
            return [self._refuse(caller, request.seq, _busy(waiting))]
        self._waiting[caller] = waiting + 1
        self._queue.append((caller, request))
        return self._schedule_flush(len(self._queue))

    def _schedule_flush(self, count: int) -> list[Action]:
        """Return when to answer, now that so many requests wait.

        That is at the end of the host's turn, when all that has arrived is in the queue, once there
        are as many as lately: peers that act in step share a solution, and who asks alone never
        waits. One who has stopped asking is waited for once, for a moment.
        """
        if count == self._expected:
            return [SetTimer(_FLUSH, 0.0)]
        return [SetTimer(_FLUSH, WINDOW_S)] if count == 1 else []

    def _ignore(self, caller: Caller, message: Message) -> list[Action]:
        self._counts.ignored += 1
        if isinstance(caller, str):
            return []
        error = RefusedError(
            RefusalCode.BAD_REQUEST,
            f"the grid service does not understand {type(message).__name__}",
        )
        return [self._refuse(caller, 0, error)]

    def _flush(self, now_s: float) -> list[Action]:
        queue, self._queue = self._queue, []
        self._waiting.clear()
        before = self._standing.rev
        writes = [
            (number, caller, request)
            for number, (caller, request) in enumerate(queue)
            if isinstance(request, WRITES)
        ]
        refused = self._write(writes) if writes else {}
        stamp = self._standing.stamp
        actions: list[Action] = []
        for number, (caller, request) in enumerate(queue):
            try:
                if number in refused:
                    raise refused[number]
                actions.append(_address(caller, self._answer(caller, request, stamp)))
            except RefusedError as error:
                self._counts.refusals += 1
                actions.append(self._refuse(caller, request.seq, error))
        self._expected = max(len(queue), self._expected - 1)
        counts = self._counts
        counts.requests += len(queue)
        counts.turns += 1
        counts.turn_max = max(counts.turn_max, len(queue))
        for number, _, request in writes:
            if isinstance(request, Corrections) and number not in refused:
                self._firmware.hear(request.corrections, now_s)
        if self._standing.rev != before:
            actions.extend(self._tell(len(writes), len(refused)))
        return actions

    def _tell(self, writes: int, refusals: int) -> list[Action]:
        """Return what subscribers and observers hear of a new state."""
        stamp = self._standing.stamp
        changes = self._pushes(self._subscribers.changes(self._picture, stamp))
        return [*changes, Record(GridRevision(stamp, writes, refusals, self._picture.whole))]

    def _write(self, writes: list[tuple[int, Caller, Write]]) -> dict[int, RefusedError]:
        """Apply the writes of a turn with one solution; return the refused ones by position."""
        refused = {}
        candidate = self._standing.copy()
        for number, caller, request in writes:
            try:
                self._apply(candidate, caller, request)
            except RefusedError as error:
                refused[number] = error
        try:
            picture = self._solve(candidate)
        except RefusedError:
            return self._write_one_by_one(writes)
        self._commit(candidate, picture)
        return refused

    def _apply(self, standing: Standing, caller: Caller, request: Write) -> None:
        """Apply a write; one whose view cannot be shown is refused before it changes anything."""
        if request.view is not None:
            self._reader.check(self._picture, caller, request.view)
        self._writer.write(standing, caller, request)

    def _solve(self, candidate: Standing) -> Picture:
        """Return the state of a candidate, the known one where no power has changed."""
        known = self._standing
        if not candidate.is_new:
            return self._picture
        if candidate.at != known.at and candidate.has_powers_of(known):
            return self._picture
        return self._plant.solve(candidate)

    def _write_one_by_one(self, writes: list[tuple[int, Caller, Write]]) -> dict[int, RefusedError]:
        """Apply the writes that can be solved, in the order of arrival; return the others."""
        self._counts.replays += 1
        refused = {}
        good, picture = self._standing, self._picture
        for number, caller, request in writes:
            trial = good.copy()
            try:
                self._apply(trial, caller, request)
                if trial.is_new:
                    picture = self._plant.solve_change(good, trial)
            except RefusedError as error:
                refused[number] = error
            else:
                trial.is_new |= good.is_new
                good = trial
        self._commit(good, picture)
        return refused

    def _commit(self, candidate: Standing, picture: Picture) -> None:
        old = self._standing
        if candidate.is_new:
            candidate.rev += 1
            if (
                candidate.arrangement is not old.arrangement
                and candidate.arrangement != old.arrangement
            ) or candidate.topo != old.topo:
                candidate.topo += 1
            candidate.is_new = False
        self._standing, self._picture = candidate, picture

    def _answer(self, caller: Caller, request: GridRequest, stamp: Stamp) -> GridReply:
        if isinstance(request, WRITES):
            return self._reader.report(request.seq, stamp, self._picture, caller, request.view)
        match request:
            case GridHello():
                subscribed = self._subscribers.newest_seq(str(caller))
                return self._reader.welcome(self._standing, caller, request.seq, subscribed)
            case Subscription():
                return self._subscribe(caller, request, stamp)
            case StatsQuery():
                self._rights.check_operator(caller, "see the statistics")
                return GridStats(
                    request.seq,
                    stamp,
                    solves=self._plant.solves,
                    feeders=self._plant.feeders,
                    **asdict(self._counts),
                )
            case _:
                return self._reader.read(self._standing, self._picture, caller, request)

    def _subscribe(self, caller: Caller, request: Subscription, stamp: Stamp) -> StateReport:
        if isinstance(caller, int):
            raise RefusedError(
                RefusalCode.BAD_REQUEST, "a command cannot subscribe", "it is answered once"
            )
        self._subscribers.check(caller, request)
        report = self._reader.report(request.seq, stamp, self._picture, caller, request.view)
        self._subscribers.put(caller, request, report.reading)
        return report

    def _refresh(self) -> list[Action]:
        reports = self._subscribers.overdue(self._picture, self._standing.stamp)
        return [*self._pushes(reports), SetTimer(_REFRESH, self._settings.refresh_s)]

    def _pushes(self, reports: Iterable[tuple[str, StateReport]]) -> list[Action]:
        pushes: list[Action] = [Send(peer, report) for peer, report in reports]
        self._counts.pushes += len(pushes)
        return pushes

    def _refuse(self, caller: Caller, seq: int, error: RefusedError) -> Action:
        refusal = GridRefusal(
            seq=seq,
            stamp=self._standing.stamp,
            code=error.code,
            what=error.what[:2000],
            why=error.why[:2000],
            fix=error.fix[:2000],
            facts=error.facts,
        )
        return _address(caller, refusal)


def _address(caller: Caller, reply: GridReply) -> Action:
    return Reply(caller, reply) if isinstance(caller, int) else Send(caller, reply)


def _busy(waiting: int) -> RefusedError:
    return RefusedError(
        RefusalCode.BUSY,
        f"{waiting} requests of yours are waiting already",
        "a peer may not crowd out the others",
        "wait for a reply before you send more",
    )
