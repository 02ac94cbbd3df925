"""What a cell is: buses, branches, transformers, switches, sources, customers, zones, as data.

Rule of this file: values only. Reading and writing files is `cellfile`, nodes and matrices are
`topology` and `admittance`. Ids are short and shell-friendly ("17", "line-3", "pv-2"), unique over
the whole cell per kind of element, and never change when elements are added.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

SCHEMA = 1

Id = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:+-]*$")]
Real = Annotated[float, Meta(ge=-1e12, le=1e12)]
Magnitude = Annotated[float, Meta(ge=0.0, le=1e12)]
Rating = Annotated[float, Meta(gt=0.0, le=1e12)]
PerUnit = Annotated[float, Meta(ge=0.0, le=10.0)]
Share = Annotated[float, Meta(ge=-10.0, le=10.0)]
Kilovolt = Annotated[float, Meta(gt=0.0, le=1e4)]
Degree = Annotated[float, Meta(ge=-360.0, le=360.0)]


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every part of a cell file: frozen, named fields only, unknown keys refused."""


class Bus(Record, frozen=True):
    """A junction; `kv` is the nominal line-to-line voltage, the base of its per-unit values."""

    id: Id
    kv: Kilovolt
    name: str = ""
    v_min_pu: PerUnit = 0.9
    v_max_pu: PerUnit = 1.1
    x: Real | None = None
    y: Real | None = None


class BranchKind(StrEnum):
    """What a branch stands for; the arithmetic is the same."""

    LINE = "line"
    IMPEDANCE = "impedance"
    SWITCH = "switch"


class Branch(Record, frozen=True):
    """A pi section: series r + jx, half of the shunt g + jb at each end, all per phase.

    `rating_a` is the thermal limit of one phase, None where none is known. Zero-sequence values are
    needed in cells of three phases only.
    """

    id: Id
    from_bus: Id
    to_bus: Id
    r_ohm: Real
    x_ohm: Real
    kind: BranchKind = BranchKind.LINE
    name: str = ""
    g_siemens: Real = 0.0
    b_siemens: Real = 0.0
    r0_ohm: Real | None = None
    x0_ohm: Real | None = None
    b0_siemens: Real = 0.0
    length_km: Magnitude | None = None
    rating_a: Rating | None = None
    in_service: bool = True


class Tap(Record, frozen=True):
    """A transformer at one tap position.

    `ratio` is the off-nominal ratio at the high-voltage side in per unit, `shift_deg` the phase
    shift by which the low-voltage side lags. Impedances are referred to the low-voltage bus.
    """

    position: int
    ratio: Annotated[float, Meta(gt=0.0, le=10.0)]
    shift_deg: Degree
    r_ohm: Real
    x_ohm: Real
    g_siemens: Real = 0.0
    b_siemens: Real = 0.0


class WindingGroup(StrEnum):
    """How zero-sequence current flows; matters in cells of three phases only."""

    DYN = "Dyn"
    YNYN = "YNyn"


class TapChanger(Record, frozen=True):
    """On-load tap changer: hold `bus` at `v_set_pu` within half a dead band, after a delay."""

    bus: Id
    v_set_pu: PerUnit
    dead_band_pu: PerUnit
    delay_s: Magnitude = 60.0


class Transformer(Record, frozen=True):
    """Two windings; `taps` holds every position it can take, in ascending order."""

    id: Id
    hv_bus: Id
    lv_bus: Id
    taps: tuple[Tap, ...]
    rated_hv_kv: Kilovolt
    rated_lv_kv: Kilovolt
    name: str = ""
    tap: int = 0
    rating_kva: Rating | None = None
    group: WindingGroup = WindingGroup.DYN
    r0_ohm: Real | None = None
    x0_ohm: Real | None = None
    changer: TapChanger | None = None
    in_service: bool = True

    def at(self, position: int) -> Tap:
        """Return the tap table's row of one position; KeyError when there is none."""
        for tap in self.taps:
            if tap.position == position:
                return tap
        raise KeyError(position)


class Switch(Record, frozen=True):
    """Joins two buses (`other_bus`), or sits at the `bus` end of a branch or transformer."""

    id: Id
    bus: Id
    other_bus: Id | None = None
    branch: Id | None = None
    name: str = ""
    closed: bool = True


class Source(Record, frozen=True):
    """The grid above, or a grid-forming unit: a voltage behind an impedance (zero: stiff)."""

    id: Id
    bus: Id
    v_pu: PerUnit = 1.0
    angle_deg: Degree = 0.0
    r_ohm: Magnitude = 0.0
    x_ohm: Magnitude = 0.0
    r0_ohm: Magnitude = 0.0
    x0_ohm: Magnitude = 0.0
    name: str = ""


class AssetKind(StrEnum):
    """What an asset is; agents decide by it, physics does not."""

    LOAD = "load"
    EV = "ev"
    HEAT_PUMP = "heat_pump"
    PV = "pv"
    WIND = "wind"
    BIOMASS = "biomass"
    HYDRO = "hydro"
    BATTERY = "battery"
    GENERATOR = "generator"
    SHUNT = "shunt"


