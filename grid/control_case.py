"""Which operating point is to be controlled, by which devices, within which limits.

A case file names a cell and says what there is beside the cell's consumers: devices whose P and Q a
controller may move. `control_case` makes a cell of its own of it, in which each device is an asset;
its powers as they stand in that cell are the uncontrolled operating point.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from peercell.grid.cellfile import Profiles
from peercell.grid.control_device import (
    TOLERANCE_KW,
    DeviceEntry,
    DeviceKind,
    PlacedDevice,
    make_device,
    site,
    wrong,
)
from peercell.grid.errors import ControlCaseError, TimeOutsideProfilesError
from peercell.grid.model import (
    Asset,
    AssetKind,
    Cell,
    Customer,
    Id,
    Magnitude,
    PerUnit,
    Rating,
    Real,
    Record,
)
from peercell.grid.nearest import unknown
from peercell.grid.paths import levels, path_lists
from peercell.grid.profiles import power_at
from peercell.grid.rows import row_at

CONSUMERS = frozenset({AssetKind.LOAD, AssetKind.EV, AssetKind.HEAT_PUMP})


class Injection(Record, frozen=True):
    """What a bus injects beside the devices; positive = injection, so consumers are negative."""

    bus: Id
    p_kw: Real
    q_kvar: Real = 0.0


class LoadingLimit(Record, frozen=True):
    """The most that a line or transformer may carry, in percent of its rating."""

    branch: Id
    loading_percent_max: Rating = 100.0


class ControlLimits(Record, frozen=True):
    """Where the voltages must stay, and how far inside a controller keeps them and the loadings."""

    v_min_pu: PerUnit = 0.95
    v_max_pu: PerUnit = 1.05
    margin_pu: Annotated[float, Meta(ge=0.0, le=0.05)] = 2e-4
    margin_percent: Annotated[float, Meta(ge=0.0, le=50.0)] = 0.1


class LevelBand(Record, frozen=True):
    """Where the voltages of one level must stay, in place of the limits of the case.

    `below` is the transformer that feeds the level; "" for the one that hangs below no other.
    """

    below: Annotated[str, Meta(max_length=64)]
    v_min_pu: PerUnit
    v_max_pu: PerUnit


class CaseFile(Record, frozen=True):
    """A case as it stands in its file.

    `cell` is a shipped name or a folder. The consumers of the cell draw what they draw `at` a local
    time of its profiles (None: their nominal power) times `load_scale`; with `injections` they are
    left out, and each bus injects what is said there. `slack_pu` None keeps the source's voltage;
    `monitored` None stands for every bus with a consumer or a device. `by_level` lets the agents
    below a transformer keep a level of their own, coupled with the one above; `bands` gives levels
    limits of their own.
    """

    cell: Annotated[str, Meta(min_length=1, max_length=1000)]
    devices: Annotated[tuple[DeviceEntry, ...], Meta(min_length=1)]
    title: Annotated[str, Meta(max_length=200)] = ""
    at: Annotated[datetime, Meta(tz=False)] | None = None
    load_scale: Magnitude = 1.0
    injections: tuple[Injection, ...] | None = None
    slack_pu: Annotated[float, Meta(ge=0.5, le=1.5)] | None = None
    limits: ControlLimits = ControlLimits()
    monitored: Annotated[tuple[Id, ...], Meta(min_length=1)] | None = None
    loadings: tuple[LoadingLimit, ...] = ()
    by_level: bool = False
    bands: tuple[LevelBand, ...] = ()


@dataclass(frozen=True, slots=True)
class ControlCase:
    """A case ready to be controlled.

    Attributes
    ----------
    cell : consumers with constant power and, as assets under their own id, the devices; each device
        is also a customer of its id. Nominal powers are the uncontrolled operating point.
    monitored : buses whose voltage counts.
    loadings : lines and transformers whose loading counts.
    by_level : whether each level of the network is controlled by a circle of its own.
    bands : lowest and highest voltage of the buses that have others than `limits`.
    """

    title: str
    cell: Cell
    limits: ControlLimits
    devices: tuple[PlacedDevice, ...]
    monitored: tuple[str, ...]
    loadings: tuple[LoadingLimit, ...]
    by_level: bool = False
    bands: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def band(self, bus: str) -> tuple[float, float]:
        """Return the lowest and the highest voltage that a bus may have, margins aside."""
        return self.bands.get(bus, (self.limits.v_min_pu, self.limits.v_max_pu))


def decode_case(data: bytes, origin: str = "the case") -> CaseFile:
    """Return what a case file says.

    Raises
    ------
    ControlCaseError : not JSON, an unknown or missing key, or a value out of range; the message
        holds the path of the value (`$.devices[3].planned_kw`) and `origin`.
    """
    try:
        return msgspec.json.decode(data, type=CaseFile)
    except msgspec.MsgspecError as error:
        raise ControlCaseError(f"{origin} is not a control case", str(error)) from None


def control_case(file: CaseFile, cell: Cell, profiles: Profiles) -> ControlCase:
    """Return the case that a file describes on its cell.

    Raises
    ------
    ControlCaseError : the file contradicts itself or the cell; names the field.
    UnknownElementError : a bus or branch that the cell does not have.
    TimeOutsideProfilesError : the profiles do not cover `at`.
    """
    _check_file(file, cell)
    devices = tuple(make_device(entry, f"devices[{k}]") for k, entry in enumerate(file.devices))
    consumers = _without_flexible(_consumers(file, cell, profiles), devices)
    sites = tuple(site(device) for device in devices)
    taken = {asset.id for customer in consumers for asset in customer.assets}
    for k, device in enumerate(devices):
        if device.id in taken:
            raise wrong(f"devices[{k}].id", f'"{device.id}" is a consumer of the cell')
    served = dict.fromkeys(customer.bus for customer in (*consumers, *sites))
    monitored = file.monitored or tuple(bus.id for bus in cell.buses if bus.id in served)
    sources = cell.sources
    if file.slack_pu is not None:
        sources = tuple(
            msgspec.structs.replace(source, v_pu=file.slack_pu) for source in cell.sources
        )
    bare = msgspec.structs.replace(
        cell, customers=(*consumers, *sites), sources=sources, timeline=type(cell.timeline)()
    )
    title = file.title or cell.title
    found = ControlCase(title, bare, file.limits, devices, monitored, file.loadings, file.by_level)
    return replace(found, bands=_bands(file, found)) if file.bands else found


def _bands(file: CaseFile, case: ControlCase) -> dict[str, tuple[float, float]]:
    """Return the limits of the buses whose level has its own."""
    paths = path_lists(case.cell)
    buses = dict.fromkeys((*case.monitored, *(device.bus for device in case.devices)))
    known = levels(
        {bus: paths[bus] for bus in buses if bus in paths},
        (unit.id for unit in case.cell.transformers),
    )
    found = {}
    for k, band in enumerate(file.bands):
        if band.below not in known:
            raise unknown("level below", band.below, known)
        if band.v_min_pu + file.limits.margin_pu >= band.v_max_pu - file.limits.margin_pu:
            raise wrong(
                f"bands[{k}]", f"nothing is left between {band.v_min_pu} and {band.v_max_pu} pu"
            )
        for bus in known[band.below].members:
            found[bus] = band.v_min_pu, band.v_max_pu
    return found


def _check_file(file: CaseFile, cell: Cell) -> None:
    """Raise where a file contradicts itself or names what the cell does not have."""
    if cell.phases != 1:
        raise wrong("cell", f'"{cell.name}" has three phases, and control knows balanced cells')
    limits = file.limits
    if limits.v_min_pu + limits.margin_pu >= limits.v_max_pu - limits.margin_pu:
        raise wrong("limits", f"nothing is left between {limits.v_min_pu} and {limits.v_max_pu} pu")
    if file.injections is not None and (file.at is not None or file.load_scale != 1.0):
        raise wrong("injections", "they replace the consumers that `at` and `load_scale` are of")
    if file.bands and not file.by_level:
        raise wrong("bands", "levels have limits of their own only where `by_level` is true")
    _check_names(file, cell)
    _check_once("bands", [band.below for band in file.bands])
    _check_once("devices", [entry.id for entry in file.devices])
    _check_once("monitored", file.monitored or ())
    _check_once("loadings", [row.branch for row in file.loadings])


def _check_names(file: CaseFile, cell: Cell) -> None:
    """Raise where a file names a bus, line or transformer that is not there, or has no rating."""
    buses = {bus.id for bus in cell.buses}
    at_devices = [entry.bus for entry in file.devices]
    at_injections = [entry.bus for entry in file.injections or ()]
    for bus in (*at_devices, *at_injections, *(file.monitored or ())):
        if bus not in buses:
            raise unknown("bus", bus, buses)
    rated = {branch.id: branch.rating_a for branch in cell.branches}
    rated |= {transformer.id: transformer.rating_kva for transformer in cell.transformers}
    for k, row in enumerate(file.loadings):
        if row.branch not in rated:
            raise unknown("branch", row.branch, rated)
        if rated[row.branch] is None:
            raise wrong(f"loadings[{k}].branch", f'no rating of "{row.branch}" is known')


def _check_once(field: str, names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise wrong(field, f'"{name}" is there {count} times')


def _consumers(file: CaseFile, cell: Cell, profiles: Profiles) -> tuple[Customer, ...]:
    """Return the customers with constant power, without what generates or stores."""
    if file.injections is not None:
        return tuple(
            Customer(
                id=f"fixed-{k}",
                bus=entry.bus,
                assets=(_constant(f"fixed-{k}", entry.p_kw, entry.q_kvar),),
            )
            for k, entry in enumerate(file.injections)
        )
    powers: Mapping[str, tuple[float, float]] = {
        asset.id: (asset.p_kw, asset.q_kvar) for asset in cell.assets
    }
    if file.at is not None:
        try:
            row = row_at(cell, file.at)
        except TimeOutsideProfilesError as error:
            raise TimeOutsideProfilesError(error.what, error.why, "another `at`") from None
        p_kw, q_kvar = power_at(cell, profiles, [row])
        powers = {
            asset.id: (float(p_kw[0, k]), float(q_kvar[0, k]))
            for k, asset in enumerate(cell.assets)
        }
    return tuple(_scaled(cell, powers, file.load_scale))


def _scaled(
    cell: Cell, powers: Mapping[str, tuple[float, float]], scale: float
) -> Iterator[Customer]:
    for customer in cell.customers:
        assets = tuple(
            msgspec.structs.replace(
                asset,
                p_kw=scale * powers[asset.id][0],
                q_kvar=scale * powers[asset.id][1],
                p_profile="",
                q_profile="",
            )
            for asset in customer.assets
            if asset.kind in CONSUMERS
        )
        if assets:
            yield msgspec.structs.replace(customer, assets=assets)


def _constant(name: str, p_kw: float, q_kvar: float) -> Asset:
    return Asset(id=name, kind=AssetKind.LOAD, p_kw=p_kw, q_kvar=q_kvar)


def _without_flexible(
    consumers: tuple[Customer, ...], devices: tuple[PlacedDevice, ...]
) -> tuple[Customer, ...]:
    """Return the consumers without the P that flexible loads stand for, bus by bus in proportion.

    Their Q stays: what is flexible is when energy is used, not what the rest of the house needs.
    """
    flexible_kw: dict[str, float] = defaultdict(float)
    for device in devices:
        if device.kind is DeviceKind.FLEXIBLE:
            flexible_kw[device.bus] += device.can.planned_kw
    drawn_kw = dict.fromkeys(flexible_kw, 0.0)
    for customer in consumers:
        if customer.bus in drawn_kw:
            drawn_kw[customer.bus] += sum(asset.p_kw for asset in customer.assets)
    for bus, share_kw in flexible_kw.items():
        if share_kw < drawn_kw[bus] - TOLERANCE_KW or drawn_kw[bus] == 0.0:
            raise wrong(
                "devices",
                f"flexible loads of {-share_kw:g} kW are part of the {-drawn_kw[bus]:g} kW "
                f'that bus "{bus}" draws',
            )
    left = {bus: 1.0 - share_kw / drawn_kw[bus] for bus, share_kw in flexible_kw.items()}
    return tuple(
        msgspec.structs.replace(
            customer,
            assets=tuple(
                msgspec.structs.replace(asset, p_kw=asset.p_kw * left.get(customer.bus, 1.0))
                for asset in customer.assets
            ),
        )
        for customer in consumers
    )
