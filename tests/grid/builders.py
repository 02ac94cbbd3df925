"""Small cells for tests: the 33-bus feeder of the literature, chains, and random networks."""

import csv
import math
from collections.abc import Iterable, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from msgspec import structs

from peercell.grid.admittance import Real
from peercell.grid.feeder import Feeder
from peercell.grid.model import (
    Asset,
    AssetKind,
    Branch,
    BranchKind,
    Bus,
    Cell,
    Customer,
    Phase,
    Provenance,
    Source,
    Switch,
    Tap,
    Transformer,
)

REFERENCE = Path(__file__).parent.parent / "reference"
_TURNS = (Phase.A, Phase.B, Phase.C, Phase.ABC)
NOWHERE = Provenance(source="a test", licence="Apache-2.0")


def make_cell(
    buses: Iterable[Bus],
    branches: Iterable[Branch],
    *,
    sources: Iterable[Source],
    customers: Iterable[Customer] = (),
    transformers: Iterable[Transformer] = (),
    switches: Iterable[Switch] = (),
    phases: int = 1,
) -> Cell:
    """Return a cell without provenance or zones."""
    return Cell(
        schema=1,
        name="test",
        title="Test",
        phases=phases,
        buses=tuple(buses),
        branches=tuple(branches),
        transformers=tuple(transformers),
        switches=tuple(switches),
        sources=tuple(sources),
        customers=tuple(customers),
        provenance=NOWHERE,
    )


def load(bus: str, p_kw: float, q_kvar: float = 0.0, phase: Phase = Phase.ABC) -> Customer:
    """Return a customer "c-BUS" with one asset "a-BUS" of that injection (negative: a load)."""
    asset = Asset(id=f"a-{bus}", kind=AssetKind.LOAD, p_kw=p_kw, q_kvar=q_kvar, phase=phase)
    return Customer(id=f"c-{bus}", bus=bus, assets=(asset,))


def chain(length: int, p_kw: float = -5.0, *, r_ohm: float = 0.05, x_ohm: float = 0.02) -> Cell:
    """Return buses 0 … length - 1 in a row at 0.4 kV, fed at 0, a load on every other bus."""
    return make_cell(
        [Bus(id=str(n), kv=0.4) for n in range(length)],
        [
            Branch(id=f"line-{n}", from_bus=str(n - 1), to_bus=str(n), r_ohm=r_ohm, x_ohm=x_ohm)
            for n in range(1, length)
        ],
        sources=[Source(id="grid", bus="0")],
        customers=[load(str(n), p_kw, p_kw / 4.0) for n in range(1, length)],
    )


def case33() -> Cell:
    """Return the 33-bus feeder of Baran and Wu (1989) from its published table, ties open."""
    with (REFERENCE / "case33bw" / "branches.csv").open() as file:
        rows = list(csv.DictReader(file))
    branches = [
        Branch(
            id=f"line-{row['line']}",
            from_bus=row["from_bus"],
            to_bus=row["to_bus"],
            r_ohm=float(row["r_ohm"]),
            x_ohm=float(row["x_ohm"]),
        )
        for row in rows
    ]
    ties = [row for row in rows if row["tie"] == "1"]
    return make_cell(
        [Bus(id=str(n), kv=12.66) for n in range(33)],
        branches,
        sources=[Source(id="grid", bus="0")],
        switches=[
            Switch(
                id=f"switch-{branch.id}",
                bus=branch.from_bus,
                branch=branch.id,
                closed=row not in ties,
            )
            for branch, row in zip(branches, rows, strict=True)
        ],
        customers=[
            load(row["to_bus"], -float(row["load_kw"]), -float(row["load_kvar"]))
            for row in rows
            if row["load_kw"]
        ],
    )


def three_phase(cell: Cell) -> Cell:
    """Return a cell of lines with three phases and its customers on a, b, c and all in turn.

    The zero sequence is four times the positive.
    """
    branches = tuple(
        structs.replace(branch, r0_ohm=4.0 * branch.r_ohm, x0_ohm=4.0 * branch.x_ohm)
        for branch in cell.branches
    )
    customers = tuple(
        structs.replace(
            customer, assets=tuple(structs.replace(asset, phase=phase) for asset in customer.assets)
        )
        for customer, phase in zip(cell.customers, cycle(_TURNS), strict=False)
    )
    return structs.replace(cell, phases=3, branches=branches, customers=customers)


def scaled(cell: Cell, factor: float) -> tuple[Real, Real]:
    """Return the nominal P and Q of every asset times a factor."""
    assets = cell.assets
    p_kw = np.array([asset.p_kw for asset in assets])
    q_kvar = np.array([asset.q_kvar for asset in assets])
    return p_kw * factor, q_kvar * factor


def injected_kva(feeder: Feeder, p_kw: Real, q_kvar: Real) -> complex:
    """Return the sum of all constant powers at buses that have voltage."""
    live = [
        customer.bus not in feeder.dead
        for customer in feeder.cell.customers
        for _ in customer.assets
    ]
    return complex((p_kw[live] + 1j * q_kvar[live]).sum())


