"""What the messages of the grid service are made of: bounded values, views, readings, changes.

P in kW and Q in kvar, positive = injection into the grid; voltages in pu of the bus's nominal.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

Seq = Annotated[int, Meta(ge=0, le=2**53)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Name = Annotated[str, Meta(min_length=1, max_length=80)]
NameOrNone = Annotated[str, Meta(max_length=80)]
Text = Annotated[str, Meta(max_length=2000)]
Digest = Annotated[str, Meta(min_length=64, max_length=64)]
Power = Annotated[float, Meta(ge=-1e12, le=1e12)]
Magnitude = Annotated[float, Meta(ge=0.0, le=1e12)]
VoltagePu = Annotated[float, Meta(ge=0.0, le=10.0)]
Angle = Annotated[float, Meta(ge=-360.0, le=360.0)]
Ohm = Annotated[float, Meta(ge=-1e12, le=1e12)]
Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
Slope = Annotated[float, Meta(ge=-1e6, le=1e6)]
TapNumber = Annotated[int, Meta(ge=-1000, le=1000)]
LocalTime = Annotated[datetime, Meta(tz=False)]

ELEMENTS_MAX = 20_000
CHANGES_MAX = 1_000
CASES_MAX = 128

Names = Annotated[tuple[Name, ...], Meta(max_length=ELEMENTS_MAX)]
Slopes = Annotated[tuple[Slope, ...], Meta(max_length=ELEMENTS_MAX)]
Voltages = Annotated[tuple[VoltagePu | None, ...], Meta(max_length=ELEMENTS_MAX)]
Loadings = Annotated[tuple[Magnitude | None, ...], Meta(max_length=ELEMENTS_MAX)]
Flows = Annotated[tuple[Power, ...], Meta(max_length=ELEMENTS_MAX)]


class Part(Struct, frozen=True, array_like=True):
    """Base of what messages are made of; new fields go last and have a default."""


class Stamp(Part, frozen=True):
    """Which state a reply speaks of.

    `rev` rises with every change of the state and `topo` with every change of what is connected;
    `at` is the simulated local time, None for the nominal powers of the cell file.
    """

    rev: Count
    topo: Count
    at: LocalTime | None = None


class View(Part, frozen=True, cache_hash=True):
    """What to show of a state; values come back in the order asked.

    A bus of a three-phase cell is named with its phase, "17.a". `violations` asks for every broken
    limit of the cell.
    """

    buses: Names = ()
    branches: Names = ()
    microgrids: Names = ()
    violations: bool = False
    assets: Names = ()


class LimitKind(StrEnum):
    """Which limit is broken."""

    OVER_VOLTAGE = "over_voltage"
    UNDER_VOLTAGE = "under_voltage"
    OVERLOAD = "overload"


class BrokenLimit(Part, frozen=True):
    """One element beyond its limit: pu of a bus, percent of a branch."""

    kind: LimitKind
    element: Name
    value: Magnitude
    limit: Magnitude


class DeadBus(Part, frozen=True):
    """A bus without a source, and what cuts it off."""

    bus: Name
    cause: Text


class MicrogridReading(Part, frozen=True):
    """A microgrid as a whole.

    `import_kw`, `import_kvar` > 0: it draws from the grid above through its coupling points; None
    where it has none. Voltages are None where it is dead, `loading_percent_max` where no rating is
    known.
    """

    microgrid: Name
    import_kw: Power | None
    import_kvar: Power | None
    v_min_pu: VoltagePu | None
    v_max_pu: VoltagePu | None
    loading_percent_max: Magnitude | None


class AssetReading(Part, frozen=True):
    """What an asset injects, and what it would without correction and primary control.

    Of a battery that a controller may move `stored_kwh` is what it holds, and `lent_kwh` how much
    of it control has put there beside its plan, < 0 for taken out; both are 0 of all others.
    """

    asset: Name
    planned_kw: Power
    planned_kvar: Power
    p_kw: Power
    q_kvar: Power
    stored_kwh: Magnitude = 0.0
    lent_kwh: Power = 0.0


class Reading(Part, frozen=True):
    """What a view shows of a solved state.

    The scalars are of the whole cell: `source_kw`, `source_kvar` > 0 feed it, `iterations` is a
    sign of stress (6 is easy, 100 near collapse). A voltage is None at a bus of `dead`; a loading
    is None where no rating is known; a flow is the kW into the first (high-voltage) side.
    """

    losses_kw: Power
    source_kw: Power
    source_kvar: Power
    v_min_pu: VoltagePu
    v_max_pu: VoltagePu
    loading_percent_max: Magnitude | None
    iterations: Count
    voltages_pu: Voltages = ()
    loadings_percent: Loadings = ()
    flows_kw: Flows = ()
    microgrids: Annotated[tuple[MicrogridReading, ...], Meta(max_length=ELEMENTS_MAX)] = ()
    violations: Annotated[tuple[BrokenLimit, ...], Meta(max_length=ELEMENTS_MAX)] = ()
    dead: Annotated[tuple[DeadBus, ...], Meta(max_length=ELEMENTS_MAX)] = ()
    assets: Annotated[tuple[AssetReading, ...], Meta(max_length=ELEMENTS_MAX)] = ()


class Correction(Part, frozen=True):
    """By how much an asset shall leave its plan, which is its set-point or its profile.

    The service keeps the sum within the asset's ratings; a plan that moves takes the correction
    along.
    """

    asset: Name
    p_kw: Power
    q_kvar: Power


class Stored(Part, frozen=True):
    """How full a battery is that a controller may move, and how much of it is lent to it."""

    asset: Name
    stored_kwh: Magnitude
    lent_kwh: Power


class SetPoint(Part, frozen=True):
    """What an asset shall inject; None leaves P or Q to the profile."""

    asset: Name
    p_kw: Power | None = None
    q_kvar: Power | None = None


class SwitchPosition(Part, frozen=True):
    """Open or close a switch."""

    switch: Name
    closed: bool


class TapPosition(Part, frozen=True):
    """Move a transformer to a position of its tap table."""

    transformer: Name
    position: TapNumber


class Outage(Part, frozen=True):
    """Take a branch or transformer out of service, or put it back."""

    branch: Name
    out: bool


class SourceState(Part, frozen=True):
    """Withdraw a source, or declare one: a grid-forming unit, or the grid above at another voltage.

    With `bus` it is a voltage behind an impedance (zero: stiff) at that bus; without, a source of
    the cell file returns to what the file says.
    """

    source: Name
    on: bool
    bus: NameOrNone = ""
    v_pu: VoltagePu = 1.0
    angle_deg: Angle = 0.0
    r_ohm: Magnitude = 0.0
    x_ohm: Magnitude = 0.0


CorrectionList = Annotated[tuple[Correction, ...], Meta(max_length=CHANGES_MAX)]
SetPointList = Annotated[tuple[SetPoint, ...], Meta(max_length=CHANGES_MAX)]


class Switching(Part, frozen=True):
    """Changes of what is connected, made together."""

    switches: Annotated[tuple[SwitchPosition, ...], Meta(max_length=CHANGES_MAX)] = ()
    taps: Annotated[tuple[TapPosition, ...], Meta(max_length=CHANGES_MAX)] = ()
    outages: Annotated[tuple[Outage, ...], Meta(max_length=CHANGES_MAX)] = ()
    sources: Annotated[tuple[SourceState, ...], Meta(max_length=CHANGES_MAX)] = ()


class Disturbed(Part, frozen=True):
    """An asset that injects `by_kw` more than it is set to, or has tripped and gives nothing."""

    asset: Name
    by_kw: Power = 0.0
    tripped: bool = False


class Disturbance(Part, frozen=True):
    """What befalls assets, on top of plans and corrections; without assets it is over."""

    name: Name
    assets: Annotated[tuple[Disturbed, ...], Meta(max_length=ELEMENTS_MAX)] = ()


class SensitivityModel(StrEnum):
    """How exact a sensitivity must be.

    EXACT at the present state; FIRST_ORDER at it without the answer of the injections themselves
    (2 to 5 % off); LINDISTFLOW from the network alone, the same at every load.
    """

    EXACT = "exact"
    FIRST_ORDER = "first_order"
    LINDISTFLOW = "lindistflow"


class Case(Part, frozen=True):
    """A hypothetical change of the present state."""

    set_points: SetPointList = ()
    switching: Switching = Switching()


class DeadBand(Part, frozen=True):
    """How much a value must move before a subscriber hears of it; 0 for any move."""

    voltage_pu: VoltagePu = 0.0
    power_kw: Magnitude = 0.0
    loading_percent: Magnitude = 0.0


class AssetFacts(Part, frozen=True):
    """An asset of the caller's; `rating_kva` None where no limit is known."""

    asset: Name
    bus: Name
    kind: Name
    p_kw: Power
    q_kvar: Power
    rating_kva: Magnitude | None = None


