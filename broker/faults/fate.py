"""What becomes of one message on one link while some faults are on.

All chance is drawn by hash from the seed of the fault, the two ends, and the number of the message
in this run of its sender: it does not depend on time, so the same conversation suffers the same on
real processes and in simulation, however fast it goes.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple, cast

from msgspec import Struct

from peercell.broker.faults.aim import ALL_LINKS, Links
from peercell.broker.faults.kinds import (
    Bandwidth,
    Corrupt,
    Delay,
    Duplicate,
    Fault,
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


# What a fault does to a message, as bits.
_LOST, _SPOILT, _TWICE, _LATE = 1, 2, 4, 8


def fate(active: Sequence[Active], parcel: Parcel) -> Fate:
    """Return what becomes of a message; `Bandwidth` depends on others too, see `Pipe`."""
    link = parcel[:2]
    harm, by = 0, []
    for position, each in enumerate(active):
        if each.links is ALL_LINKS or link in each.links:
            suffered = _SUFFERED[type(each.fault)](each, parcel)
            if suffered:
                harm |= suffered
                by.append(position)
    if not by:
        return UNHURT
    delays_s: tuple[float, ...] = (0.0,)
    if harm & (_TWICE | _LATE) and not harm & _LOST:
        late = [active[position] for position in by]
        copies = range(2 if harm & _TWICE else 1)
        delays_s = tuple(sum(_late_s(each, parcel, copy) for each in late) for copy in copies)
    return Fate(bool(harm & _LOST), delays_s, bool(harm & _SPOILT), tuple(by))


def _by_share(harm: int, what: str = "") -> Callable[[Active, Parcel], int]:
    """Return what a fault does that hits a share of the messages."""

    def suffered(each: Active, parcel: Parcel) -> int:
        fault = cast("Loss | Corrupt | Duplicate", each.fault)
        return harm if _drawn(each.seed, parcel, what) < fault.share else 0

    return suffered


_SUFFERED: Mapping[type[Fault], Callable[[Active, Parcel], int]] = {
    Loss: _by_share(_LOST),
    Partition: lambda *_: _LOST,
    Corrupt: _by_share(_SPOILT, " corrupt"),
    Duplicate: _by_share(_TWICE, " duplicate"),
    Delay: lambda *_: _LATE,
    Reorder: _by_share(_LATE, " late 0"),
    Bandwidth: lambda *_: 0,
}


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


def _late_s(each: Active, parcel: Parcel, copy: int) -> float:
    """Return how much later a copy of a message arrives because of a fault."""
    match each.fault:
        case Delay(delay_s=delay_s, jitter_s=jitter_s):
            if not jitter_s:
                return delay_s
            return max(
                delay_s + jitter_s * (2.0 * _drawn(each.seed, parcel, _LATER[copy]) - 1.0), 0.0
            )
        case Reorder(share=share, by_s=by_s):
            # One draw says whether, and where it lies within the share also by how much.
            drawn = _drawn(each.seed, parcel, _LATER[copy])
            return by_s * drawn / share if drawn < share else 0.0
        case _:
            return 0.0


def _drawn(seed: int, parcel: Parcel, what: str = "") -> float:
    """Return a number from 0 to below 1 by chance; what is asked apart is drawn apart."""
    src, dst, incarnation, number = parcel
    said = f"{seed} {src} {dst} {incarnation} {number}{what}".encode()
    return int.from_bytes(blake2b(said, digest_size=8).digest()) / _WHOLE


_LATER = (" late 0", " late 1")
