"""What the service answers to those who ask: who am I, what is connected, what would happen."""

from typing import assert_never

import numpy as np

from peercell.agents.grid_messages import (
    GridSnapshot,
    GridWelcome,
    SensitivityQuery,
    SensitivityReport,
    SnapshotQuery,
    StateQuery,
    StateReport,
    TopologyQuery,
    TopologyReport,
    WhatIfQuery,
    WhatIfReport,
)
from peercell.agents.grid_parts import (
    AssetFacts,
    BranchFacts,
    BusFacts,
    CouplingFacts,
    MicrogridFacts,
    Newest,
    Outcome,
    RefusalCode,
    RefusalFacts,
    SensitivityModel,
    SourceState,
    Stamp,
    SwitchPosition,
    TieFacts,
    View,
)
from peercell.grid.errors import UnknownElementError
from peercell.grid.model import Bus, Source
from peercell.grid.nearest import unknown
from peercell.grid.sensitivity import Sensitivity
from peercell.grid.service_errors import RefusedError, refusal
from peercell.grid.service_reading import Picture
from peercell.grid.service_rights import Caller, Rights
from peercell.grid.service_standing import Standing
from peercell.grid.service_state import Plant
from peercell.grid.service_writes import Writer
from peercell.grid.violations import node_names

Read = StateQuery | SensitivityQuery | TopologyQuery | WhatIfQuery | SnapshotQuery

# The exact derivative solves a dense system of twice this size, about a second's work.
_EXACT_NODES_MAX = 1000
# Each network of a what-if is built anew, some milliseconds at a hundred buses.
_NETWORKS_MAX = 32


