"""How a write changes what stands: checked against ranges and rights, and the newest word wins."""

from collections.abc import Iterable
from dataclasses import replace
from math import hypot, inf
from typing import TypeVar, assert_never

from peercell.agents.grid_messages import (
    Corrections,
    DisturbanceOrder,
    RestoreOrder,
    SetPoints,
    SoftOpenPointOrder,
    SwitchingOrder,
    TimeOrder,
)
from peercell.agents.grid_parts import (
    Correction,
    Disturbance,
    Outage,
    RefusalCode,
    RefusalFacts,
    SetPoint,
    SourceState,
    Switching,
    SwitchPosition,
    TapPosition,
    Thing,
)
from peercell.grid.nearest import unknown
from peercell.grid.service_disturbances import check_disturbance
from peercell.grid.service_errors import (
    ROUNDING,
    RefusedError,
    refusal,
    stale_seq,
    too_much,
    unknown_asset,
)
from peercell.grid.service_points import sides_of
from peercell.grid.service_rights import Caller, GridServiceSettings, Rights
from peercell.grid.service_standing import (
    Arrangement,
    Change,
    Rearrangement,
    Standing,
    key_of,
)
from peercell.grid.service_state import Plant

Operation = SwitchingOrder | DisturbanceOrder | TimeOrder | RestoreOrder
Write = SetPoints | Corrections | SoftOpenPointOrder | Operation
# To ask a tuple takes a fifth of the time.
WRITES = (
    SetPoints, Corrections, SoftOpenPointOrder,
    SwitchingOrder, DisturbanceOrder, TimeOrder, RestoreOrder,
)  # fmt: skip
AnyChange = TypeVar("AnyChange", bound=Change)
Value = TypeVar("Value", bool, int)

_SOURCE_PU_MIN, _SOURCE_PU_MAX = 0.5, 1.5
_NOTHING: dict[str, float] = {}


