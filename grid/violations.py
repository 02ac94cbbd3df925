"""Which limits of a cell are broken: at one time, and in episodes over many steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from peercell.grid.admittance import Real
from peercell.grid.feeder import Feeder
from peercell.grid.model import Cell, Record

# What a solver leaves of a limit that is met exactly is no violation.
_TOLERANCE = 1e-6
# Voltages are solved to 1e-9 pu; what differs less than this is equal.
COMPARED_DIGITS = 8


class ViolationKind(StrEnum):
    """Which limit is broken."""

    OVER_VOLTAGE = "over_voltage"
    UNDER_VOLTAGE = "under_voltage"
    OVERLOAD = "overload"


class Violation(Record, frozen=True):
    """One element beyond its limit; `unit` is pu or %."""

    kind: ViolationKind
    element: str
    value: float
    limit: float
    unit: str


class Episode(Record, frozen=True):
    """A stretch of consecutive steps in which one kind of limit is broken somewhere.

    `start` to `end` (the end of the last step); `worst` is the value furthest beyond its `limit`,
    found at `element` in the step that starts `at`.
    """

    kind: ViolationKind
    start: datetime
    end: datetime
    elements: tuple[str, ...]
    worst: float
    limit: float
    unit: str
    element: str
    at: datetime


@dataclass(frozen=True)
class Check:
    """Values (steps, elements) of one kind against the limits (elements,) they must keep."""

    kind: ViolationKind
    elements: tuple[str, ...]
    values: Real
    limits: Real
    unit: str

    @property
    def excess(self) -> Real:
        """How far beyond the limit, (steps, elements); positive = violated."""
        sign = -1.0 if self.kind is ViolationKind.UNDER_VOLTAGE else 1.0
        return sign * (self.values - self.limits) - _TOLERANCE * self.limits

    def violations(self) -> list[Violation]:
        """Return the violations of the first step, the worst first."""
        excess = self.excess[0]
        worst_first = np.argsort(-excess, kind="stable")
        return [
            Violation(
                kind=self.kind,
                element=self.elements[k],
                value=float(self.values[0, k]),
                limit=float(self.limits[k]),
                unit=self.unit,
            )
            for k in worst_first[: np.count_nonzero(excess > 0.0)]
        ]

    def episodes(self, times: Sequence[datetime], step: timedelta) -> list[Episode]:
        """Return the stretches of steps in which an element is beyond its limit."""
        excess = self.excess
        violated = (excess > 0.0).any(axis=1)
        edges = np.flatnonzero(np.diff(violated, prepend=False, append=False))
        return [
            self._episode(excess, slice(first, last), times, step)
            for first, last in edges.reshape(-1, 2).tolist()
        ]

    def _episode(
        self, excess: Real, rows: slice, times: Sequence[datetime], step: timedelta
    ) -> Episode:
        part = excess[rows]
        row, worst = peak(part)
        return Episode(
            kind=self.kind,
            start=times[rows.start],
            end=times[rows.stop - 1] + step,
            elements=tuple(self.elements[k] for k in np.flatnonzero((part > 0.0).any(axis=0))),
            worst=float(self.values[rows][row, worst]),
            limit=float(self.limits[worst]),
            unit=self.unit,
            element=self.elements[worst],
            at=times[rows.start + row],
        )


def peak(values: Real) -> tuple[int, int]:
    """Return row and column of the largest value; the first one of those that a solver equals."""
    row, column = divmod(int(np.round(values, COMPARED_DIGITS).argmax()), values.shape[1])
    return row, column


def checks(feeder: Feeder, v_pu: Real, percent: Real) -> list[Check]:
    """Return the checks of a cell for voltages (steps, nodes) and loadings (steps, branches)."""
    cell = feeder.cell
    bus_of = {node: bus for bus in cell.buses for node in node_names(cell, bus.id)}
    buses = [bus_of[node] for node in feeder.node_ids]
    v_max, v_min = np.array([b.v_max_pu for b in buses]), np.array([b.v_min_pu for b in buses])
    loading = np.full(len(feeder.branch_ids), cell.limits.loading_percent_max)
    nodes, branches = feeder.node_ids, feeder.branch_ids
    return [
        Check(ViolationKind.OVER_VOLTAGE, nodes, v_pu, v_max, "pu"),
        Check(ViolationKind.UNDER_VOLTAGE, nodes, v_pu, v_min, "pu"),
        Check(ViolationKind.OVERLOAD, branches, percent, loading, "%"),
    ]


def node_names(cell: Cell, bus: str) -> list[str]:
    """Return what the voltages of a bus are called: "17", or "17.a", "17.b", "17.c"."""
    return [bus] if cell.phases == 1 else [f"{bus}.{phase}" for phase in "abc"]