class BusFacts(Part, frozen=True):
    """A bus that the caller may read, by the name a view takes."""

    bus: Name
    kv: Magnitude
    v_min_pu: VoltagePu
    v_max_pu: VoltagePu


class RefusalCode(StrEnum):
    """Why a request is refused."""

    NOT_OWNER = "not_owner"
    UNKNOWN_ASSET = "unknown_asset"
    UNKNOWN_ELEMENT = "unknown_element"
    OUT_OF_RANGE = "out_of_range"
    STALE_SEQ = "stale_seq"
    DEAD_BUS = "dead_bus"
    NO_SOURCE = "no_source"
    COLLAPSE = "collapse"
    BAD_TOPOLOGY = "bad_topology"
    TIME_PAST = "time_past"
    NOT_AUTHORISED = "not_authorised"
    BAD_REQUEST = "bad_request"
    BUSY = "busy"


class RefusalFacts(Part, frozen=True):
    """The numbers behind a refusal; those that do not apply are None or empty.

    `element` is what it is about, `asked` and `most` the value and its limit, `seq_newest` what
    made a write stale. Of a collapse: the largest `fraction` of the change that can be solved, the
    `iterations` which that takes, and the `weakest_bus`.
    """

    element: NameOrNone = ""
    asked: Magnitude | None = None
    most: Magnitude | None = None
    seq_newest: Seq | None = None
    fraction: Fraction | None = None
    iterations: Count | None = None
    weakest_bus: NameOrNone = ""


