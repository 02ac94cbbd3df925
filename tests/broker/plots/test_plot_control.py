"""Pictures of control: what they show, in every format, equal bytes for equal answers."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from peercell.agents.errors import MissingExtraError
from peercell.broker.plots.control import (
    DayCurves,
    TicksTaken,
    draw_energy,
    draw_profile,
    draw_ticks,
)
from peercell.broker.solving.control_cases import load_control_case
from peercell.grid.controlled_feeder import ControlledFeeder
from peercell.grid.local_control import droop_alone, standard_droop

CASE = Path(__file__).parents[2] / "reference" / "control" / "rural1-ov.json"
DAY = DayCurves("rural1", [0.0, 12.0], {"peers": [0.0, 2.0], "droop": [0.0, 5.0]})
TAKEN = [TicksTaken("no loss", {"rural1": 30}, 100), TicksTaken("loss", {"rural1": 40}, 100)]


@pytest.fixture(scope="module")
def feeder() -> ControlledFeeder:
    """Return the network of a reference case."""
    return ControlledFeeder(load_control_case(CASE))


def words(svg: Path) -> list[str]:
    """Return what an SVG says in letters, which stand in it as comments."""
    return re.findall(r"<!-- (.*?) -->", svg.read_text())


def test_a_profile_shows_every_bus_before_and_after(
    feeder: ControlledFeeder, tmp_path: Path
) -> None:
    after = droop_alone(feeder, standard_droop(1.05))
    for name in ("a.svg", "b.svg"):
        draw_profile(feeder, feeder.uncontrolled, after, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert {"before", "after", "limit 1.05", "limit 0.95"} <= set(words(tmp_path / "a.svg"))
    marks = (tmp_path / "a.svg").read_text().count("<use ")
    assert marks >= 2 * (len(feeder.case.monitored) + len(feeder.case.devices))


def test_ticks_and_energy_are_named(tmp_path: Path) -> None:
    draw_ticks({"rural1": [1.12, 1.06, 1.04]}, 1.05, TAKEN, tmp_path / "ticks.svg")
    assert {"rural1", "no loss (goal 100)", "loss (goal 100)"} <= set(words(tmp_path / "ticks.svg"))
    draw_energy([DAY, DAY, DAY], tmp_path / "day.svg")
    assert {"peers: 24 kWh", "droop: 60 kWh"} <= set(words(tmp_path / "day.svg"))


@pytest.mark.parametrize(("name", "head"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_every_picture_comes_in_both_formats(
    feeder: ControlledFeeder, tmp_path: Path, name: str, head: bytes
) -> None:
    still = feeder.uncontrolled[0], np.zeros(len(feeder.case.devices))
    path = tmp_path / name
    draw_profile(feeder, feeder.uncontrolled, still, path)
    assert path.read_bytes().startswith(head)
    draw_ticks({"rural1": [1.1]}, 1.05, TAKEN, path)
    assert path.read_bytes().startswith(head)
    draw_energy([DAY], path)
    assert path.read_bytes().startswith(head)


def test_without_matplotlib_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match="plot"):
        draw_energy([DAY], tmp_path / "day.svg")