class Reader:
    """Answers from a solved state; changes nothing.

    Parameters
    ----------
    plant : the cell.
    rights : who may see what.
    writer : knows what a hypothetical change does.
    """

    def __init__(self, plant: Plant, rights: Rights, writer: Writer) -> None:
        self._plant, self._rights, self._writer = plant, rights, writer
        self._slopes: dict[tuple[str, SensitivityModel], Sensitivity] = {}
        self._slopes_rev = -1
        # Peers ask for the same view again and again; to compare is cheaper than to check.
        self._latest: dict[Caller, View] = {}

    def read(
        self, standing: Standing, picture: Picture, caller: Caller, request: Read
    ) -> StateReport | SensitivityReport | TopologyReport | WhatIfReport | GridSnapshot:
        """Return the answer to a request that changes nothing.

        Raises
        ------
        RefusedError : unknown_element, not_authorised, dead_bus or out_of_range.
        """
        stamp = standing.stamp
        match request:
            case StateQuery():
                return self.report(request.seq, stamp, picture, caller, request.view)
            case SensitivityQuery():
                return self._sensitivity(standing, picture, request)
            case TopologyQuery():
                return self._topology(standing, picture, request.seq)
            case WhatIfQuery():
                return self._what_if(standing, caller, request)
            case SnapshotQuery():
                self._rights.check_operator(caller, "take a snapshot")
                return self._snapshot(standing, request.seq)
            case _:
                assert_never(request)

    def report(
        self, seq: int, stamp: Stamp, picture: Picture, caller: Caller, view: View | None
    ) -> StateReport:
        """Return a state report, with a reading where a view is asked.

        Raises
        ------
        RefusedError : unknown_element or not_authorised.
        """
        if view is None:
            return StateReport(seq, stamp)
        return StateReport(seq, stamp, picture.reading(self.check(picture, caller, view)))

    def check(self, picture: Picture, caller: Caller, view: View) -> View:
        """Return the view, or the equal one that this caller asked for before.

        Raises
        ------
        RefusedError : it names what is not there or not to be seen.
        """
        latest = self._latest.get(caller)
        if latest == view:
            return latest
        if self._rights.is_in_sight(caller, view):
            if isinstance(caller, str):
                self._latest[caller] = view
            return view
        try:
            picture.lens.plan(view)
        except UnknownElementError as error:
            raise refusal(error) from None
        self._rights.check_view(caller, view)
        return view

    def _sensitivity(
        self, standing: Standing, picture: Picture, query: SensitivityQuery
    ) -> SensitivityReport:
        feeder = picture.lens.feeder
        if query.bus in feeder.dead:
            raise RefusedError(
                RefusalCode.DEAD_BUS, f'bus "{query.bus}" has no voltage', feeder.dead[query.bus]
            ).with_facts(RefusalFacts(element=query.bus))
        slopes = self._slope(standing, picture, query.bus, query.model)
        rows = []
        for bus in query.buses:
            if bus not in picture.lens.position:
                raise self._without_voltage(picture, bus)
            rows.append(picture.lens.position[bus])
        # Power at a bus is shared by its phases, so its answer is their mean.
        return SensitivityReport(
            seq=query.seq,
            stamp=standing.stamp,
            bus=query.bus,
            model=query.model,
            per_kw=tuple(slopes.per_kw[rows].mean(axis=1).tolist()),
            per_kvar=tuple(slopes.per_kvar[rows].mean(axis=1).tolist()),
        )

    def _without_voltage(self, picture: Picture, bus: str) -> RefusedError:
        for dead in picture.lens.dead:
            if dead.bus == bus:
                return RefusedError(
                    RefusalCode.DEAD_BUS, f'bus "{bus}" has no voltage', dead.cause
                ).with_facts(RefusalFacts(element=bus))
        return refusal(unknown("bus", bus, picture.lens.position))

    def _slope(
        self, standing: Standing, picture: Picture, bus: str, model: SensitivityModel
    ) -> Sensitivity:
        if standing.rev != self._slopes_rev:
            self._slopes.clear()
            self._slopes_rev = standing.rev
        found = self._slopes.get((bus, model))
        if found is None:
            try:
                found = _slope(picture, standing, bus, model)
            except UnknownElementError as error:
                raise refusal(error) from None
            self._slopes[bus, model] = found
        return found

    def _what_if(self, standing: Standing, caller: Caller, query: WhatIfQuery) -> WhatIfReport:
        refused: dict[int, RefusedError] = {}
        supposed = []
        for number, case in enumerate(query.cases):
            copy = standing.copy()
            try:
                self._writer.suppose(copy, case.set_points, case.switching)
            except RefusedError as error:
                refused[number] = error
            else:
                supposed.append(copy)
        networks = len({copy.arrangement for copy in supposed})
        if networks > _NETWORKS_MAX:
            raise RefusedError(
                RefusalCode.OUT_OF_RANGE,
                f"the cases are of {networks} different networks",
                f"one query may ask about {_NETWORKS_MAX}",
                "spread the cases over several queries",
            ).with_facts(RefusalFacts(asked=networks, most=_NETWORKS_MAX))
        solved = iter(self._plant.solve_all(supposed))
        outcomes = []
        for number in range(len(query.cases)):
            result = refused.get(number) or next(solved)
            if isinstance(result, RefusedError):
                why = f"{result.what}: {result.why}" if result.why else result.what
                outcomes.append(Outcome(None, result.code, why[:2000]))
            else:
                self.check(result, caller, query.view)
                outcomes.append(Outcome(result.reading(query.view)))
        return WhatIfReport(query.seq, standing.stamp, tuple(outcomes))

    def welcome(self, standing: Standing, caller: Caller, seq: int, subscribed: int) -> GridWelcome:
        """Return what a caller must know to begin; `subscribed` is its subscription's `seq`."""
        cell, access = self._plant.cell, self._rights.access(caller)
        sees_all = access.sees_all or access.operates
        seen = self._rights.sight(caller).nodes
        position, (p_kw, q_kvar) = self._plant.position, standing.injected
        peer = "" if isinstance(caller, int) else caller
        return GridWelcome(
            seq=seq,
            stamp=standing.stamp,
            cell=cell.name,
            digest=self._plant.digest,
            seq_newest=max(
                subscribed, *(n for key, n in standing.newest.items() if key[0] == peer), 0
            ),
            assets=tuple(
                AssetFacts(
                    asset=asset.id,
                    bus=customer.bus,
                    kind=asset.kind.value,
                    p_kw=float(p_kw[position[asset.id]]),
                    q_kvar=float(q_kvar[position[asset.id]]),
                    rating_kva=asset.rating_kva,
                )
                for customer in cell.customers
                for asset in customer.assets
                if isinstance(caller, int) or asset.id in access.assets
            ),
            buses=tuple(
                facts
                for bus in cell.buses
                for facts in self._bus_facts(bus)
                if sees_all or facts.bus in seen
            ),
            microgrids=access.microgrids,
            sees_all=sees_all,
            operates=access.operates,
        )

    def _bus_facts(self, bus: Bus) -> list[BusFacts]:
        return [
            BusFacts(name, bus.kv, bus.v_min_pu, bus.v_max_pu)
            for name in node_names(self._plant.cell, bus.id)
        ]

    def _topology(self, standing: Standing, picture: Picture, seq: int) -> TopologyReport:
        cell = picture.lens.feeder.cell
        closed = dict(standing.arrangement.closed)
        return TopologyReport(
            seq=seq,
            stamp=standing.stamp,
            buses=tuple(facts for bus in cell.buses for facts in self._bus_facts(bus)),
            branches=_branches(standing, picture),
            switches=tuple(
                SwitchPosition(switch.id, closed.get(switch.id, switch.closed))
                for switch in cell.switches
            ),
            sources=tuple(_source_state(source) for source in cell.sources),
            microgrids=tuple(
                MicrogridFacts(microgrid.id, microgrid.buses) for microgrid in cell.zones.microgrids
            ),
            couplings=tuple(
                CouplingFacts(point.branch, point.lower, point.upper or "")
                for point in cell.zones.coupling_points
            ),
            ties=tuple(TieFacts(tie.element, *tie.microgrids) for tie in cell.zones.ties),
            dead=picture.lens.dead,
        )

    def _snapshot(self, standing: Standing, seq: int) -> GridSnapshot:
        position = self._plant.position
        points = standing.set_points.values()
        return GridSnapshot(
            seq=seq,
            stamp=standing.stamp,
            digest=self._plant.digest,
            set_points=tuple(sorted(points, key=lambda point: position[point.asset])),
            switching=standing.arrangement.switching(),
            newest=tuple(Newest(*key, newest) for key, newest in sorted(standing.newest.items())),
            corrections=tuple(standing.corrections[name] for name in sorted(standing.corrections)),
            primary=tuple(standing.primary[name] for name in sorted(standing.primary)),
            stored=self._plant.stored(standing),
            disturbances=tuple(
                standing.disturbances[name] for name in sorted(standing.disturbances)
            ),
        )


