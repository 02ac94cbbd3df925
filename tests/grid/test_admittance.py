"""From ohms and taps to admittances: values by hand, three phases against one, refused cells."""

import cmath
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.grid.builders import chain, load, make_cell, random_cells, scaled, three_phase
from tests.oracles.fused import largest_difference_pu
from tests.oracles.pgm import PowerGridModelOracle

from peercell.grid.admittance import Network, network
from peercell.grid.errors import CellError
from peercell.grid.feeder import Feeder
from peercell.grid.model import (
    Branch,
    Bus,
    Cell,
    Phase,
    Source,
    Tap,
    Transformer,
    WindingGroup,
)
from peercell.grid.topology import Switching, topology

_A = cmath.exp(2j * cmath.pi / 3)


def build(cell: Cell, switching: Switching | None = None) -> Network:
    """Return the network of a cell."""
    switching = switching or Switching()
    return network(cell, topology(cell, switching), switching)


def transformer_cell(**changes: object) -> Cell:
    """Return 20 kV -transformer- 0.4 kV with three taps, some of its fields changed."""
    taps = tuple(
        Tap(
            position=position,
            ratio=1.0 + 0.025 * position,
            shift_deg=150.0,
            r_ohm=0.004,
            x_ohm=0.016,
            g_siemens=0.002,
            b_siemens=-0.006,
        )
        for position in (-1, 0, 1)
    )
    transformer = Transformer(
        id="t", hv_bus="mv", lv_bus="lv", taps=taps, rated_hv_kv=20.0, rated_lv_kv=0.4
    )
    return make_cell(
        [Bus(id="mv", kv=20.0), Bus(id="lv", kv=0.4)],
        [],
        transformers=[structs.replace(transformer, **changes)],
        sources=[Source(id="grid", bus="mv")],
        customers=[load("lv", -50.0, -10.0)],
    )


def test_a_line_is_a_pi_section_in_per_unit_of_its_bus_and_one_megavolt_ampere() -> None:
    line = Branch(
        id="l", from_bus="0", to_bus="1", r_ohm=0.3, x_ohm=0.4, g_siemens=2e-3, b_siemens=6e-3
    )
    cell = structs.replace(chain(2), branches=(line,))
    base_siemens = 1.0 / 0.16
    series, half = 1.0 / (0.3 + 0.4j) / base_siemens, (1e-3 + 3e-3j) / base_siemens
    assert build(cell).blocks[:, :, 0] == pytest.approx(
        np.array([[series + half, -series], [-series, series + half]])
    )


@pytest.mark.parametrize("position", [-1, 0, 1])
def test_a_transformer_turns_and_scales_at_its_high_voltage_side(position: int) -> None:
    block = build(transformer_cell(), Switching(taps={"t": position})).blocks[:, :, 0]
    series, half = 0.16 / (0.004 + 0.016j), 0.16 * (0.001 - 0.003j)
    ratio = cmath.rect(1.0 + 0.025 * position, math.radians(150.0))
    assert block[0, 0] == pytest.approx((series + half) / abs(ratio) ** 2)
    assert block[0, 1] == pytest.approx(-series / ratio.conjugate())
    assert block[1, 0] == pytest.approx(-series / ratio)
    assert block[1, 1] == pytest.approx(series + half)


@pytest.mark.parametrize("position", [-1, 0, 1])
def test_taps_agree_with_power_grid_model(position: int) -> None:
    cell = transformer_cell(tap=position, rating_kva=100.0)
    feeder = Feeder(cell)
    state = feeder.solve(*feeder.nominal)
    theirs = PowerGridModelOracle(cell).solve(*feeder.nominal)
    assert largest_difference_pu(state, feeder.node_ids, theirs) <= 1e-9
    by_switching = Feeder(transformer_cell(rating_kva=100.0), Switching(taps={"t": position}))
    assert by_switching.solve(*feeder.nominal).voltage.tobytes() == state.voltage.tobytes()
    # The low-voltage side lags by the shift.
    angle = cmath.phase(state.voltage[1] / state.voltage[0])
    assert math.degrees(angle) == pytest.approx(-150.0, abs=5.0)