_PHASES = st.sampled_from([Phase.ABC, Phase.A, Phase.B, Phase.C])
_SHARE = st.floats(0.0, 0.5, allow_subnormal=False)


@st.composite
def random_cells(
    draw: st.DrawFn, *, phases: int = 1, zip_loads: bool = False, most_buses: int = 12
) -> Cell:
    """Draw a low-voltage network behind a transformer, radial or meshed, with mixed injections."""
    size = draw(st.integers(3, most_buses))
    parents = [draw(st.integers(0, n - 1)) for n in range(1, size)]
    ends = [(parent, n) for n, parent in enumerate(parents, start=1)]
    pairs = st.tuples(st.integers(0, size - 1), st.integers(0, size - 1))
    ends += [(a, b) for a, b in draw(st.lists(pairs, max_size=3)) if a != b]
    return make_cell(
        [Bus(id="mv", kv=20.0), *(Bus(id=str(n), kv=0.4) for n in range(size))],
        [_branch(draw, n, first, second) for n, (first, second) in enumerate(ends)],
        transformers=[_transformer(draw, phases)],
        sources=[Source(id="grid", bus="mv", v_pu=draw(st.floats(0.97, 1.05)))],
        customers=[
            Customer(id=f"c-{n}", bus=str(n), assets=_assets(draw, n, phases, zip_loads))
            for n in range(size)
        ],
        phases=phases,
    )


def _branch(draw: st.DrawFn, number: int, first: int, second: int) -> Branch:
    r_ohm, x_ohm = draw(st.floats(0.004, 0.03)), draw(st.floats(0.002, 0.02))
    return Branch(
        id=f"line-{number}",
        from_bus=str(first),
        to_bus=str(second),
        kind=BranchKind.LINE,
        r_ohm=r_ohm,
        x_ohm=x_ohm,
        b_siemens=draw(st.sampled_from([0.0, 2e-6, 1e-4])),
        r0_ohm=3.0 * r_ohm,
        x0_ohm=4.0 * x_ohm,
        rating_a=draw(st.floats(50.0, 300.0)),
    )


def _transformer(draw: st.DrawFn, phases: int) -> Transformer:
    r_ohm, x_ohm = draw(st.floats(0.002, 0.006)), draw(st.floats(0.008, 0.02))
    shift = 30.0 if phases == 3 else draw(st.sampled_from([0.0, 150.0, -30.0]))
    ratio = 1.0 if phases == 3 else draw(st.sampled_from([0.95, 1.0, 1.025]))
    tap = Tap(position=0, ratio=ratio, shift_deg=shift, r_ohm=r_ohm, x_ohm=x_ohm)
    return Transformer(
        id="t",
        hv_bus="mv",
        lv_bus="0",
        rated_hv_kv=20.0,
        rated_lv_kv=0.4,
        rating_kva=250.0,
        taps=(tap,),
        r0_ohm=r_ohm,
        x0_ohm=x_ohm,
    )


def _assets(draw: st.DrawFn, bus: int, phases: int, zip_loads: bool) -> tuple[Asset, ...]:
    most = 3.0 / phases
    count = draw(st.integers(0, 2))
    return tuple(
        Asset(
            id=f"a-{bus}-{n}",
            kind=AssetKind.LOAD,
            p_kw=draw(st.floats(-most, most, allow_subnormal=False)),
            q_kvar=draw(st.floats(-most, most, allow_subnormal=False)),
            phase=draw(_PHASES) if phases == 3 else Phase.ABC,
            z_p=draw(_SHARE) if zip_loads else 0.0,
            i_p=draw(_SHARE) if zip_loads else 0.0,
            z_q=draw(_SHARE) if zip_loads else 0.0,
            i_q=draw(_SHARE) if zip_loads else 0.0,
        )
        for n in range(count)
    )


def largest_factor_of_two_buses(z_ohm: complex, kv: float, s_kva: complex) -> float:
    """Return how many times a load can be served over one line: the nose in closed form.

    |S| at the nose is V² / (2 |Z| (1 + cos(angle of Z - angle of S))).
    """
    angle = math.atan2(z_ohm.imag, z_ohm.real) - math.atan2(s_kva.imag, s_kva.real)
    most_kva = kv**2 * 1000.0 / (2.0 * abs(z_ohm) * (1.0 + math.cos(angle)))
    return most_kva / abs(s_kva)


def reordered(cell: Cell, order: Sequence[int]) -> Cell:
    """Return the same cell with its buses listed in another order."""
    buses = tuple(cell.buses[position] for position in order)
    return make_cell(
        buses,
        reversed(cell.branches),
        sources=cell.sources,
        customers=cell.customers,
        transformers=cell.transformers,
        switches=cell.switches,
        phases=cell.phases,
    )
