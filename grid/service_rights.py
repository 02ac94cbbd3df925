"""Who may do what with a cell: set its own assets, see its own surroundings, operate the whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.control.droop import SILENCE_S
from peercell.agents.grid_parts import RefusalCode, RefusalFacts, View
from peercell.grid.errors import CellError
from peercell.grid.model import Cell, Id
from peercell.grid.nearest import unknown
from peercell.grid.service_control import ControlledAsset
from peercell.grid.service_errors import RefusedError
from peercell.grid.violations import node_names

Caller = str | int
"""A peer by its name, or the operator at the host by the number of the command."""


class Access(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one peer may do.

    It sets its `assets` and sees their buses; it sees single `buses` and `branches`, and all of its
    `microgrids`. `sees_all` is for observers; `operates` for who moves time and switches, and
    includes seeing all.
    """

    assets: tuple[Id, ...] = ()
    buses: tuple[Id, ...] = ()
    branches: tuple[Id, ...] = ()
    microgrids: tuple[Id, ...] = ()
    sees_all: bool = False
    operates: bool = False


class SoftOpenPointSides(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two assets of a cell that stand for the sides of a soft open point.

    Their ratings bound the apparent power of each side. `loss_share` is what each converter loses
    of its apparent power.
    """

    first_asset: Id
    second_asset: Id
    loss_share: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.02


class GridServiceSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a grid service runs.

    `peers` : who may do what; a peer that is not named may do what needs no right.
    `controlled` : assets that leave their plan to keep voltages and loadings; the owner of an asset
    plans, its controller corrects.
    `soft_open_points` : pairs of assets that are set together, by the owner of both.
    `start` : local time to begin at; None for the nominal powers of the cell file.
    `waiting_max` : requests of one peer that may wait for the end of a turn; more are refused.
    `refresh_s` : longest silence towards a subscriber; smaller costs messages.
    `primary_s` : time between two steps of what inverters do by themselves.
    `silence_s` : longest silence of a controller; then the inverter follows a standard droop.
    """

    peers: Mapping[str, Access] = {}
    controlled: tuple[ControlledAsset, ...] = ()
    soft_open_points: Mapping[Id, SoftOpenPointSides] = {}
    start: Annotated[datetime, Meta(tz=False)] | None = None
    waiting_max: Annotated[int, Meta(ge=1, le=10_000)] = 64
    refresh_s: Annotated[float, Meta(ge=0.01, le=3600.0)] = 5.0
    primary_s: Annotated[float, Meta(ge=0.01, le=60.0)] = 1.0
    silence_s: Annotated[float, Meta(ge=0.1, le=3600.0)] = SILENCE_S


@dataclass(frozen=True, slots=True)
class Sight:
    """What a peer may see: buses by the names that views use, branches, microgrids."""

    nodes: frozenset[str] = frozenset()
    branches: frozenset[str] = frozenset()
    microgrids: frozenset[str] = frozenset()
    assets: frozenset[str] = frozenset()


_BLIND = Sight()
_NOTHING = Access()
_EVERYTHING = Access(sees_all=True, operates=True)


class Rights:
    """The settings of a service, checked against its cell.

    Attributes
    ----------
    owner_of : who may set an asset by itself; those of soft open points are left out.

    Raises
    ------
    UnknownElementError : the settings name an asset or microgrid that the cell does not have.
    CellError : an asset with two owners, or a soft open point of one asset.
    """

    def __init__(self, cell: Cell, settings: GridServiceSettings) -> None:
        self._peers = settings.peers
        bus_of = {asset.id: c.bus for c in cell.customers for asset in c.assets}
        microgrids = {microgrid.id: microgrid for microgrid in cell.zones.microgrids}
        self._owner: dict[str, str] = {}
        for peer, access in settings.peers.items():
            for asset in access.assets:
                if asset not in bus_of:
                    raise unknown("asset", asset, bus_of)
                if asset in self._owner:
                    raise CellError(
                        f'asset "{asset}" has two owners',
                        f"{self._owner[asset]} and {peer}",
                        "name it in the access of one peer only",
                    )
                self._owner[asset] = peer
            for name in access.microgrids:
                if name not in microgrids:
                    raise unknown("microgrid", name, microgrids)
        self._controller = {a.device.asset: a.controller for a in settings.controlled}
        for asset in self._controller:
            if asset not in bus_of:
                raise unknown("asset", asset, bus_of)
        self._joined = _joined_assets(settings.soft_open_points, bus_of)
        self.owner_of = {
            asset: peer for asset, peer in self._owner.items() if asset not in self._joined
        }
        ends = [(branch.id, {branch.from_bus, branch.to_bus}) for branch in cell.branches]
        ends += [(unit.id, {unit.hv_bus, unit.lv_bus}) for unit in cell.transformers]
        self._sights: dict[Caller, Sight] = {}
        for peer, access in settings.peers.items():
            inside = {bus for name in access.microgrids for bus in microgrids[name].buses}
            corrected = {asset for asset, by in self._controller.items() if by == peer}
            assets = corrected | set(access.assets)
            buses = inside | {bus_of[asset] for asset in assets} | set(access.buses)
            nodes = frozenset(node for bus in buses for node in node_names(cell, bus))
            branches = {name for name, pair in ends if pair & inside} | set(access.branches)
            self._sights[peer] = Sight(
                nodes, frozenset(branches), frozenset(access.microgrids), frozenset(assets)
            )

    def access(self, caller: Caller) -> Access:
        """Return what a caller may do; the operator at the host may do everything but set."""
        return _EVERYTHING if isinstance(caller, int) else self._peers.get(caller, _NOTHING)

    def sight(self, caller: Caller) -> Sight:
        """Return what a caller may see who does not see all."""
        return self._sights.get(caller, _BLIND)

    def check_operator(self, caller: Caller, task: str) -> None:
        """Raise RefusedError when a caller may not operate the cell."""
        if not self.access(caller).operates:
            raise RefusedError(
                RefusalCode.NOT_AUTHORISED,
                f"{caller} may not {task}",
                "only peers with `operates` in the settings of the service may",
            )

    def check_owner(self, caller: Caller, asset: str) -> None:
        """Raise RefusedError when an asset is not the caller's."""
        owner = self._owner.get(asset)
        if owner is None or owner != caller:
            why = f"it is {owner}'s" if owner else "it is nobody's: it follows its profile"
            raise RefusedError(
                RefusalCode.NOT_OWNER, f'{caller} may not set asset "{asset}"', why
            ).with_facts(RefusalFacts(element=asset))

    def check_controller(self, caller: Caller, asset: str) -> None:
        """Raise RefusedError when a caller may not correct an asset."""
        controller = self._controller.get(asset)
        if controller is None or controller != caller:
            why = f"{controller} controls it" if controller else "nobody controls it"
            raise RefusedError(
                RefusalCode.NOT_OWNER, f'{caller} may not correct asset "{asset}"', why
            ).with_facts(RefusalFacts(element=asset))

    def check_single(self, asset: str) -> None:
        """Raise RefusedError when an asset is one side of a soft open point."""
        point = self._joined.get(asset)
        if point is not None:
            raise RefusedError(
                RefusalCode.BAD_REQUEST,
                f'asset "{asset}" cannot be set alone',
                f'it is a side of the soft open point "{point}"',
                "send a SoftOpenPointOrder",
            ).with_facts(RefusalFacts(element=asset))

    def is_in_sight(self, caller: Caller, view: View) -> bool:
        """Return whether all that a view names is among what the caller's right is limited to."""
        sight = self.sight(caller)
        return (
            sight.nodes.issuperset(view.buses)
            and sight.branches.issuperset(view.branches)
            and sight.microgrids.issuperset(view.microgrids)
            and sight.assets.issuperset(view.assets)
            and not view.violations
        )

    def check_view(self, caller: Caller, view: View) -> None:
        """Raise RefusedError when a view shows what a caller may not see."""
        access = self.access(caller)
        if access.sees_all or access.operates or self.is_in_sight(caller, view):
            return
        sight = self.sight(caller)
        hidden = [
            *sorted({*view.buses} - sight.nodes),
            *sorted({*view.branches} - sight.branches),
            *sorted({*view.microgrids} - sight.microgrids),
            *sorted({*view.assets} - sight.assets),
            *(["the violations of the cell"] if view.violations else []),
        ]
        raise RefusedError(
            RefusalCode.NOT_AUTHORISED,
            f"{caller} may not see {', '.join(hidden[:8])}",
            "a peer sees the buses of its assets and all of its microgrids",
            "give it `microgrids` or `sees_all` in the settings of the service",
        ).with_facts(RefusalFacts(element=hidden[0]))


def _joined_assets(
    points: Mapping[str, SoftOpenPointSides], bus_of: Mapping[str, str]
) -> dict[str, str]:
    """Return the soft open point of each asset that is a side of one."""
    joined: dict[str, str] = {}
    for name, point in points.items():
        for asset in (point.first_asset, point.second_asset):
            if asset not in bus_of:
                raise unknown("asset", asset, bus_of)
            if asset in joined:
                raise CellError(
                    f'asset "{asset}" is a side of soft open points twice',
                    f"of {joined[asset]} and {name}",
                    "a soft open point joins two assets of its own",
                )
            joined[asset] = name
    return joined