class BranchFacts(Part, frozen=True):
    """A branch, or a transformer at its present tap; `most` is A of a branch, kVA of the other.

    `closed` is False where it carries nothing: out of service, open, or without a source.
    """

    branch: Name
    from_bus: Name
    to_bus: Name
    r_ohm: Ohm
    x_ohm: Ohm
    most: Magnitude | None
    closed: bool


class MicrogridFacts(Part, frozen=True):
    """A microgrid and its buses."""

    microgrid: Name
    buses: Names


class CouplingFacts(Part, frozen=True):
    """Where microgrid `lower` hangs below `upper` ("": the grid above) through a branch."""

    branch: Name
    lower: Name
    upper: NameOrNone


class TieFacts(Part, frozen=True):
    """An open element that could join two microgrids."""

    element: Name
    first: Name
    second: Name


class Outcome(Part, frozen=True):
    """What a hypothetical case would lead to: a reading, or why there is none."""

    reading: Reading | None
    code: RefusalCode | None = None
    why: Text = ""


class Thing(StrEnum):
    """What a write changes; STATE is all of it."""

    ASSET = "asset"
    CORRECTION = "correction"
    SWITCH = "switch"
    TAP = "tap"
    OUTAGE = "outage"
    SOURCE = "source"
    DISTURBANCE = "disturbance"
    STATE = "state"


class Newest(Part, frozen=True):
    """The `seq` of a peer's newest write to one thing; the operator at the host has no name."""

    peer: NameOrNone
    thing: Thing
    name: NameOrNone
    seq: Seq
