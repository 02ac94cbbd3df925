"""A cell bound to the engine: order, names, divided grids, and what a fresh process carries."""

import cmath
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.grid.builders import case33, chain, load, random_cells, reordered, scaled, three_phase
from tests.oracles.fused import largest_difference_pu
from tests.oracles.pgm import PowerGridModelOracle

from peercell.broker.cells import load_cell, shipped_names
from peercell.grid.errors import UnknownElementError
from peercell.grid.feeder import Feeder
from peercell.grid.model import Asset, AssetKind, Cell, Customer, Source
from peercell.grid.topology import Switching

ROOT = Path(__file__).parent.parent.parent
EXCHANGE = "exchange"


@settings(max_examples=40)
@given(cell=random_cells(), values=st.data())
def test_the_order_of_buses_changes_nothing(cell: Cell, values: st.DataObject) -> None:
    order = values.draw(st.permutations(range(len(cell.buses))))
    first, second = Feeder(cell), Feeder(reordered(cell, order))
    before, after = first.solve(*first.nominal), second.solve(*first.nominal)
    again = dict(zip(second.node_ids, after.voltage, strict=True))
    assert before.voltage == pytest.approx(
        np.array([again[node] for node in first.node_ids]), abs=1e-12
    )
    loading = dict(zip(second.branch_ids, after.links.loading, strict=True))
    assert before.links.loading == pytest.approx(
        np.array([loading[branch] for branch in first.branch_ids]), abs=1e-9
    )
    assert before.source_kva == pytest.approx(after.source_kva, abs=1e-8)


def divide(cell: Cell, transformer: str) -> tuple[Cell, Cell]:
    """Return what lies above a transformer, and the transformer with what lies below.

    The upper part has one more asset, the last one: the exchange at the transformer's upper bus.
    The lower part has its only source there.
    """
    below = set(Feeder(cell, Switching(outages=frozenset({transformer}))).dead)
    (cut,) = [each for each in cell.transformers if each.id == transformer]
    exchange = Asset(id=EXCHANGE, kind=AssetKind.LOAD, p_kw=0.0)
    upper = structs.replace(
        cell,
        buses=tuple(bus for bus in cell.buses if bus.id not in below),
        branches=tuple(line for line in cell.branches if line.from_bus not in below),
        transformers=tuple(each for each in cell.transformers if each is not cut),
        switches=tuple(
            switch
            for switch in cell.switches
            if switch.bus not in below and switch.branch != transformer
        ),
        customers=(
            *(customer for customer in cell.customers if customer.bus not in below),
            Customer(id=EXCHANGE, bus=cut.hv_bus, assets=(exchange,)),
        ),
    )
    lower = structs.replace(
        cell,
        buses=tuple(bus for bus in cell.buses if bus.id in {*below, cut.hv_bus}),
        branches=tuple(line for line in cell.branches if line.from_bus in below),
        transformers=(cut,),
        switches=tuple(switch for switch in cell.switches if switch.bus in below),
        sources=(Source(id="above", bus=cut.hv_bus),),
        customers=tuple(customer for customer in cell.customers if customer.bus in below),
    )
    return upper, lower


def test_two_parts_that_exchange_voltage_and_power_are_the_whole() -> None:
    cell = load_cell("mvlv108").cell
    (cut,) = [each for each in cell.transformers if each.rated_lv_kv < 1.0]
    upper, lower = divide(cell, cut.id)
    whole = Feeder(cell)
    truth = dict(zip(whole.node_ids, whole.solve(*whole.nominal).voltage, strict=True))
    above = Feeder(upper)
    place = above.node_ids.index(cut.hv_bus)
    p_kw, q_kvar = above.nominal
    errors = []
    for _ in range(6):
        state = above.solve(p_kw, q_kvar)
        held = complex(state.voltage[place])
        angle = math.degrees(cmath.phase(held))
        source = structs.replace(lower.sources[0], v_pu=abs(held), angle_deg=angle)
        below = Feeder(structs.replace(lower, sources=(source,)))
        answer = below.solve(*below.nominal)
        p_kw[-1], q_kvar[-1] = -answer.source_kva.real, -answer.source_kva.imag
        both = [*zip(above.node_ids, state.voltage, strict=True)]
        both += zip(below.node_ids, answer.voltage, strict=True)
        errors.append(max(abs(voltage - truth[node]) for node, voltage in both))
    assert errors[0] > 1e-5
    assert errors[2] < 1e-5
    assert errors[-1] < 1e-8


@given(cell=random_cells())
def test_names_stand_in_the_order_of_the_cell(cell: Cell) -> None:
    feeder = Feeder(cell)
    assert feeder.node_ids == tuple(bus.id for bus in cell.buses)
    elements = [branch.id for branch in cell.branches] + [each.id for each in cell.transformers]
    assert sorted(feeder.branch_ids) == sorted(elements)
    assert feeder.nominal[0].tolist() == [asset.p_kw for asset in cell.assets]
    voltage = feeder.solve(*feeder.nominal).voltage
    assert voltage[feeder.node_positions("mv")[0]] == pytest.approx(cell.sources[0].v_pu)


