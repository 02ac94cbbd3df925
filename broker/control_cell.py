"""Which peers control an operating point: a voltage agent at each bus and branch, and the grid."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from msgspec import Struct

from peercell.agents.control.device import DeviceSettings
from peercell.agents.control.paths import Path
from peercell.agents.control.rhythm import Rhythm
from peercell.agents.control.station import BranchLimit, Place
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.grid.control_case import ControlCase, LoadingLimit
from peercell.grid.control_device import PlacedDevice
from peercell.grid.errors import ControlCaseError
from peercell.grid.model import Cell
from peercell.grid.paths import path_lists
from peercell.grid.service_control import ControlledAsset
from peercell.grid.service_rights import Access, GridServiceSettings

GRID = "grid"
_SQRT3 = 3.0**0.5
_RENEWED_TICKS, _SILENT_TICKS = 10, 30


class ControlPeers(Struct, frozen=True):
    """The settings of all peers that control a case.

    Parameters
    ----------
    agents : of the voltage agents, by name
    service : of the grid service
    """

    agents: dict[str, VoltageSettings]
    service: GridServiceSettings


def control_peers(case: ControlCase, rhythm: Rhythm) -> ControlPeers:
    """Return who controls a case: an agent for each monitored bus, device bus and limited branch.

    Inverters act once a tick, and take their agent for silent after 30.

    Raises
    ------
    ControlCaseError : a limited branch does not lie on the way to any bus.
    """
    paths = path_lists(case.cell)
    places = dict(_places(case))
    members = tuple(sorted(places))
    agents = {
        name: VoltageSettings(
            name=name,
            grid=GRID,
            members=members,
            place=place,
            path=_path(place, paths),
            rhythm=rhythm,
            v_min_pu=case.limits.v_min_pu,
            v_max_pu=case.limits.v_max_pu,
            margin_pu=case.limits.margin_pu,
            margin_share=case.limits.margin_percent / 100.0,
            renew_s=_RENEWED_TICKS * rhythm.tick_s,
        )
        for name, place in places.items()
    }
    access = {
        name: Access(
            buses=() if place.bus is None else (place.bus,),
            branches=() if place.branch is None else (place.branch.branch,),
        )
        for name, place in places.items()
    }
    controlled = tuple(
        ControlledAsset(
            device=device,
            controller=name,
            bus=str(place.bus),
            v_min_pu=case.limits.v_min_pu,
            v_max_pu=case.limits.v_max_pu,
        )
        for name, place in places.items()
        for device in place.devices
    )
    service = GridServiceSettings(
        peers=access,
        controlled=controlled,
        primary_s=rhythm.tick_s,
        silence_s=_SILENT_TICKS * rhythm.tick_s,
    )
    return ControlPeers(agents, service)


def member_count(case: ControlCase) -> int:
    """Return how many voltage agents a case has."""
    return len(dict(_places(case)))


def agent_at(bus: str) -> str:
    """Return the name of the agent at a bus."""
    return f"b.{bus}"


def _places(case: ControlCase) -> Iterator[tuple[str, Place]]:
    at_bus: dict[str, list[DeviceSettings]] = defaultdict(list)
    for device in case.devices:
        at_bus[device.bus].append(_settings(device))
    for bus in dict.fromkeys((*case.monitored, *at_bus)):
        yield agent_at(bus), Place(bus=bus, devices=tuple(at_bus.get(bus, ())))
    for limit in case.loadings:
        yield f"l.{limit.branch}", Place(branch=_branch(case.cell, limit))


def _settings(device: PlacedDevice) -> DeviceSettings:
    can = device.can
    return DeviceSettings(
        asset=device.id,
        rating_kva=can.rating_kva,
        q_kvar_max=can.q_kvar_max,
        tan_max=can.tan_max,
        floor_kw=can.p_kw_min if can.p_kw_min < can.planned_kw else None,
        ceiling_kw=can.p_kw_max if can.p_kw_max > can.planned_kw else None,
        weights=can.weights,
    )


def _branch(cell: Cell, limit: LoadingLimit) -> BranchLimit:
    """Return a limited branch with its rating in kVA."""
    rating = next((unit.rating_kva for unit in cell.transformers if unit.id == limit.branch), None)
    if rating is None:
        line = next(branch for branch in cell.branches if branch.id == limit.branch)
        kv = next(bus.kv for bus in cell.buses if bus.id == line.from_bus)
        rating = _SQRT3 * kv * (line.rating_a or 0.0)
    return BranchLimit(
        branch=limit.branch, rating_kva=rating, loading_percent_max=limit.loading_percent_max
    )


def _path(place: Place, paths: Mapping[str, Path]) -> Path:
    if place.branch is None:
        return paths[str(place.bus)]
    for path in paths.values():
        if path and path[-1].branch == place.branch.branch:
            return path
    raise ControlCaseError(
        f'nothing lies behind the branch "{place.branch.branch}"',
        "its loading is watched by whoever sits behind it",
    )