class Phase(StrEnum):
    """Where an asset is connected; ABC is a balanced three-phase connection."""

    ABC = "abc"
    A = "a"
    B = "b"
    C = "c"


class Asset(Record, frozen=True):
    """Anything that injects or draws power; `p_kw`, `q_kvar` > 0 feed the grid.

    With a profile, power at a time is `p_base_kw` times the profile; without, it is constant. That
    base is the nominal value unless `p_profile_kw` says otherwise: a battery idle at nominal
    power still has a recorded operation. The same holds for Q.
    The `z_` and `i_` shares are the constant-impedance and constant-current parts of P and Q at
    nominal voltage; the rest is constant power.
    """

    id: Id
    kind: AssetKind
    p_kw: Real
    q_kvar: Real = 0.0
    name: str = ""
    phase: Phase = Phase.ABC
    p_profile: str = ""
    q_profile: str = ""
    p_profile_kw: Real | None = None
    q_profile_kvar: Real | None = None
    rating_kva: Magnitude | None = None
    energy_kwh: Magnitude | None = None
    z_p: Share = 0.0
    i_p: Share = 0.0
    z_q: Share = 0.0
    i_q: Share = 0.0

    @property
    def p_base_kw(self) -> float:
        """Active power that a profile value of 1 stands for, in kW."""
        return self.p_kw if self.p_profile_kw is None else self.p_profile_kw

    @property
    def q_base_kvar(self) -> float:
        """Reactive power that a profile value of 1 stands for, in kvar."""
        return self.q_kvar if self.q_profile_kvar is None else self.q_profile_kvar


class Customer(Record, frozen=True):
    """One connection point and what stands behind it: a consumer, prosumer or plant."""

    id: Id
    bus: Id
    assets: tuple[Asset, ...]
    name: str = ""


class Level(StrEnum):
    """Voltage level of a microgrid."""

    LV = "lv"
    MV = "mv"


class Microgrid(Record, frozen=True):
    """A set of buses that one microgrid trader serves."""

    id: Id
    level: Level
    buses: tuple[Id, ...]
    name: str = ""


class CouplingPoint(Record, frozen=True):
    """Where `lower` hangs below `upper` through `branch`; upper None is the grid above the cell."""

    id: Id
    branch: Id
    lower: Id
    upper: Id | None = None


class Tie(Record, frozen=True):
    """An open element between two microgrids: for reconfiguration or a soft open point."""

    id: Id
    element: Id
    microgrids: tuple[Id, Id]


class Zones(Record, frozen=True):
    """How the cell divides: section III of the paper, microgrids below cells."""

    microgrids: tuple[Microgrid, ...] = ()
    coupling_points: tuple[CouplingPoint, ...] = ()
    ties: tuple[Tie, ...] = ()


class Limits(Record, frozen=True):
    """What counts as a violation, beside the voltage limits of each bus."""

    loading_percent_max: Annotated[float, Meta(gt=0.0, le=1000.0)] = 100.0


class Window(Record, frozen=True):
    """A stretch of consecutive profile rows; `start` is local time of the data."""

    start: datetime
    steps: Annotated[int, Meta(ge=1, le=1_000_000)]


class Timeline(Record, frozen=True):
    """Which times the rows of the profiles stand for, window after window."""

    step_s: Annotated[int, Meta(ge=1, le=86_400)] = 900
    windows: tuple[Window, ...] = ()

    @property
    def steps(self) -> int:
        """Number of rows that every profile must have."""
        return sum(window.steps for window in self.windows)

    def row(self, at: datetime) -> int:
        """Return the row that holds at a time; LookupError when no window holds it."""
        first = 0
        for window in self.windows:
            index = (at - window.start) // timedelta(seconds=self.step_s)
            if 0 <= index < window.steps:
                return first + index
            first += window.steps
        raise LookupError(at)

    def time(self, row: int) -> datetime:
        """Return the start of a row's interval; LookupError when there is no such row."""
        for window in self.windows:
            if row < window.steps:
                return window.start + timedelta(seconds=self.step_s) * row
            row -= window.steps
        raise LookupError(row)


class Provenance(Record, frozen=True):
    """Where the data come from, under which licence, and how to make them again."""

    source: str
    licence: str
    command: str = ""
    notes: tuple[str, ...] = ()


class Cell(Record, frozen=True):
    """A cell of the grid: one network with its customers, zones and limits.

    `phases` is 1 for a balanced cell (one node a bus) and 3 for an unbalanced one.
    """

    schema: int
    name: str
    title: str
    phases: Annotated[int, Meta(ge=1, le=3)]
    buses: tuple[Bus, ...]
    branches: tuple[Branch, ...]
    transformers: tuple[Transformer, ...]
    switches: tuple[Switch, ...]
    sources: tuple[Source, ...]
    customers: tuple[Customer, ...]
    provenance: Provenance
    zones: Zones = Zones()
    limits: Limits = Limits()
    timeline: Timeline = Timeline()

    @property
    def assets(self) -> tuple[Asset, ...]:
        """All assets in the order of the customers; every array over assets follows it."""
        return tuple(asset for customer in self.customers for asset in customer.assets)
