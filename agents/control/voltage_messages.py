"""What voltage agents tell each other: who measures what, how devices answer, what limits cost."""

from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.control.paths import Path
from peercell.agents.gossip_map import Parcel
from peercell.agents.messages import Message
from peercell.agents.units import Counter

MEMBERS_MAX = 4096
GAIN_MAX = 8.0

OwnerName = Annotated[str, Meta(max_length=64)]
Reach = Annotated[float, Meta(ge=0.0, le=1e12)]
VoltagePu = Annotated[float, Meta(ge=0.0, le=10.0)]
PowerKw = Annotated[float, Meta(ge=-1e9, le=1e9)]
Number = Annotated[float, Meta(ge=-1e12, le=1e12)]
MemberNumber = Annotated[int, Meta(ge=0, lt=MEMBERS_MAX)]
LimitKind = Annotated[int, Meta(ge=0, le=2)]
Multiplier = Annotated[float, Meta(ge=0.0, le=1e12)]


class Answer(Struct, frozen=True):
    """How the devices of a member answer to its prices, of one kind together; see `Response`."""

    along: float
    edge: float
    reactive: float
    gap: float


class Loading(Struct, frozen=True):
    """A watched branch: its excess in shares of the rating, and what a kW behind it adds to it."""

    excess: float
    per_kw: float


class Levels(Struct, frozen=True):
    """What a coupling agent tells of another level.

    Of the one above the prices of a kW and a kvar where it is; of the one below the `multiplier` of
    all its limits of voltage together, < 0 where they are too low.
    """

    price_kw: float = 0.0
    price_kvar: float = 0.0
    multiplier: float = 0.0


class State(Struct, frozen=True):
    """What a member sees and how its devices answer.

    `off_kw`, `off_kvar` are what primary control has taken off what the prices want: with them the
    voltage is what it would be without. `own` are multipliers that the member keeps by itself while
    epochs stall: of too much voltage, too little, and loading. `levels` is for coupling agents.
    """

    v_pu: float
    answers: tuple[Answer, ...] = ()
    off_kw: float = 0.0
    off_kvar: float = 0.0
    loading: Loading | None = None
    own: tuple[float, float, float] | None = None
    levels: Levels | None = None


class StateEntry(Struct, frozen=True, array_like=True, tag=1):
    """What a member has to tell in an epoch.

    `epoch` is `stamp_of(epoch, times stamped before in it)`; `base` is a byte of the prices under
    which it was measured; `told` is a `State`, packed: of a hundred members each tells this to all.
    """

    owner: OwnerName
    epoch: Counter
    base: Annotated[int, Meta(ge=0, le=255)]
    told: Annotated[bytes, Meta(max_length=2000)]


class PathEntry(Struct, frozen=True, array_like=True, tag=2):
    """Where a member is: the branches between it and the grid above, and how much it can move.

    `kw_per_price`, `kvar_per_price` : by how much its devices move for a unit of price where they
    are free to.
    """

    owner: OwnerName
    epoch: Counter
    path: Path
    reach_kva: Reach = 0.0
    kw_per_price: Reach = 0.0
    kvar_per_price: Reach = 0.0


class LimitPrice(Struct, frozen=True, array_like=True):
    """The multiplier of one limit: of the member at this place in the roster, of this kind."""

    member: MemberNumber
    kind: LimitKind
    multiplier: Multiplier
    per_kw: Number = 0.0


class Trial(Struct, frozen=True, array_like=True):
    """How much stronger the network answers than the model says, and what will tell more.

    Steps are divided by `gain`, 1 where the model is right. The last one was to change the `excess`
    of one limit, that of a member and kind; 0 where nothing is to be learnt. With `reaches` it was
    to bring that limit to its bound. `before` was its excess a step earlier, 0 where not known.
    """

    gain: Annotated[float, Meta(ge=1.0, le=GAIN_MAX)] = 1.0
    member: MemberNumber = 0
    kind: LimitKind = 0
    excess: Number = 0.0
    reaches: bool = False
    before: Number = 0.0


class LevelPrice(Struct, frozen=True, array_like=True):
    """What another level adds to the prices, as the member that couples it has told."""

    member: MemberNumber
    price_kw: Number
    price_kvar: Number
    multiplier: Number


class PriceEntry(Struct, frozen=True, array_like=True, tag=3):
    """All multipliers above 0, the same for all; nobody's own, so the owner is ""."""

    owner: OwnerName
    epoch: Counter
    limits: Annotated[tuple[LimitPrice, ...], Meta(max_length=MEMBERS_MAX)] = ()
    trial: Trial = Trial()
    levels: Annotated[tuple[LevelPrice, ...], Meta(max_length=MEMBERS_MAX)] = ()


VoltageFact = StateEntry | PathEntry | PriceEntry


class VoltageGossip(Message, frozen=True):
    """What a voltage agent tells a neighbour in a tick; `quiet` has a bit for each member."""

    parcel: Parcel
    entries: Annotated[tuple[VoltageFact, ...], Meta(max_length=1000)]
    epoch: Counter
    quiet: Annotated[bytes, Meta(max_length=MEMBERS_MAX // 8)]


class VoltageControlled(Message, frozen=True):
    """A fact for the observers: what an agent wants of its devices from now on, under new prices.

    `p_kw`, `q_kvar` are by how much they leave their plan, added up.
    """

    epoch: Counter
    limits: Annotated[int, Meta(ge=0, le=MEMBERS_MAX)]
    v_pu: VoltagePu
    p_kw: PowerKw
    q_kvar: PowerKw


class EpochsStalled(Message, frozen=True):
    """A fact for the observers: no complete view for some epochs, so each acts for its own."""

    epoch: Counter
    since: Counter
