"""What becomes of one message on one link while some faults are on.

All chance is drawn by hash from the seed of the fault, the two ends, and the number of the message
in this run of its sender: it does not depend on time, so the same conversation suffers the same on
real processes and in simulation, however fast it goes.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from msgspec import Struct

from peercell.broker.faults.aim import ALL_LINKS, Links
from peercell.broker.faults.kinds import (
    Bandwidth,
    Corrupt,
    Delay,
    Duplicate,
    LinkFault,
    Loss,
    Partition,
    Reorder,
)
from peercell.broker.faults.plan import Seed

_WHOLE = 2.0**64


class Active(Struct, frozen=True):
    """A fault that is on, the seed of its chance, and the links that it hits."""

    fault: LinkFault
    seed: Seed = 0
    links: Links = ALL_LINKS


class Parcel(NamedTuple):
    """A message as its link sees it: the number-th that a run of `src` tells `dst`."""

    src: str
    dst: str
    incarnation: int
    number: int


class Fate(NamedTuple):
    """What becomes of a message.

    Parameters
    ----------
    lost : it never arrives
    delays_s : s, how long each copy takes beyond what the link takes anyway; one or two of them
    corrupted : what arrives cannot be read
    by : positions of the faults that did something to it, among those that are on
    """

    lost: bool
    delays_s: tuple[float, ...]
    corrupted: bool
    by: tuple[int, ...]


UNHURT = Fate(lost=False, delays_s=(0.0,), corrupted=False, by=())


class _Harm(NamedTuple):
    """What one fault does to a message; `late_s` to a copy of it each."""

    lost: bool = False
    corrupted: bool = False
    twice: bool = False
    late_s: tuple[float, float] = (0.0, 0.0)


def fate(active: Iterable[Active], parcel: Parcel) -> Fate:
    """Return what becomes of a message; `Bandwidth` depends on others too, see `Pipe`."""
    link = parcel[:2]
    suffered = {
        position: harm
        for position, each in enumerate(active)
        if link in each.links and (harm := _harm(each.fault, each.seed, parcel)) is not None
    }
    if not suffered:
        return UNHURT
    harms = suffered.values()
    copies = 2 if any(harm.twice for harm in harms) else 1
    return Fate(
        lost=any(harm.lost for harm in harms),
        delays_s=tuple(sum(harm.late_s[copy] for harm in harms) for copy in range(copies)),
        corrupted=any(harm.corrupted for harm in harms),
        by=tuple(suffered),
    )


def _harm(fault: LinkFault, seed: int, parcel: Parcel) -> _Harm | None:
    """Return what a fault does to a message on a link that it hits; None for nothing."""
    match fault:
        case Loss(share=share) if _drawn(seed, parcel) < share:
            return _Harm(lost=True)
        case Partition():
            return _Harm(lost=True)
        case Corrupt(share=share) if _drawn(seed, parcel, "corrupt") < share:
            return _Harm(corrupted=True)
        case Duplicate(share=share) if _drawn(seed, parcel, "duplicate") < share:
            return _Harm(twice=True)
        case Delay() | Reorder():
            late_s = (_late_s(fault, seed, parcel, 0), _late_s(fault, seed, parcel, 1))
            return _Harm(late_s=late_s) if any(late_s) else None
        case _:
            return None


class Pipe:
    """A link with a bandwidth: what it carries queues up behind what came before."""

    def __init__(self) -> None:
        self._free_s = 0.0

    def wait_s(self, fault: Bandwidth, now_s: float, size_bytes: int) -> float | None:
        """Return how long a message takes through it; None when too much waits already."""
        waited_s = max(self._free_s - now_s, 0.0)
        if waited_s > fault.queue_s:
            return None
        took_s = waited_s + size_bytes / fault.bytes_per_s
        self._free_s = now_s + took_s
        return took_s


def spoilt(body: bytes) -> bytes:
    """Return the bytes of a message with its kind made unreadable, the length as it was.

    Only the name inside is spoilt: a frame that holds it keeps its shape, and its reader notices
    for certain, which a flipped bit of a number would not give.
    """
    # An array header, then a short text: its own header and at least one character.
    return body[:2] + b"\xff" + body[3:]


def _late_s(fault: Delay | Reorder, seed: int, parcel: Parcel, copy: int) -> float:
    """Return how much later a copy of a message arrives."""
    if isinstance(fault, Delay):
        if not fault.jitter_s:
            return fault.delay_s
        jitter = 2.0 * _drawn(seed, parcel, f"delay {copy}") - 1.0
        return max(fault.delay_s + fault.jitter_s * jitter, 0.0)
    # One draw says whether, and where it lies within the share also by how much.
    drawn = _drawn(seed, parcel, f"reorder {copy}")
    return fault.by_s * drawn / fault.share if drawn < fault.share else 0.0


def _drawn(seed: int, parcel: Parcel, what: str = "") -> float:
    """Return a number from 0 to below 1 by chance; what is asked apart is drawn apart."""
    src, dst, incarnation, number = parcel
    said = f"{seed} {src} {dst} {incarnation} {number}{what and f' {what}'}".encode()
    return int.from_bytes(blake2b(said, digest_size=8).digest()) / _WHOLE