def test_a_rating_limits_the_current_at_either_voltage() -> None:
    cell = transformer_cell(rating_kva=100.0)
    feeder = Feeder(cell)
    state = feeder.solve(*feeder.nominal)
    currents = PowerGridModelOracle(cell).solve(*feeder.nominal).current_a["t"]
    limits = 100.0 / (math.sqrt(3) * 20.0), 100.0 / (math.sqrt(3) * 0.4)
    shares = [amp / limit for amp, limit in zip(currents, limits, strict=True)]
    assert state.links.loading[0] == pytest.approx(max(shares), rel=1e-6)


@pytest.mark.parametrize("phases", [1, 3])
@settings(max_examples=40)
@given(values=st.data())
def test_loadings_are_the_largest_current_by_its_limit(phases: int, values: st.DataObject) -> None:
    cell = values.draw(random_cells(phases=phases))
    feeder = Feeder(cell)
    loading = dict(zip(feeder.branch_ids, feeder.solve(*feeder.nominal).links.loading, strict=True))
    currents = PowerGridModelOracle(cell).solve(*feeder.nominal).current_a
    for branch in cell.branches:
        expected = max(currents[branch.id]) / (branch.rating_a or math.inf)
        assert loading[branch.id] == pytest.approx(expected, abs=1e-6)


def test_what_has_no_rating_has_no_loading() -> None:
    feeder = Feeder(chain(3))
    assert feeder.unrated.tolist() == [True, True]
    assert feeder.solve(*feeder.nominal).links.loading.tolist() == [0.0, 0.0]


@settings(max_examples=40)
@given(cell=random_cells())
def test_three_phases_with_balanced_power_are_one(cell: Cell) -> None:
    one = Feeder(cell)
    three = Feeder(structs.replace(cell, phases=3))
    balanced = one.solve(*one.nominal)
    phases = three.solve(*one.nominal)
    for phase in range(3):
        turned = phases.voltage[phase::3] * _A**phase
        assert np.abs(turned - balanced.voltage).max() <= 2e-9
    assert phases.source_kva == pytest.approx(balanced.source_kva, abs=1e-5)
    assert phases.links.losses_kw == pytest.approx(balanced.links.losses_kw, abs=1e-6)
    assert phases.links.loading == pytest.approx(balanced.links.loading, abs=1e-7)


@pytest.mark.parametrize("phase", [Phase.A, Phase.B, Phase.C])
def test_a_phase_answers_alone_where_phases_are_not_coupled(phase: Phase) -> None:
    # With equal sequences, phases are three separate circuits of a third of the power base.
    cell = three_phase(chain(3, r_ohm=0.01))
    branches = tuple(
        structs.replace(branch, r0_ohm=branch.r_ohm, x0_ohm=branch.x_ohm)
        for branch in cell.branches
    )
    cell = structs.replace(cell, branches=branches, customers=(load("2", -2.0, -0.5, phase),))
    alone = Feeder(structs.replace(chain(3, r_ohm=0.01), customers=(load("2", -6.0, -1.5),)))
    voltage = Feeder(cell).solve(np.array([-2.0]), np.array([-0.5])).voltage.reshape(3, 3)
    place = "abc".index(phase)
    assert voltage[:, place] * _A**place == pytest.approx(
        alone.solve(*alone.nominal).voltage, abs=1e-9
    )
    others = [other for other in range(3) if other != place]
    assert np.abs(voltage[:, others]) == pytest.approx(np.ones((3, 2)), abs=1e-12)


@pytest.mark.parametrize("group", list(WindingGroup))
def test_only_a_star_without_delta_lets_zero_sequence_through(group: WindingGroup) -> None:
    zero = Tap(position=0, ratio=1.0, shift_deg=0.0, r_ohm=0.004, x_ohm=0.016)
    changes = {"group": group, "r0_ohm": 0.004, "x0_ohm": 0.016, "taps": (zero,)}
    block = build(structs.replace(transformer_cell(**changes), phases=3)).blocks[:, :, 0]
    same_current_in_all = block @ np.array([1, 1, 1, 0, 0, 0])
    expected = 0.16 / (0.004 + 0.016j) if group is WindingGroup.YNYN else 0.0
    assert same_current_in_all[:3] == pytest.approx(np.full(3, expected), abs=1e-9)
    assert same_current_in_all[3:] == pytest.approx(np.full(3, -expected), abs=1e-9)