def test_phases_of_a_bus_are_found_together_and_alone() -> None:
    feeder = Feeder(three_phase(chain(3)))
    assert feeder.node_ids[:4] == ("0.a", "0.b", "0.c", "1.a")
    assert feeder.node_positions("1") == [3, 4, 5]
    assert feeder.node_positions("1.b") == [4]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("40", 'there is no bus "40"'),
        ("1.a", 'there is no bus "1.a"'),
        ("32", 'bus "32" has no voltage; why: no source: cut off by open switch-line-31'),
    ],
)
def test_a_bus_without_voltage_is_refused_by_name(name: str, message: str) -> None:
    feeder = Feeder(case33(), Switching(closed={"switch-line-31": False}))
    with pytest.raises(UnknownElementError) as caught:
        feeder.node_positions(name)
    assert str(caught.value).startswith(message)


def test_loads_at_the_bus_of_a_source_are_fed_at_its_voltage() -> None:
    shares = {"z_p": 0.3, "i_p": 0.2, "z_q": 0.5, "i_q": 0.1}
    at_source = load("0", -8.0, -4.0)
    at_source = structs.replace(at_source, assets=(structs.replace(at_source.assets[0], **shares),))
    source = Source(id="grid", bus="0", v_pu=1.05)
    cell = structs.replace(chain(3), sources=(source,), customers=(*chain(3).customers, at_source))
    feeder = Feeder(cell)
    bare = Feeder(structs.replace(cell, customers=chain(3).customers))
    without = bare.solve(*bare.nominal)
    state = feeder.solve(*feeder.nominal)
    drawn = state.source_kva - without.source_kva
    v_pu = 1.05
    assert drawn.real == pytest.approx(8.0 * (0.5 + 0.2 * v_pu + 0.3 * v_pu**2), abs=1e-6)
    assert drawn.imag == pytest.approx(4.0 * (0.4 + 0.1 * v_pu + 0.5 * v_pu**2), abs=1e-6)
    steps = feeder.solve_steps(*(power[None] for power in feeder.nominal))
    assert steps.source_kva[0] == pytest.approx(state.source_kva, abs=1e-6)


def test_power_at_dead_buses_counts_nowhere() -> None:
    cell = case33()
    feeder = Feeder(cell, Switching(closed={"switch-line-24": False}))
    p_kw, q_kvar = feeder.nominal
    gone = np.array([customer.bus in feeder.dead for customer in cell.customers])
    assert gone.sum() == 8
    state = feeder.solve(p_kw, q_kvar)
    emptied = feeder.solve(np.where(gone, 0.0, p_kw), np.where(gone, 0.0, q_kvar))
    assert state.voltage.tobytes() == emptied.voltage.tobytes()
    assert state.source_kva == emptied.source_kva


def test_two_sources_share_a_meshed_network() -> None:
    cell = chain(5)
    soft = Source(id="far", bus="4", v_pu=1.01, r_ohm=0.02, x_ohm=0.04)
    cell = structs.replace(cell, sources=(*cell.sources, soft))
    feeder = Feeder(cell)
    state = feeder.solve(*feeder.nominal)
    theirs = PowerGridModelOracle(cell).solve(*feeder.nominal)
    assert largest_difference_pu(state, feeder.node_ids, theirs) <= 1e-8
    assert state.source_kva.real == pytest.approx(20.0 + state.links.losses_kw, abs=1e-6)


def test_a_longer_batch_than_one_part_keeps_its_order() -> None:
    feeder = Feeder(case33())
    factors = np.linspace(0.0, 1.5, 600)
    p_kw, q_kvar = feeder.nominal
    steps = feeder.solve_steps(factors[:, None] * p_kw, factors[:, None] * q_kvar)
    assert steps.converged.all()
    assert (np.diff(steps.links.losses_kw) > 0.0).all()
    for row in (0, 255, 256, 511, 512, 599):
        state = feeder.solve(*scaled(feeder.cell, float(factors[row])))
        assert steps.voltage[row] == pytest.approx(state.voltage, abs=1e-9)
        assert steps.links.from_kva[row] == pytest.approx(state.links.from_kva, abs=1e-4)


# Loads a cell in a process of its own and tells what that took: memory and modules.
_FRESH = """
import hashlib, json, sys
from peercell.broker.cells import load_cell
from peercell.grid.feeder import Feeder

def peak_mib():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024

loaded = load_cell(sys.argv[1])
modules = set(sys.modules)
peak = peak_mib()
feeder = Feeder(loaded.cell)
voltage = feeder.solve(*feeder.nominal).voltage
bits = hashlib.sha256(voltage.tobytes()).hexdigest()
print(json.dumps([peak, sorted(modules), sorted(sys.modules), bits]))
"""


def fresh(name: str, hash_seed: str) -> tuple[float, set[str], set[str], str]:
    """Return peak MiB and modules after loading, modules after a solution, and its bits."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": hash_seed}
    answer = subprocess.check_output([sys.executable, "-c", _FRESH, name], env=environment)
    peak, loaded, solved, bits = json.loads(answer)
    return peak, set(loaded), set(solved), bits


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_cell_is_light_to_load(name: str) -> None:
    peak_mib, loaded, solved, _ = fresh(name, "0")
    assert peak_mib < 60.0
    heavy = {"pandapower", "pandas", "simbench", "matplotlib", "numba"}
    assert not (heavy | {"scipy"}) & loaded
    assert not heavy & solved
    # Above 200 nodes the factorisation is SciPy's.
    assert ("scipy" in solved) == (load_cell(name).cell.phases == 3)


def test_a_state_has_the_same_bits_in_every_process() -> None:
    assert fresh("rural1", "1")[3] == fresh("rural1", "2")[3]
