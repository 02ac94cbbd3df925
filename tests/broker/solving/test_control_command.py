"""`peercell control solve`: a case in, limits that hold out."""

import json
from pathlib import Path

import pytest
from tests.broker.conftest import Run

CASE = str(Path(__file__).parents[2] / "reference" / "control" / "semiurb4-ov.json")
KEYS = (
    "in_limits",
    "ticks",
    "epochs",
    "v_max_pu",
    "v_min_pu",
    "curtailed_kw",
    "reactive_kvar",
    "objective",
    "optimum_objective",
    "gap_percent",
    "bytes_per_agent_s",
)


def test_a_case_is_controlled(run: Run) -> None:
    result = run("control", "solve", CASE, "--drop", "30%", "--delay", "0-1", "-o", "json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert tuple(found) == KEYS
    assert found["in_limits"] is True
    assert found["v_max_pu"] <= 1.05
    assert found["gap_percent"] == pytest.approx(0.0, abs=0.1)
    assert "tick 50" in result.err


def test_a_table_says_how_it_ended(run: Run) -> None:
    result = run("control", "solve", CASE, "--algorithm", "droop")
    assert result.code == 0
    assert "in limits for good after 31 ticks" in result.out


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_voltages_are_drawn_before_and_after(run: Run, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"profile.{ending}"
    result = run("control", "solve", CASE, "--plot", str(path))
    assert result.code == 0, result.err
    picture = path.read_bytes()
    assert picture.startswith(b"\x89PNG" if ending == "png" else b"<?xml")
    if ending == "svg":
        assert all(word in picture.decode() for word in ("before", "after", "limit 1.05"))


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (["missing.json"], 1, "cannot read the control case missing.json"),
        ([CASE, "--delay", "2-1"], 2, "'2-1' is no span; write it as 0-2"),
        ([CASE, "--delay", "long"], 2, "'long' is no span; write it as 0-2"),
        ([CASE, "--plot", "profile.txt"], 2, "profile.txt"),
        ([CASE, "--crash", "10%", "--algorithm", "droop"], 2, "--algorithm droop has none"),
        ([CASE, "--crash", "10%", "--processes"], 2, "they need --sim"),
        ([CASE, "--delay", "0-2", "--processes"], 2, "they need --sim"),
    ],
)
def test_mistakes(run: Run, arguments: list[str], code: int, what: str) -> None:
    result = run("control", "solve", *arguments)
    assert (result.code, result.out) == (code, "")
    assert what in result.err


@pytest.mark.slow
def test_real_processes_do_the_same(run: Run) -> None:
    result = run("control", "solve", CASE, "--processes", "--drop", "30%", "-o", "json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["in_limits"] is True
    assert found["gap_percent"] == pytest.approx(0.0, abs=0.5)
    assert 0.0 < found["bytes_per_agent_s"] <= 3000.0
