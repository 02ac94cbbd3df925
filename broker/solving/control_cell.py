"""Which peers control an operating point: a voltage agent at each bus and branch, and the grid."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from msgspec import Struct

from peercell.agents.control.device import DeviceSettings
from peercell.agents.control.paths import Path
from peercell.agents.control.rhythm import Rhythm
from peercell.agents.control.station import Place
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.broker.plans.levels import AgentSettings, by_level
from peercell.grid.branch_limits import rated_branch
from peercell.grid.control_case import ControlCase
from peercell.grid.control_device import PlacedDevice
from peercell.grid.errors import ControlCaseError
from peercell.grid.paths import levels, path_lists
from peercell.grid.service_control import ControlledAsset
from peercell.grid.service_rights import Access, GridServiceSettings

GRID = "grid"
_RENEWED_TICKS, _SILENT_TICKS = 10, 30


class ControlPeers(Struct, frozen=True):
    """The settings of all peers that control a case.

    Parameters
    ----------
    agents : of the voltage agents, by name
    service : of the grid service
    """

    agents: dict[str, AgentSettings]
    service: GridServiceSettings


def control_peers(case: ControlCase, rhythm: Rhythm) -> ControlPeers:
    """Return who controls a case: an agent for each monitored bus, device bus and limited branch.

    Inverters act once a tick, and take their agent for silent after 30.

    Raises
    ------
    ControlCaseError : a limited branch does not lie on the way to any bus.
    """
    placed = dict(_places(case, path_lists(case.cell)))
    places = {name: place for name, (place, _) in placed.items()}
    members = tuple(sorted(places))
    bands = _bands(case, {name: path for name, (_, path) in placed.items()})
    agents = {
        name: VoltageSettings(
            name=name,
            grid=GRID,
            members=members,
            place=place,
            path=placed[name][1],
            rhythm=rhythm,
            v_min_pu=bands[name][0],
            v_max_pu=bands[name][1],
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
            v_min_pu=bands[name][0],
            v_max_pu=bands[name][1],
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
    if not case.by_level:
        return ControlPeers(dict(agents), service)
    return ControlPeers(by_level(agents, [unit.id for unit in case.cell.transformers]), service)


def _bands(case: ControlCase, paths: Mapping[str, Path]) -> dict[str, tuple[float, float]]:
    """Return the limits that each agent goes by: those of the buses of its level."""
    bus_of = {agent_at(bus): bus for bus in case.monitored}
    found: dict[str, tuple[float, float]] = {}
    for level in levels(paths, (unit.id for unit in case.cell.transformers)).values():
        bus = next((bus_of[name] for name in level.members if name in bus_of), "")
        found |= dict.fromkeys(level.members, case.band(bus))
    return found


def member_count(case: ControlCase) -> int:
    """Return how many voltage agents a case has."""
    return len({*case.monitored, *(device.bus for device in case.devices)}) + len(case.loadings)


def agent_at(bus: str) -> str:
    """Return the name of the agent at a bus."""
    return f"b.{bus}"


def _places(
    case: ControlCase, paths: Mapping[str, Path]
) -> Iterator[tuple[str, tuple[Place, Path]]]:
    """Yield where the agents of a case are: at buses, then behind limited branches."""
    at_bus: dict[str, list[DeviceSettings]] = defaultdict(list)
    for device in case.devices:
        at_bus[device.bus].append(_settings(device))
    for bus in dict.fromkeys((*case.monitored, *at_bus)):
        yield agent_at(bus), (Place(bus=bus, devices=tuple(at_bus.get(bus, ()))), paths[bus])
    for row in case.loadings:
        watched = rated_branch(case.cell, row.branch, row.loading_percent_max, paths)
        if watched is None:
            raise ControlCaseError(
                f'nothing lies behind the branch "{row.branch}"',
                "its loading is watched by whoever sits behind it",
            )
        yield f"l.{row.branch}", (Place(branch=watched.limit), watched.path)


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
