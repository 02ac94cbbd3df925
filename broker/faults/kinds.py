"""What can be broken on purpose, under the names that people use for it.

A fault says what is wrong and whom it hits: `on` selects links, peers or assets in the grammar of
`aim`. When it happens is for the plan.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.units import Fraction

Selector = Annotated[str, Meta(min_length=1, max_length=4096)]
ElementName = Annotated[str, Meta(min_length=1, max_length=64)]
SpanS = Annotated[float, Meta(ge=0.0, le=1e6)]
"""s, how long something takes."""


# s for which a peer that is to end at a point of its work may take to come there.
POINT_S = 10.0


def _kebab(name: str) -> str:
    """Return the name that people use for a kind: `LineOpen` -> `line-open`."""
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).removeprefix("-")


class Fault(Struct, frozen=True, kw_only=True, tag_field="kind", tag=_kebab):
    """Base of all faults."""

    @property
    def kind(self) -> str:
        """Its name for people."""
        return str(self.__struct_config__.tag)


# On links: what becomes of messages on their way.


class Loss(Fault, frozen=True, kw_only=True):
    """A share of the messages never arrives."""

    share: Fraction
    on: Selector = "all"


class Delay(Fault, frozen=True, kw_only=True):
    """Each message takes longer, by `delay_s` give or take up to `jitter_s`, never less than 0."""

    delay_s: SpanS
    jitter_s: SpanS = 0.0
    on: Selector = "all"


class Duplicate(Fault, frozen=True, kw_only=True):
    """A share of the messages arrives twice."""

    share: Fraction
    on: Selector = "all"


class Reorder(Fault, frozen=True, kw_only=True):
    """A share of the messages is held back for up to `by_s`, and overtaken by others."""

    share: Fraction
    by_s: SpanS = 0.5
    on: Selector = "all"


class Corrupt(Fault, frozen=True, kw_only=True):
    """A share of the messages arrives spoilt, so that its receiver cannot read it.

    What is changed so that it can still be read is a `Lie`.
    """

    share: Fraction
    on: Selector = "all"


class Bandwidth(Fault, frozen=True, kw_only=True):
    """A link carries so many bytes a second; what would wait longer than `queue_s` is lost."""

    bytes_per_s: Annotated[float, Meta(gt=0.0, le=1e12)]
    queue_s: SpanS = 1.0
    on: Selector = "all"


class Partition(Fault, frozen=True, kw_only=True):
    """Links are cut: `mg1,mg2 from rest`, both ways with `a<->b`, one way with `a->b`."""

    on: Selector


# On peers.


class Memory(StrEnum):
    """What a peer that was killed still knows when it is back."""

    KEPT = "kept"
    LOST = "lost"
    OLD = "old"


class Failpoint(StrEnum):
    """Where in the work of its host a peer can be made to end: around all it keeps and says."""

    BEFORE_SAVE = "before-save"
    AFTER_SAVE = "after-save"
    BEFORE_RECORD = "before-record"
    AFTER_RECORD = "after-record"
    BEFORE_SEND = "before-send"
    AFTER_SEND = "after-send"


class Kill(Fault, frozen=True, kw_only=True):
    """A peer ends, and starts again after some time.

    It ends at once, or when it next comes to a `point` of its work.

    `state` is what it finds then: all that it had saved, nothing, or what it had saved when the
    plan began, as from a restored backup.
    """

    restart_after_s: SpanS = 0.0
    state: Memory = Memory.KEPT
    point: Failpoint | None = None

    @property
    def lasts_s(self) -> float:
        """How long until all are back, s; who has not come to a point by then goes on."""
        return self.restart_after_s + (POINT_S if self.point else 0.0)

    on: Selector = "all"


class Pause(Fault, frozen=True, kw_only=True):
    """A peer stands still, and finds all that waits for it when it goes on."""

    on: Selector = "all"


class Slow(Fault, frozen=True, kw_only=True):
    """A peer gets this share of its time, and stands still in between, ten times a second."""

    share: Annotated[float, Meta(gt=0.0, le=1.0)]
    on: Selector = "all"


class Clock(Fault, frozen=True, kw_only=True):
    """The clock of a peer is wrong by so much, and goes wrong further."""

    ahead_s: Annotated[float, Meta(ge=-1e5, le=1e5)] = 0.0
    drift_ppm: Annotated[float, Meta(ge=-1e5, le=1e5)] = 0.0
    on: Selector = "all"


class DiskFull(Fault, frozen=True, kw_only=True):
    """A peer can save nothing."""

    on: Selector = "all"


# On what peers say: a peer that is not what it should be.


class Lie(Fault, frozen=True, kw_only=True):
    """A peer tells others this price in place of its own; one that cannot be is refused by them."""

    price_eur_per_kwh: Annotated[float, Meta(ge=-1e6, le=1e6)]
    on: Selector


class Replay(Fault, frozen=True, kw_only=True):
    """A share of the messages of a peer is sent once more much later, as it was, by `after_s`."""

    share: Fraction
    after_s: SpanS = 5.0
    on: Selector


class Forge(Fault, frozen=True, kw_only=True):
    """A share of the messages of a peer is said in the name of another."""

    share: Fraction
    name: ElementName
    on: Selector


# In the grid.


class LineOpen(Fault, frozen=True, kw_only=True):
    """A line is out of service."""

    line: ElementName


class LoadStep(Fault, frozen=True, kw_only=True):
    """Loads take in so much more, kW, each, than they are set to: they inject so much less.

    Negative: they take in less. `on` is patterns of names of assets, customers, prosumers or buses.
    """

    by_kw: Annotated[float, Meta(ge=-1e6, le=1e6)]
    on: Selector


class PvTrip(Fault, frozen=True, kw_only=True):
    """Generators put nothing in, neither P nor Q; `on` selects them as for a `LoadStep`."""

    on: Selector


class MeterNoise(Fault, frozen=True, kw_only=True):
    """What peers measure is off by chance; standard deviation in pu of voltage."""

    sigma_pu: Annotated[float, Meta(ge=0.0, le=0.1)]
    on: Selector = "all"


class Islanding(Fault, frozen=True, kw_only=True):
    """A microgrid is cut from the rest of the network."""

    microgrid: ElementName


LinkFault = Loss | Delay | Duplicate | Reorder | Corrupt | Bandwidth | Partition
PeerFault = Kill | Pause | Slow | Clock | DiskFull
WordFault = Lie | Replay | Forge
GridFault = LineOpen | LoadStep | PvTrip | MeterNoise | Islanding
AnyFault = LinkFault | PeerFault | WordFault | GridFault
