"""How a host is doing, in numbers, and whether these agree with each other."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from peercell.broker.gate import Gate
from peercell.broker.lateness import Lateness
from peercell.broker.operator_port import HostStatus
from peercell.broker.seat import Seat
from peercell.broker.wire import Drop


@dataclass(frozen=True, slots=True)
class Place:
    """A role at its host, and what lets messages through to it."""

    seat: Seat
    gate: Gate


@dataclass(frozen=True)
class HostCounts:
    """What a host has counted that is of none of its peers alone.

    Parameters
    ----------
    uptime_s : s since it started
    waiting : messages in its outboxes
    links : open outgoing links
    unattributed : arrivals for no peer of this host, by reason
    faults : how often each fault has done something
    without_effect : why the grid refuses a fault, for each of those
    lateness : of its timers
    """

    uptime_s: float
    waiting: int
    links: int
    unattributed: Counter[Drop]
    faults: Mapping[str, int]
    without_effect: Mapping[str, str]
    lateness: Lateness


def unaccounted(places: Iterable[Place], waiting: int) -> int:
    """Return by how many messages the books of a host do not balance."""
    here = list(places)
    handed = sum(place.seat.handed for place in here)
    left = sum(place.seat.sent + place.seat.unsent.total() for place in here)
    heard = [each for place in here for each in place.gate.heard.values()]
    known = (each.earlier + each.applied + each.refused + each.missing for each in heard)
    gaps = (abs(each.top - sum_) for each, sum_ in zip(heard, known, strict=True))
    return abs(handed - left - waiting) + sum(gaps)


def status_of(place: Place, host: HostCounts, wrong: int) -> HostStatus:
    """Return what a host says of one of its peers; `wrong` is what it has not accounted for."""
    seat, gate, late = place.seat, place.gate, host.lateness
    return HostStatus(
        peer=seat.peer,
        incarnation=seat.incarnation,
        uptime_s=host.uptime_s,
        handed=seat.handed,
        sent=seat.sent,
        waiting=host.waiting,
        unsent={str(k): n for k, n in seat.unsent.items()},
        applied=gate.applied,
        refused={str(k): n for k, n in gate.refused.items()},
        missing=gate.missing,
        told={dst: stream.seq for dst, stream in seat.streams.items()},
        heard=gate.heard,
        unaccounted=wrong,
        unattributed={str(k): n for k, n in host.unattributed.items()},
        links=host.links,
        timers=late.count,
        late_p50_s=late.quantile_s(0.5),
        late_p99_s=late.quantile_s(0.99),
        late_max_s=late.max_s,
        faults=dict(host.faults),
        without_effect=dict(host.without_effect),
        journal_stopped=seat.journal.stopped if seat.journal is not None else "",
        withheld={dst: stream.withheld for dst, stream in seat.streams.items() if stream.withheld},
    )
