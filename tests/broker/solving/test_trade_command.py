"""`peercell trade solve`: an instance file in, prices and a certified gap out."""

import json
from pathlib import Path

import pytest
from tests.broker.conftest import Run

REFERENCE = Path(__file__).parents[2] / "reference" / "trading"
TWO = """{"traders": [{"id": "a", "load_kwh": 4, "linear": 0.1, "quadratic": 0.01},
 {"id": "b", "load_kwh": 6}], "links": [{"from": "a", "to": "b", "linear": 0.02}]}"""


def test_an_instance_is_traded_out(run: Run) -> None:
    result = run("trade", "solve", str(REFERENCE / "ring4.json"), "-o", "json")
    assert result.code == 0
    found = json.loads(result.out)
    expected = json.loads((REFERENCE / "expected" / "ring4.json").read_text())
    assert found["converged"] is True
    assert found["prices"] == pytest.approx(expected["prices"], rel=1e-4)
    trades = {f"{trade['from']}>{trade['to']}": trade["kwh"] for trade in found["trades"]}
    assert trades == pytest.approx(expected["trades"], abs=1e-2)


def test_lost_messages_cost_time_only(run: Run, tmp_path: Path) -> None:
    (tmp_path / "two.json").write_text(TWO)
    good, bad = (
        json.loads(run("trade", "solve", "two.json", "--drop", drop, "-o", "json").out)
        for drop in ("0", "30%")
    )
    assert bad["prices"] == pytest.approx(good["prices"], abs=1e-6)
    assert "converged in " in run("trade", "solve", "two.json").out


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (["missing.json"], 1, "cannot use missing.json"),
        (["bad.json"], 1, "bad.json is not a trading instance"),
        (["two.json", "--drop", "lots"], 2, "'lots' is no share; write it as 30% or 0.3"),
        (["two.json", "--drop", "130%"], 2, "'130%' is no share; write it as 30% or 0.3"),
    ],
)
def test_mistakes(run: Run, tmp_path: Path, arguments: list[str], code: int, what: str) -> None:
    (tmp_path / "two.json").write_text(TWO)
    (tmp_path / "bad.json").write_text('{"traders": [{"id": "a"}]}')
    result = run("trade", "solve", *arguments)
    assert (result.code, result.out) == (code, "")
    assert what in result.err