@pytest.mark.parametrize("phases", [1, 3])
@settings(max_examples=30)
@given(values=st.data())
def test_unbalance_passes_a_transformer_to_a_soft_source(
    phases: int, values: st.DataObject
) -> None:
    cell = values.draw(random_cells(phases=phases))
    soft = structs.replace(cell.sources[0], r_ohm=4.0, x_ohm=12.0, r0_ohm=8.0, x0_ohm=24.0)
    cell = structs.replace(cell, sources=(soft,))
    feeder = Feeder(cell)
    state = feeder.solve(*feeder.nominal)
    theirs = PowerGridModelOracle(cell).solve(*feeder.nominal)
    assert largest_difference_pu(state, feeder.node_ids, theirs) <= 2e-9


@pytest.mark.parametrize("phases", [1, 3])
def test_a_source_behind_an_impedance_is_a_stiff_one_behind_a_line(phases: int) -> None:
    soft = Source(
        id="grid",
        bus="0",
        v_pu=1.03,
        angle_deg=10.0,
        r_ohm=0.02,
        x_ohm=0.05,
        r0_ohm=0.06,
        x0_ohm=0.2,
    )
    plain = chain(4) if phases == 1 else three_phase(chain(4))
    ours = structs.replace(plain, sources=(soft,))
    line = Branch(
        id="inner", from_bus="in", to_bus="0", r_ohm=0.02, x_ohm=0.05, r0_ohm=0.06, x0_ohm=0.2
    )
    theirs = structs.replace(
        plain,
        buses=(*plain.buses, Bus(id="in", kv=0.4)),
        branches=(*plain.branches, line),
        sources=(Source(id="grid", bus="in", v_pu=1.03, angle_deg=10.0),),
    )
    first, second = Feeder(ours), Feeder(theirs)
    inside, outside = first.solve(*first.nominal), second.solve(*first.nominal)
    assert inside.voltage == pytest.approx(outside.voltage[: -1 * phases], abs=1e-12)
    # What the impedance of the source eats is not the cell's: power is counted at the bus.
    row = second.branch_ids.index("inner")
    assert inside.source_kva == pytest.approx(-outside.links.to_kva[row], abs=1e-9)
    assert inside.links.losses_kw == pytest.approx(
        outside.links.losses_kw - (outside.links.from_kva + outside.links.to_kva)[row].real,
        abs=1e-9,
    )
    assert first.branch_ids == second.branch_ids[:-1]
    assert inside.links.loading.shape == (3,)


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        (chain(3, r_ohm=0.0, x_ohm=0.0), '"line-1" has no impedance'),
        (structs.replace(chain(3), phases=3), '"line-1" has no zero-sequence impedance'),
        (
            structs.replace(transformer_cell(), phases=3),
            '"t" has no zero-sequence impedance',
        ),
        (
            structs.replace(
                chain(3), sources=(Source(id="a", bus="0"), Source(id="b", bus="0", v_pu=1.01))
            ),
            'sources "a" and "b" hold one bus at two voltages',
        ),
    ],
)
def test_a_cell_that_makes_no_network_is_refused(cell: Cell, what: str) -> None:
    with pytest.raises(CellError, match=what):
        build(cell)


def test_two_equal_stiff_sources_at_one_bus_are_one() -> None:
    twice = (Source(id="a", bus="0"), Source(id="b", bus="0"))
    cell = chain(3)
    state = Feeder(structs.replace(cell, sources=twice)).solve(*scaled(cell, 1.0))
    once = Feeder(cell).solve(*scaled(cell, 1.0))
    assert state.voltage.tobytes() == once.voltage.tobytes()
    assert state.source_kva == once.source_kva


def test_a_bus_that_floats_in_the_zero_sequence_is_refused() -> None:
    # Fed at its star side, the delta side has no path to earth; rounding hides that from LAPACK.
    taps = (Tap(position=0, ratio=1.0, shift_deg=0.0, r_ohm=0.004, x_ohm=0.016),)
    cell = transformer_cell(taps=taps, r0_ohm=0.004, x0_ohm=0.016)
    swapped = structs.replace(cell, phases=3, sources=(Source(id="grid", bus="lv"),))
    with pytest.raises(CellError, match="admittance matrix is singular"):
        Feeder(swapped)
