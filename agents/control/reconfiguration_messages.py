"""What the agents of open points tell each other: what each would gain, what all have chosen."""

from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.control.open_points import SectionNames
from peercell.agents.gossip_map import Parcel
from peercell.agents.grid_parts import CHANGES_MAX, Magnitude, NameOrNone
from peercell.agents.messages import Message
from peercell.agents.units import Counter

OwnerName = Annotated[str, Meta(max_length=64)]


class Proposal(Struct, frozen=True, array_like=True, tag=1):
    """The best that a member could do from the configuration of a version.

    `opens` takes the place of its open point, which saves `gain_kw` and leaves `losses_kw`; it is
    "" where nothing saves anything.
    """

    owner: OwnerName
    epoch: Counter
    opens: NameOrNone = ""
    gain_kw: Magnitude = 0.0
    losses_kw: Magnitude = 0.0


class Configuration(Struct, frozen=True, array_like=True, tag=2):
    """Where the network is open from a version on, the same for all; nobody's own, the owner is "".

    `opened` has the open point of each member, in the order of the members.
    """

    owner: OwnerName
    epoch: Counter
    opened: SectionNames
    losses_kw: Magnitude


ReconfigurationEntry = Proposal | Configuration


class ReconfigurationGossip(Message, frozen=True):
    """What a member tells a neighbour in a tick."""

    parcel: Parcel
    entries: Annotated[tuple[ReconfigurationEntry, ...], Meta(max_length=2 * CHANGES_MAX)]


class OpenPointsMoved(Message, frozen=True):
    """A fact for the observers: a member goes by the configuration of this version now."""

    version: Counter
    opened: SectionNames
    losses_kw: Magnitude


class OpenPointsSettled(Message, frozen=True):
    """A fact for the observers: nobody would gain any more, and the switches stand accordingly."""

    version: Counter
    opened: SectionNames


class OpenPointsRefused(Message, frozen=True):
    """A fact for the observers: the grid service does not do what a member asks."""

    what: Annotated[str, Meta(max_length=4000)]


ReconfigurationFact = OpenPointsMoved | OpenPointsSettled | OpenPointsRefused
