"""What a controller may move: devices with a range of P, a reach of Q and a cost of moving."""

from dataclasses import dataclass
from enum import StrEnum

from peercell.agents.control.device import Device, Weights
from peercell.grid.errors import ControlCaseError
from peercell.grid.model import Asset, AssetKind, Customer, Id, Magnitude, Rating, Real, Record

# Rounding of a file's numbers is no contradiction.
TOLERANCE_KW = 1e-6


class DeviceKind(StrEnum):
    """What a device is; it decides the defaults alone."""

    PV = "pv"
    STORAGE = "storage"
    FLEXIBLE = "flexible"
    INVERTER = "inverter"


_ASSET_KINDS = {
    DeviceKind.PV: AssetKind.PV,
    DeviceKind.STORAGE: AssetKind.BATTERY,
    DeviceKind.FLEXIBLE: AssetKind.LOAD,
    DeviceKind.INVERTER: AssetKind.GENERATOR,
}


class WeightsEntry(Record, frozen=True):
    """The weights of a device's cost as they stand in a case file; None follows from the kind."""

    linear: Magnitude | None = None
    active: Rating | None = None
    reactive: Rating | None = None


class DeviceEntry(Record, frozen=True):
    """A device as it stands in a case file; see `agents.control.device` for the numbers.

    `planned_kw` is what it injects as long as nobody asks for anything else; what is None follows
    from the kind. Of a flexible load it is negative, and part of the consumption at its bus.
    """

    id: Id
    bus: Id
    kind: DeviceKind = DeviceKind.PV
    planned_kw: Real = 0.0
    p_kw_min: Real | None = None
    p_kw_max: Real | None = None
    rating_kva: Rating | None = None
    q_kvar_max: Magnitude | None = None
    tan_max: Magnitude | None = None
    weights: WeightsEntry = WeightsEntry()


@dataclass(frozen=True, slots=True)
class PlacedDevice:
    """What a controller may move, and where: `can` says what it does and what that costs."""

    id: str
    bus: str
    kind: DeviceKind
    can: Device


def make_device(entry: DeviceEntry, path: str) -> PlacedDevice:
    """Return a device with what its kind says filled in.

    Raises
    ------
    ControlCaseError : its numbers contradict each other; `path` names it in the message.
    """
    low, high = _range_kw(entry, path)
    reach = max(abs(low), abs(high), abs(entry.planned_kw))
    if 0.0 < reach < TOLERANCE_KW:
        raise wrong(f"{path}.planned_kw", f"a power of {reach:g} kW is none")
    rating = reach if entry.rating_kva is None else entry.rating_kva
    if rating == 0.0:
        raise wrong(f"{path}.rating_kva", "a device without power needs a rating")
    if rating < reach - TOLERANCE_KW:
        raise wrong(f"{path}.rating_kva", f"{rating:g} kVA is less than its power of {reach:g} kW")
    if entry.tan_max is not None and low < 0.0:
        raise wrong(f"{path}.tan_max", "a power factor limit is for devices that only feed in")
    weights = _weights(entry, reach, rating)
    if weights.linear > 0.0 and high > entry.planned_kw + TOLERANCE_KW:
        why = "it is a cost of curtailment, and this device can go above planned_kw"
        raise wrong(f"{path}.weights.linear", why)
    most_kvar = 0.0 if entry.kind is DeviceKind.FLEXIBLE else rating
    can = Device(
        p_kw_min=low,
        p_kw_max=high,
        planned_kw=entry.planned_kw,
        rating_kva=rating,
        q_kvar_max=most_kvar if entry.q_kvar_max is None else entry.q_kvar_max,
        weights=weights,
        tan_max=entry.tan_max,
    )
    return PlacedDevice(entry.id, entry.bus, entry.kind, can)


def _weights(entry: DeviceEntry, reach_kw: float, rating_kva: float) -> Weights:
    """Return the weights of a device.

    By default a kW of PV costs 1 at first and up to 2 when the whole plant is off; flexible load is
    dear in large shares, storage cheap, and Q costs little: 0.025 kW a kvar at most.
    """
    active = {
        DeviceKind.PV: 1.0 / rating_kva,
        DeviceKind.STORAGE: 0.3 / (reach_kw or rating_kva),
        DeviceKind.FLEXIBLE: 3.0 / (reach_kw or rating_kva),
        DeviceKind.INVERTER: 1.0 / rating_kva,
    }[entry.kind]
    linear = 1.0 if entry.kind is DeviceKind.PV else 0.0
    given = entry.weights
    return Weights(
        linear=linear if given.linear is None else given.linear,
        active=active if given.active is None else given.active,
        reactive=0.05 / rating_kva if given.reactive is None else given.reactive,
    )


def _range_kw(entry: DeviceEntry, path: str) -> tuple[float, float]:
    """Return the range of P: PV from 0, a load up to 0, an inverter fixed, storage as given."""
    plan = entry.planned_kw
    if entry.kind is DeviceKind.STORAGE and None in (entry.p_kw_min, entry.p_kw_max):
        raise wrong(path, "storage needs both p_kw_min (charging, negative) and p_kw_max")
    if entry.kind is DeviceKind.PV and plan < 0.0:
        raise wrong(f"{path}.planned_kw", "PV cannot draw power")
    if entry.kind is DeviceKind.FLEXIBLE and plan >= 0.0:
        raise wrong(f"{path}.planned_kw", "a flexible load draws power, so it is negative")
    low = 0.0 if entry.kind is DeviceKind.PV else plan
    high = 0.0 if entry.kind is DeviceKind.FLEXIBLE else plan
    low = low if entry.p_kw_min is None else entry.p_kw_min
    high = high if entry.p_kw_max is None else entry.p_kw_max
    if not low - TOLERANCE_KW <= plan <= high + TOLERANCE_KW:
        raise wrong(f"{path}.planned_kw", f"{plan:g} kW is outside {low:g} to {high:g} kW")
    return low, high


def site(device: PlacedDevice) -> Customer:
    """Return the customer that a device is in the case's own cell."""
    asset = Asset(
        id=device.id,
        kind=_ASSET_KINDS[device.kind],
        p_kw=device.can.planned_kw,
        rating_kva=device.can.rating_kva,
    )
    return Customer(id=device.id, bus=device.bus, assets=(asset,))


def wrong(field: str, why: str, fix: str = "") -> ControlCaseError:
    """Return the error that a field of a case file is wrong."""
    return ControlCaseError(f"the control case is wrong at `{field}`", why, fix)
