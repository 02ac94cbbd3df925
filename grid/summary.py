"""What was understood of a cell: counts, limits, zones, sources, times, provenance."""

from collections import Counter
from datetime import datetime, timedelta

from peercell.grid.cellfile import Profiles, content_hash
from peercell.grid.model import Cell, Provenance, Record


class SourceSummary(Record, frozen=True):
    """Where the cell is fed, and at which voltage."""

    id: str
    bus: str
    v_pu: float


class MicrogridSummary(Record, frozen=True):
    """One microgrid of the cell."""

    id: str
    level: str
    buses: int
    customers: int


class WindowSummary(Record, frozen=True):
    """A stretch of time that the profiles cover; `end` is the end of its last step."""

    start: datetime
    end: datetime


class Summary(Record, frozen=True):
    """What was understood of a cell.

    `assets` counts by kind; `v_min_pu` and `v_max_pu` are the tightest limits of any bus.
    """

    cell: str
    title: str
    phases: int
    buses: int
    branches: dict[str, int]
    transformers: int
    switches: int
    switches_open: int
    customers: int
    assets: dict[str, int]
    v_min_pu: float
    v_max_pu: float
    loading_percent_max: float
    sources: tuple[SourceSummary, ...]
    microgrids: tuple[MicrogridSummary, ...]
    coupling_points: int
    ties: int
    step_s: int
    steps: int
    windows: tuple[WindowSummary, ...]
    profiles: int
    provenance: Provenance
    hash: str

    @property
    def days(self) -> float:
        """How many days the profiles cover."""
        return self.steps * self.step_s / 86_400


class AssetSummary(Record, frozen=True):
    """One asset and where it stands; P and Q are nominal, positive = injection."""

    asset: str
    kind: str
    customer: str
    bus: str
    microgrid: str | None
    p_kw: float
    q_kvar: float
    rating_kva: float | None
    profile: str


def asset_summaries(cell: Cell) -> list[AssetSummary]:
    """Return every asset in the order of the cell file."""
    microgrid = {bus: zone.id for zone in cell.zones.microgrids for bus in zone.buses}
    return [
        AssetSummary(
            asset=asset.id,
            kind=asset.kind.value,
            customer=customer.id,
            bus=customer.bus,
            microgrid=microgrid.get(customer.bus),
            p_kw=asset.p_kw,
            q_kvar=asset.q_kvar,
            rating_kva=asset.rating_kva,
            profile=asset.p_profile,
        )
        for customer in cell.customers
        for asset in customer.assets
    ]


def summary(cell: Cell, profiles: Profiles) -> Summary:
    """Return what was understood of a cell."""
    step = timedelta(seconds=cell.timeline.step_s)
    at_bus = Counter(customer.bus for customer in cell.customers)
    return Summary(
        cell=cell.name,
        title=cell.title,
        phases=cell.phases,
        buses=len(cell.buses),
        branches=dict(Counter(branch.kind.value for branch in cell.branches)),
        transformers=len(cell.transformers),
        switches=len(cell.switches),
        switches_open=sum(not switch.closed for switch in cell.switches),
        customers=len(cell.customers),
        assets=dict(Counter(asset.kind.value for asset in cell.assets)),
        v_min_pu=max((bus.v_min_pu for bus in cell.buses), default=0.0),
        v_max_pu=min((bus.v_max_pu for bus in cell.buses), default=0.0),
        loading_percent_max=cell.limits.loading_percent_max,
        sources=tuple(SourceSummary(id=s.id, bus=s.bus, v_pu=s.v_pu) for s in cell.sources),
        microgrids=tuple(
            MicrogridSummary(
                id=microgrid.id,
                level=microgrid.level,
                buses=len(microgrid.buses),
                customers=sum(at_bus[bus] for bus in microgrid.buses),
            )
            for microgrid in cell.zones.microgrids
        ),
        coupling_points=len(cell.zones.coupling_points),
        ties=len(cell.zones.ties),
        step_s=cell.timeline.step_s,
        steps=cell.timeline.steps,
        windows=tuple(
            WindowSummary(start=window.start, end=window.start + step * window.steps)
            for window in cell.timeline.windows
        ),
        profiles=len(profiles),
        provenance=cell.provenance,
        hash=content_hash(cell, profiles),
    )
