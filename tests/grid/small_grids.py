"""Networks of a few buses whose division into microgrids is plain to see."""

from collections.abc import Sequence

import msgspec
from tests.grid.builders import load, make_cell

from peercell.grid.model import (
    Branch,
    BranchKind,
    Bus,
    Cell,
    Customer,
    Source,
    Switch,
    Tap,
    Transformer,
    Zones,
)


def lines(*ends: str, kind: BranchKind = BranchKind.LINE) -> list[Branch]:
    """Return a branch "a-b" for each "a b"."""
    return [
        Branch(id="-".join(pair), from_bus=pair[0], to_bus=pair[1], r_ohm=0.1, x_ohm=0.1, kind=kind)
        for pair in map(str.split, ends)
    ]


def transformer(name: str, hv_bus: str, lv_bus: str) -> Transformer:
    """Return a transformer of one tap."""
    tap = Tap(position=0, ratio=1.0, shift_deg=0.0, r_ohm=0.01, x_ohm=0.04)
    return Transformer(
        id=name, hv_bus=hv_bus, lv_bus=lv_bus, taps=(tap,), rated_hv_kv=20.0, rated_lv_kv=0.4
    )


def buses(kv: float, names: str) -> list[Bus]:
    """Return a bus for each name."""
    return [Bus(id=name, kv=kv) for name in names.split()]


def loads(names: str) -> list[Customer]:
    """Return a customer of 1 kW at each bus."""
    return [load(name, -1.0) for name in names.split()]


def two_levels(customers: str = "m2 m4 u1 u2 w1") -> Cell:
    """Return a substation with a double busbar, two feeders, and a low-voltage zone under each.

    h ─t0─ m0 ═ m1   m0 ─ m2 ─ m3 ─t1─ u0 ─ u1, u2      m1 ─ m4 ─t2─ w0 ─ w1
                              m3 ─/─ m4 (open), u2 ─/─ w1 (open at its switch)
    """
    return make_cell(
        [
            *buses(110.0, "h"),
            *buses(20.0, "m0 m1 m2 m3 m4"),
            *buses(0.4, "u0 u1 u2 w0 w1"),
        ],
        [
            *lines("m0 m2", "m2 m3", "m1 m4", "u0 u1", "u0 u2", "w0 w1", "u2 w1"),
            msgspec.structs.replace(lines("m3 m4")[0], in_service=False),
        ],
        transformers=[
            transformer("t0", "h", "m0"),
            transformer("t1", "m3", "u0"),
            transformer("t2", "m4", "w0"),
        ],
        switches=[
            Switch(id="coupler", bus="m0", other_bus="m1"),
            Switch(id="gap", bus="w1", branch="u2-w1", closed=False),
        ],
        sources=[Source(id="grid", bus="h")],
        customers=loads(customers),
    )


def star(feeders: Sequence[int]) -> Cell:
    """Return a low-voltage busbar "0" behind a transformer with feeders of so many customers."""
    names = [[f"{n}.{k}" for k in range(1, size + 1)] for n, size in enumerate(feeders, 1)]
    return make_cell(
        [*buses(20.0, "h"), *buses(0.4, " ".join(["0", *(bus for row in names for bus in row)]))],
        lines(*(f"{a} {b}" for row in names for a, b in zip(["0", *row], row, strict=False))),
        transformers=[transformer("t", "h", "0")],
        sources=[Source(id="grid", bus="h")],
        customers=loads(" ".join(bus for row in names for bus in row)),
    )


def sets(zones: Zones) -> dict[str, set[str]]:
    """Return the buses of each microgrid."""
    return {microgrid.id: set(microgrid.buses) for microgrid in zones.microgrids}


def couplings(zones: Zones) -> set[tuple[str, str, str | None]]:
    """Return branch, lower and upper microgrid of each coupling point."""
    return {(point.branch, point.lower, point.upper) for point in zones.coupling_points}