def _slope(picture: Picture, standing: Standing, bus: str, model: SensitivityModel) -> Sensitivity:
    feeder = picture.lens.feeder
    match model:
        case SensitivityModel.EXACT:
            if feeder.power_flow.active.size > _EXACT_NODES_MAX:
                raise RefusedError(
                    RefusalCode.OUT_OF_RANGE,
                    "exact sensitivities are too dear in a cell of this size",
                    f"power is injected at {feeder.power_flow.active.size} nodes",
                    "ask for the first-order model, which is 2 to 5 % off",
                )
            return feeder.sensitivity(*standing.injected, bus)
        case SensitivityModel.FIRST_ORDER:
            return feeder.first_order_sensitivity(*standing.injected, bus)
        case SensitivityModel.LINDISTFLOW:
            # The linear model is the first-order one at no load.
            none = np.zeros_like(standing.p_kw)
            return feeder.first_order_sensitivity(none, none, bus)
        case _:
            assert_never(model)


def _branches(standing: Standing, picture: Picture) -> tuple[BranchFacts, ...]:
    cell, lens = picture.lens.feeder.cell, picture.lens
    taps = dict(standing.arrangement.taps)
    lines = [
        BranchFacts(
            branch=branch.id,
            from_bus=branch.from_bus,
            to_bus=branch.to_bus,
            r_ohm=branch.r_ohm,
            x_ohm=branch.x_ohm,
            most=branch.rating_a,
            closed=lens.is_live(branch.id),
        )
        for branch in cell.branches
    ]
    for unit in cell.transformers:
        tap = unit.at(taps.get(unit.id, unit.tap))
        lines.append(
            BranchFacts(
                branch=unit.id,
                from_bus=unit.hv_bus,
                to_bus=unit.lv_bus,
                r_ohm=tap.r_ohm,
                x_ohm=tap.x_ohm,
                most=unit.rating_kva,
                closed=lens.is_live(unit.id),
            )
        )
    return tuple(lines)


def _source_state(source: Source) -> SourceState:
    return SourceState(
        source=source.id,
        on=True,
        bus=source.bus,
        v_pu=source.v_pu,
        angle_deg=source.angle_deg,
        r_ohm=source.r_ohm,
        x_ohm=source.x_ohm,
    )
