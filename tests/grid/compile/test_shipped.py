"""The shipped cells: small, reproducible, and showing what their day is known for."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peercell.broker.cells import LoadedCell, load_cell, shipped_folder, shipped_names
from peercell.grid.cellfile import content_hash
from peercell.grid.check import check_cell
from peercell.grid.compile import compile_network
from peercell.grid.compile.libraries import pandapower, quiet, simbench
from peercell.grid.compile.options import CompileOptions
from peercell.grid.compile.recipes import RECIPES
from peercell.grid.feeder import Feeder, Steps
from peercell.grid.profiles import power_at

ROOT = Path(__file__).parents[3]
SIZE_BYTES_MAX = 3_000_000
NAMES = sorted(RECIPES)


@cache
def loaded(name: str) -> LoadedCell:
    return load_cell(name)


def unread(name: str) -> bytes:
    raise FileNotFoundError(name)


def rows_of(name: str, day: date) -> list[int]:
    start = datetime(day.year, day.month, day.day)
    return [loaded(name).cell.timeline.row(start + timedelta(minutes=15 * n)) for n in range(96)]


def solved(name: str, rows: list[int]) -> tuple[Feeder, Steps]:
    feeder = Feeder(loaded(name).cell)
    steps = feeder.solve_steps(*power_at(loaded(name).cell, loaded(name).profiles, rows))
    assert steps.converged.all()
    return feeder, steps


def test_every_recipe_is_shipped_and_names_its_command() -> None:
    assert shipped_names() == NAMES
    for name in NAMES:
        provenance = loaded(name).cell.provenance
        assert provenance.command == f"peercell grid compile recipe:{name} -o {name}"
        assert "LICENSE-ODbL.md" in provenance.licence


def test_all_cells_together_are_small() -> None:
    files = [path for path in shipped_folder().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= SIZE_BYTES_MAX
    assert (shipped_folder() / "LICENSE-ODbL.md").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_cell_is_consistent_and_has_two_weeks(name: str) -> None:
    cell = loaded(name).cell
    check_cell(cell)
    assert cell.zones.microgrids
    assert cell.timeline.steps >= 2 * 672
    assert all(asset.p_profile for asset in cell.assets)
    assert Feeder(cell).dead == {}


def test_loading_a_cell_imports_nothing_of_pandapower() -> None:
    code = (
        "import sys; from peercell.broker.cells import load_cell; load_cell('mvlv108'); "
        "sys.exit(any(name in sys.modules for name in ('pandapower', 'pandas', 'simbench')))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, timeout=60, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    "name",
    [
        "case33",
        "rural1",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in NAMES
            if name not in ("case33", "rural1")
        ),
    ],
)
def test_the_recipe_makes_the_shipped_cell_again(name: str) -> None:
    made = compile_network(f"recipe:{name}", CompileOptions(), unread)
    assert content_hash(made.cell, made.profiles) == loaded(name).hash
    assert made.cell.provenance == loaded(name).cell.provenance


def test_rural1_on_28_may_is_overloaded_by_pv() -> None:
    """Six of fourteen low-voltage buses above 1.055 pu, the transformer at twice its rating."""
    feeder, steps = solved("rural1", rows_of("rural1", date(2016, 5, 28)))
    magnitude = np.abs(steps.voltage)
    above = magnitude > 1.055
    overloaded = steps.links.loading > 1.0
    highest = int(magnitude.max(1).argmax())
    assert magnitude.max() == pytest.approx(1.0749, abs=5e-5)
    assert highest == 48
    assert above.sum(1).max() == 6
    assert above.any(1).sum() == 21
    assert (above.any(1) | overloaded.any(1)).sum() == 25
    transformer = feeder.branch_ids.index("trafo-0")
    assert 100.0 * steps.links.loading[:, transformer].max() == pytest.approx(204, abs=0.5)
    assert steps.links.losses_kw.sum() / 4.0 == pytest.approx(72.9, abs=0.05)
    assert -steps.source_kva.real.min() == pytest.approx(331.3, abs=0.05)


@pytest.mark.parametrize(
    ("name", "day", "v_pu_max", "violated_steps"),
    [
        ("semiurb4", date(2016, 5, 28), 1.0776, 23),
        ("rural3", date(2016, 7, 23), 1.0716, 22),
        ("mvlv108", date(2016, 5, 17), 1.0846, 24),
        ("mvlv108", date(2016, 7, 25), 1.0827, 96),
        ("cigre-lv3", date(2016, 5, 28), 1.0613, 6),
        ("cigre-lv3", date(2016, 1, 21), 1.0, 12),
    ],
)
def test_each_cell_has_a_day_that_needs_control(
    name: str, day: date, v_pu_max: float, violated_steps: int
) -> None:
    feeder, steps = solved(name, rows_of(name, day))
    bands = {bus.id: (bus.v_min_pu, bus.v_max_pu) for bus in feeder.cell.buses}
    low, high = np.array([bands[bus] for bus in feeder.node_ids]).T
    magnitude = np.abs(steps.voltage)
    violated = ((magnitude < low) | (magnitude > high)).any(1) | (steps.links.loading > 1.0).any(1)
    assert magnitude.max() == pytest.approx(v_pu_max, abs=5e-5)
    assert violated.sum() == violated_steps


def test_case33_keeps_its_electrical_state_with_switches_on_every_line() -> None:
    cell = loaded("case33").cell
    feeder = Feeder(cell)
    state = feeder.solve(*feeder.nominal)
    assert state.links.losses_kw == pytest.approx(202.677, abs=1e-3)
    assert [switch.branch for switch in cell.switches if not switch.closed] == [
        f"line-{index}" for index in range(32, 37)
    ]
    assert len(cell.switches) == len(cell.branches) == 37


def test_batteries_stay_within_their_rating() -> None:
    for name in ("rural1", "semiurb4", "rural3", "mvlv108"):
        cell, profiles = loaded(name).cell, loaded(name).profiles
        batteries = [asset for asset in cell.assets if asset.kind == "battery"]
        assert batteries
        for battery in batteries:
            assert battery.rating_kva is not None
            largest_kw = battery.p_base_kw * np.abs(profiles[battery.p_profile]).max()
            assert 0.0 < largest_kw <= battery.rating_kva
            assert battery.p_kw == 0.0


@pytest.mark.slow
def test_rural1_follows_simbench_in_pandapower_through_the_day() -> None:
    """Profiles applied to SimBench's own tables, every hour of the day that needs control."""
    with quiet():
        net = simbench().get_simbench_net("1-LV-rural1--2-sw")
    rows = rows_of("rural1", date(2016, 5, 28))[::4]
    _, steps = solved("rural1", rows)
    times = [f"28.05.2016 {hour:02}:00" for hour in range(24)]
    for step, theirs in enumerate(_pandapower_voltages(net, times)):
        assert np.abs(steps.voltage[step]) == pytest.approx(theirs, abs=1e-7)


def _pandapower_voltages(net: Any, times: list[str]) -> Iterator[Any]:
    """Yield pandapower's voltage magnitudes with SimBench's profiles at some times."""
    tables = {name: getattr(net, name).copy() for name in ("load", "sgen", "storage")}
    for time in times:
        profiles = {name: table.set_index("time").loc[time] for name, table in net.profiles.items()}
        for name, column, source, tail in (
            ("load", "p_mw", "load", "_pload"),
            ("load", "q_mvar", "load", "_qload"),
            ("sgen", "p_mw", "renewables", ""),
            ("storage", "p_mw", "storage", ""),
        ):
            factors = profiles[source].loc[tables[name]["profile"] + tail].to_numpy(float)
            net[name][column] = tables[name][column].to_numpy() * factors
        with quiet():
            pandapower().runpp(net, calculate_voltage_angles=True, numba=False)
        yield net.res_bus["vm_pu"].to_numpy()