class Writer:
    """Applies writes to what stands; a refused write leaves no trace.

    Parameters
    ----------
    plant : the cell.
    rights : who may write what.
    settings : the soft open points.
    """

    def __init__(self, plant: Plant, rights: Rights, settings: GridServiceSettings) -> None:
        cell = plant.cell
        self._plant, self._rights = plant, rights
        self._points = settings.soft_open_points
        self._rating = {asset.id: asset.rating_kva for asset in plant.assets}
        # What each peer's own assets carry at most: one look-up says whose and how much.
        self._own_kva: dict[Caller, dict[str, float]] = {}
        for asset, peer in rights.owner_of.items():
            rating = self._rating[asset]
            most_kva = inf if rating is None else rating * ROUNDING
            self._own_kva.setdefault(peer, {})[asset] = most_kva
        self._buses = {bus.id for bus in cell.buses}
        self._closed = {switch.id: switch.closed for switch in cell.switches}
        self._taps = {unit.id: unit for unit in cell.transformers}
        self._in_service = {branch.id: branch.in_service for branch in cell.branches}
        self._in_service |= {unit.id: unit.in_service for unit in cell.transformers}
        self._sources = {source.id for source in cell.sources}

    def write(self, standing: Standing, caller: Caller, request: Write) -> None:
        """Apply a request to what stands, all of it or nothing.

        Raises
        ------
        RefusedError : every code but collapse, no_source, dead_bus and busy.
        """
        match request:
            case SetPoints():
                self._check_own(caller, request.set_points)
                newer = self._newer(standing, caller, request.seq, request.set_points)
                self._plant.place(standing, newer)
            case Corrections():
                self._check_controlled(caller, request.corrections)
                for wanted in self._newer(standing, caller, request.seq, request.corrections):
                    self._plant.correct(standing, wanted)
            case SoftOpenPointOrder():
                sides = sides_of(request, self._points, self._rating, self._rights, caller)
                self._plant.place(standing, self._newer(standing, caller, request.seq, sides))
            case SwitchingOrder() | DisturbanceOrder() | TimeOrder() | RestoreOrder():
                self._operate(standing, caller, request)
            case _:
                assert_never(request)

    def _operate(self, standing: Standing, caller: Caller, order: Operation) -> None:
        match order:
            case SwitchingOrder():
                self._rights.check_operator(caller, "change what is connected")
                changes = self._rearrangements(standing, order.switching)
                for change in self._newer(standing, caller, order.seq, changes):
                    self._rearrange(standing, change)
            case DisturbanceOrder():
                self._rights.check_operator(caller, "disturb assets")
                check_disturbance(order.disturbance, self._plant.position)
                for told in self._newer(standing, caller, order.seq, (order.disturbance,)):
                    self._plant.disturb(standing, told)
            case TimeOrder():
                self._rights.check_operator(caller, "move the time")
                self._move(standing, order)
            case RestoreOrder():
                self._rights.check_operator(caller, "restore a state")
                self._restore(standing, caller, order)
            case _:
                assert_never(order)

    def suppose(
        self, standing: Standing, set_points: Iterable[SetPoint], switching: Switching
    ) -> None:
        """Apply hypothetical changes, which need no right and have no order.

        Raises
        ------
        RefusedError : the cell has no such thing, or it cannot take this value.
        """
        points = tuple(set_points)
        self._check_points(points)
        changes = self._rearrangements(standing, switching, can_be_empty=True)
        self._plant.place(standing, points)
        for change in changes:
            self._rearrange(standing, change)

    def _check_own(self, caller: Caller, points: tuple[SetPoint, ...]) -> None:
        if not points:
            raise RefusedError(
                RefusalCode.BAD_REQUEST, "there is no set-point to set", "the list is empty"
            )
        most_kva = self._own_kva.get(caller, _NOTHING).get
        for point in points:
            if hypot(point.p_kw or 0.0, point.q_kvar or 0.0) > most_kva(point.asset, -1.0):
                break
        else:
            if len({point.asset for point in points}) == len(points):
                return
        # Something is wrong, and this says what.
        self._check_points(points)
        for point in points:
            self._rights.check_owner(caller, point.asset)
            self._rights.check_single(point.asset)

    def _check_controlled(self, caller: Caller, corrections: tuple[Correction, ...]) -> None:
        if not corrections or len({c.asset for c in corrections}) < len(corrections):
            raise RefusedError(
                RefusalCode.BAD_REQUEST,
                "corrections must name assets, and none twice",
                f"there are {len(corrections)}",
            )
        for correction in corrections:
            self._rights.check_controller(caller, correction.asset)

    def _check_points(self, points: tuple[SetPoint, ...]) -> None:
        position = self._plant.position
        for point in points:
            if point.asset not in position:
                raise unknown_asset(point.asset, position)
            rating = self._rating[point.asset]
            if rating is not None:
                kva = hypot(point.p_kw or 0.0, point.q_kvar or 0.0)
                if kva > rating * ROUNDING:
                    raise too_much(f'asset "{point.asset}"', point.asset, kva, rating)
        if len(points) > 1 and len({point.asset for point in points}) < len(points):
            raise RefusedError(
                RefusalCode.BAD_REQUEST,
                "an asset is set twice in one request",
                "which of the two shall hold is not said",
            )

    def _rearrangements(
        self, standing: Standing, switching: Switching, *, can_be_empty: bool = False
    ) -> tuple[Rearrangement, ...]:
        """Return the changes of a switching, each checked against the cell."""
        changes: tuple[Rearrangement, ...] = (
            *switching.switches,
            *switching.taps,
            *switching.outages,
            *switching.sources,
        )
        if len({key_of("", change) for change in changes}) < len(changes) or not (
            changes or can_be_empty
        ):
            raise RefusedError(
                RefusalCode.BAD_REQUEST,
                "a switching must change something, and nothing twice",
                f"it has {len(changes)} changes",
            )
        for change in changes:
            self._check_rearrangement(standing, change)
        return changes

    def _check_rearrangement(self, standing: Standing, change: Rearrangement) -> None:
        match change:
            case SwitchPosition():
                if change.switch not in self._closed:
                    raise refusal(unknown("switch", change.switch, self._closed))
            case TapPosition():
                self._check_tap(change)
            case Outage():
                if change.branch not in self._in_service:
                    raise refusal(unknown("branch", change.branch, self._in_service))
                if not self._in_service[change.branch]:
                    raise RefusedError(
                        RefusalCode.BAD_TOPOLOGY,
                        f'branch "{change.branch}" cannot be put in or out of service',
                        "the cell file has it out of service for good",
                    ).with_facts(RefusalFacts(element=change.branch))
            case SourceState():
                self._check_source(standing, change)
            case _:
                assert_never(change)

    def _check_tap(self, change: TapPosition) -> None:
        if change.transformer not in self._taps:
            raise refusal(unknown("transformer", change.transformer, self._taps))
        positions = [tap.position for tap in self._taps[change.transformer].taps]
        if change.position not in positions:
            raise RefusedError(
                RefusalCode.OUT_OF_RANGE,
                f'transformer "{change.transformer}" has no tap position {change.position}',
                f"it has {positions[0]} to {positions[-1]}",
            ).with_facts(RefusalFacts(element=change.transformer))

    def _check_source(self, standing: Standing, change: SourceState) -> None:
        name = change.source
        if change.on and change.bus:
            if change.bus not in self._buses:
                raise refusal(unknown("bus", change.bus, self._buses))
            if not _SOURCE_PU_MIN <= change.v_pu <= _SOURCE_PU_MAX:
                raise RefusedError(
                    RefusalCode.OUT_OF_RANGE,
                    f'source "{name}" cannot hold {change.v_pu} pu',
                    f"a source holds {_SOURCE_PU_MIN} to {_SOURCE_PU_MAX} pu",
                ).with_facts(RefusalFacts(element=name, asked=change.v_pu, most=_SOURCE_PU_MAX))
            return
        declared = {name for _, thing, name in standing.newest if thing is Thing.SOURCE}
        if name not in self._sources and (change.on or name not in declared):
            raise refusal(unknown("source", name, self._sources | declared))

    def _newer(
        self, standing: Standing, caller: Caller, seq: int, changes: tuple[AnyChange, ...]
    ) -> list[AnyChange]:
        """Return the changes that are newer than what the caller wrote before, and note them.

        Raises
        ------
        RefusedError : stale_seq, none of them is.
        """
        peer = "" if isinstance(caller, int) else caller
        newest, stale, fresh = standing.newest, None, []
        for change in changes:
            key = key_of(peer, change)
            last = newest.get(key, -1)
            if seq > last:
                fresh.append(change)
                newest[key] = seq
            elif seq < last or not self._stands(standing, change):
                stale = last
        if stale is not None and not fresh:
            raise stale_seq(seq, stale)
        return fresh

    def _stands(self, standing: Standing, change: Change) -> bool:
        if isinstance(change, SetPoint):
            return change == standing.set_point(change.asset)
        if isinstance(change, Correction):
            return change == standing.correction(change.asset)
        if isinstance(change, Disturbance):
            return change == standing.disturbance(change.name)
        return self._rearranged(standing.arrangement, change) == standing.arrangement

    def _rearrange(self, standing: Standing, change: Rearrangement) -> None:
        arrangement = self._rearranged(standing.arrangement, change)
        if arrangement != standing.arrangement:
            standing.arrangement, standing.is_new = arrangement, True

    def _rearranged(self, old: Arrangement, change: Rearrangement) -> Arrangement:
        """Return an arrangement with one thing changed; what the file says is left out."""
        match change:
            case SwitchPosition(switch, closed):
                in_file = closed == self._closed[switch]
                return replace(old, closed=_with(old.closed, switch, None if in_file else closed))
            case TapPosition(transformer, position):
                in_file = position == self._taps[transformer].tap
                return replace(
                    old, taps=_with(old.taps, transformer, None if in_file else position)
                )
            case Outage(branch, out):
                others = {*old.outages} - {branch}
                return replace(old, outages=tuple(sorted(others | {branch} if out else others)))
            case SourceState(source, on, bus):
                kept = [state for state in old.sources if state.source != source]
                if on and bus:
                    kept.append(change)
                elif not on and source in self._sources:
                    kept.append(SourceState(source, on=False))
                kept.sort(key=lambda state: state.source)
                return replace(old, sources=tuple(kept))
            case _:
                assert_never(change)

    def _move(self, standing: Standing, order: TimeOrder) -> None:
        if standing.at is not None and order.at < standing.at:
            raise RefusedError(
                RefusalCode.TIME_PAST,
                f"{order.at.isoformat()} is past",
                f"the cell is at {standing.at.isoformat()}, and time does not go back",
                "restore a snapshot to go back",
            )
        if order.at != standing.at:
            self._plant.move(standing, order.at)

    def _restore(self, standing: Standing, caller: Caller, order: RestoreOrder) -> None:
        snapshot, plant = order.snapshot, self._plant
        if snapshot.digest != plant.digest:
            raise RefusedError(
                RefusalCode.BAD_REQUEST,
                "the snapshot is of another cell",
                f"its content hash is {snapshot.digest[:12]}…, this cell's {plant.digest[:12]}…",
            )
        peer = "" if isinstance(caller, int) else caller
        key = (peer, Thing.STATE, "")
        last = standing.newest.get(key, -1)
        if order.seq == last:
            return
        if order.seq < last:
            raise stale_seq(order.seq, last)
        self._check_points(snapshot.set_points)
        restored = plant.start(None)
        for entry in snapshot.newest:
            restored.newest[entry.peer, entry.thing, entry.name] = entry.seq
        changes = self._rearrangements(restored, snapshot.switching, can_be_empty=True)
        plant.fill(restored, snapshot.stored)
        plant.place(restored, snapshot.set_points)
        for wanted in snapshot.corrections:
            plant.correct(restored, wanted)
        for shift in snapshot.primary:
            plant.shift(restored, shift)
        for disturbance in snapshot.disturbances:
            check_disturbance(disturbance, plant.position)
            plant.disturb(restored, disturbance)
        for change in changes:
            self._rearrange(restored, change)
        plant.move(restored, snapshot.stamp.at)
        standing.take(restored)
        standing.rev = max(standing.rev, snapshot.stamp.rev)
        standing.topo = max(standing.topo, snapshot.stamp.topo)
        for name, seq in restored.newest.items():
            standing.newest[name] = max(seq, standing.newest.get(name, -1))
        standing.newest[key] = order.seq


def _with(
    pairs: tuple[tuple[str, Value], ...], name: str, value: Value | None
) -> tuple[tuple[str, Value], ...]:
    """Return sorted pairs with one of them set, or taken out for None."""
    table = dict(pairs)
    table.pop(name, None)
    if value is not None:
        table[name] = value
    return tuple(sorted(table.items()))
