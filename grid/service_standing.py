"""What stands in a cell: the newest word on everything that peers may write."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

import numpy as np

from peercell.agents.grid_parts import (
    Correction,
    Disturbance,
    Outage,
    SetPoint,
    SourceState,
    Stamp,
    Switching,
    SwitchPosition,
    TapPosition,
    Thing,
)
from peercell.grid.admittance import Real
from peercell.grid.service_disturbances import Upset

Rearrangement = SwitchPosition | TapPosition | Outage | SourceState
Change = SetPoint | Correction | Disturbance | Rearrangement

# Asked for with every set-point, and a member of an enum is not found at once.
_ASSET = Thing.ASSET


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What is connected otherwise than in the cell file; equal ones are equal networks."""

    closed: tuple[tuple[str, bool], ...] = ()
    taps: tuple[tuple[str, int], ...] = ()
    outages: tuple[str, ...] = ()
    sources: tuple[SourceState, ...] = ()

    def switching(self) -> Switching:
        """Return the arrangement as the changes that make it."""
        return Switching(
            tuple(SwitchPosition(*pair) for pair in self.closed),
            tuple(TapPosition(*pair) for pair in self.taps),
            tuple(Outage(branch, out=True) for branch in self.outages),
            self.sources,
        )


@dataclass(slots=True)
class Standing:
    """What stands: the newest word on everything that peers may write.

    Attributes
    ----------
    rev, topo : revisions of the state and of what is connected.
    at : local time; None for the nominal powers of the cell file.
    base : P in kW and Q in kvar of every asset at that time without set-points.
    planned : the same with set-points.
    p_kw, q_kvar : the same with corrections and primary control: what is injected where nothing
        disturbs it. Where no asset has a controller, these are the arrays of `planned` themselves.
    store : kWh in every battery that has a controller, and how much of it was lent to it.
    set_points : of the assets that do not follow their profile.
    corrections : of the assets whose controller wants them to leave their plan.
    primary : by how much inverters leave what is wanted of them by themselves.
    arrangement : what is connected otherwise than in the cell file.
    newest : the `seq` of the newest write of each peer to each thing.
    disturbances : what befalls assets, by its name.
    upset : what they come to; None without any.
    is_new : whether the state has changed since it was copied.
    """

    rev: int
    topo: int
    at: datetime | None
    base: tuple[Real, Real]
    planned: tuple[Real, Real]
    p_kw: Real
    q_kvar: Real
    store: tuple[Real, Real]
    set_points: dict[str, SetPoint]
    corrections: dict[str, Correction]
    primary: dict[str, Correction]
    arrangement: Arrangement
    newest: dict[tuple[str, Thing, str], int]
    disturbances: dict[str, Disturbance] = field(default_factory=dict)
    upset: Upset | None = None
    is_new: bool = False

    def copy(self) -> "Standing":
        """Return a copy that can be written without changing this one."""
        p_kw, q_kvar = planned = self.planned[0].copy(), self.planned[1].copy()
        if self.p_kw is not self.planned[0]:
            p_kw, q_kvar = self.p_kw.copy(), self.q_kvar.copy()
        return Standing(
            self.rev,
            self.topo,
            self.at,
            self.base,
            planned,
            p_kw,
            q_kvar,
            self.store,
            self.set_points.copy(),
            self.corrections.copy(),
            self.primary.copy(),
            self.arrangement,
            self.newest.copy(),
            self.disturbances.copy(),
            self.upset,
        )

    def has_powers_of(self, other: "Standing") -> bool:
        """Return whether both lead to the same readings, bit for bit."""
        return (
            self.arrangement == other.arrangement
            and self.disturbances == other.disturbances
            and np.array_equal(self.planned, other.planned)
            and np.array_equal(self.p_kw, other.p_kw)
            and np.array_equal(self.q_kvar, other.q_kvar)
            and np.array_equal(self.store, other.store)
        )

    def set_point(self, asset: str) -> SetPoint:
        """Return the set-point of an asset; without values where it follows its profile."""
        return self.set_points.get(asset) or SetPoint(asset)

    def correction(self, asset: str) -> Correction:
        """Return the correction of an asset; zero where it follows its plan."""
        return self.corrections.get(asset) or Correction(asset, 0.0, 0.0)

    def disturbance(self, name: str) -> Disturbance:
        """Return what befalls assets under a name; without assets where nothing does."""
        return self.disturbances.get(name) or Disturbance(name)

    @property
    def injected(self) -> tuple[Real, Real]:
        """P in kW and Q in kvar that every asset injects, with what disturbs it."""
        if self.upset is None:
            return self.p_kw, self.q_kvar
        return self.upset.own(self.p_kw) + self.upset.by_kw, self.upset.own(self.q_kvar)

    @property
    def powers(self) -> tuple[Real, Real, Real, Real, Real, Real]:
        """Planned P and Q, injected P and Q, stored and lent energy, of every asset."""
        return (*self.planned, *self.injected, *self.store)

    def take(self, other: "Standing") -> None:
        """Let all stand as it does elsewhere, but revisions and who wrote what."""
        self.at, self.base, self.planned = other.at, other.base, other.planned
        self.p_kw, self.q_kvar, self.store = other.p_kw, other.q_kvar, other.store
        self.set_points, self.corrections = other.set_points, other.corrections
        self.primary, self.arrangement = other.primary, other.arrangement
        self.disturbances, self.upset = other.disturbances, other.upset
        self.is_new = True

    @property
    def stamp(self) -> Stamp:
        """The revisions and the time, as replies carry them."""
        return Stamp(self.rev, self.topo, self.at)


def key_of(peer: str, change: Change) -> tuple[str, Thing, str]:
    """Return who changes what: of two changes of one key the newer holds."""
    match change:
        case SetPoint():
            thing, name = _ASSET, change.asset
        case Correction():
            thing, name = Thing.CORRECTION, change.asset
        case Disturbance():
            thing, name = Thing.DISTURBANCE, change.name
        case SwitchPosition():
            thing, name = Thing.SWITCH, change.switch
        case TapPosition():
            thing, name = Thing.TAP, change.transformer
        case Outage():
            thing, name = Thing.OUTAGE, change.branch
        case SourceState():
            thing, name = Thing.SOURCE, change.source
        case _:
            assert_never(change)
    return peer, thing, name
