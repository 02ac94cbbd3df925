"""Breaking a cell of real processes by the commands that people use, and seeing it heal."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.broker.conftest import Run
from tests.broker.live_cell import Cell, until

from peercell.broker.faults.kinds import Kill, Loss, Pause
from peercell.broker.faults.plan import read_plan

pytestmark = pytest.mark.slow


def _accounted(cell: Cell) -> dict[str, Any]:
    """Return what became of all messages; nothing may be unaccounted for."""
    messages: dict[str, Any] = cell.json("status")["messages"]
    assert messages["unaccounted"] == 0
    assert messages["sent"] == (
        messages["applied"] + sum(messages["dropped"].values()) + messages["in_flight"]
    )
    return messages


def test_faults_are_added_listed_and_taken_back(cell: Cell) -> None:
    cell.json("wait", "converged", "--timeout", "20s")
    looked = cell.json(
        "fault", "add", "partition", "mg1", "--from-rest", "--for", "5s", "--dry-run"
    )
    assert (looked["id"], looked["links"] > 10, cell.json("fault", "ls")) == ("", True, [])
    first = cell.json("fault", "add", "loss", "30%", "all", "--for", "60s", "--seed", "7")
    assert (first["id"], first["seed"], first["hits"]) == ("f1", 7, 0)
    until(lambda: cell.json("fault", "ls")[0]["hits"] > 50)
    cell.json("fault", "add", "pause", "mg2.trader", "--for", "30s")
    assert [row["id"] for row in cell.json("fault", "ls")] == ["f1", "f2"]
    cell.json("fault", "rm", "f2")
    assert _accounted(cell)["unsent"]["fault"] > 50
    assert [row["id"] for row in cell.json("fault", "clear")] == ["f1"]
    assert cell.json("fault", "ls") == []
    steps = read_plan(cell.home / "rural1" / "faults.jsonl").steps
    assert [step.fault for step in steps] == [Loss(share=0.3), Pause(on="mg2.trader")]
    assert all(step.for_s is not None and step.for_s < 30.0 for step in steps)
    cell.json("wait", "converged", "--timeout", "10s")


def test_a_fault_that_cannot_be_is_refused_with_what_to_try(cell: Cell) -> None:
    for words, why in (
        (["loss", "30%", "all"], "--lab"),
        (["loss", "30%", "mg9", "--for", "5s"], "did you mean"),
        (["loss", "130%", "all", "--for", "5s"], "usage"),
        (["partition", "mg1<->mg1.trader,!mg1.trader", "--for", "5s"], ""),
    ):
        refused = cell.run("--home", str(cell.home), "fault", "add", *words)
        assert refused.code != 0, words
        assert refused.err.startswith("peercell: "), words
        assert why in refused.err, words
    refused = cell.run("--home", str(cell.home), "fault", "rm", "f3")
    assert "f3 is not on; on are: none" in refused.err


def test_killed_peers_come_back_when_they_are_to(cell: Cell) -> None:
    cell.json("wait", "converged", "--timeout", "20s")
    before = cell.peers()
    words = ["kill", "role=prosumer,any:3", "--restart-after", "1s", "--seed", "4"]
    killed = cell.json("fault", "add", *words)["peers"]
    assert len(killed) == 3
    until(lambda: all(cell.peers()[peer]["restarts"] == 1 for peer in killed))
    until(lambda: {row["state"] for row in cell.peers().values()} == {"running", "up"})
    after = cell.peers()
    assert [p for p in after if after[p]["pid"] != before[p]["pid"]] == killed
    assert {after[peer]["reason"] for peer in killed} == {"killed by fault f1"}
    cell.json("wait", "converged", "--timeout", "15s")
    _accounted(cell)
    (step,) = read_plan(cell.home / "rural1" / "faults.jsonl").steps
    assert isinstance(step.fault, Kill)


def test_a_cell_in_a_lab_may_stay_broken(run: Run, home: Path) -> None:
    begun = run("--home", str(home), "up", "fast.toml", "--lab")
    assert begun.code == 0, begun.err
    cell = Cell(run, home)
    assert cell.json("fault", "add", "delay", "5ms±2ms", "all")["ends_s"] is None
    cell.json("wait", "converged", "--timeout", "20s")
    (row,) = cell.json("fault", "ls")
    assert row["hits"] > 0
    _accounted(cell)


def test_a_restarted_process_stays_broken_until_the_end(cell: Cell) -> None:
    cell.json("wait", "converged", "--timeout", "20s")
    cell.json("fault", "add", "loss", "100%", "mg1.c1", "--for", "6s")
    cell.json("restart", "mg1.c1")
    until(lambda: cell.json("fault", "ls")[0]["hits"] > 3)
    until(lambda: cell.json("fault", "ls") == [], timeout_s=10.0)
    cell.json("wait", "converged", "--timeout", "10s")
    _accounted(cell)


PLAN = """
seed = 4

[[steps]]
name = "half a loss"
at_s = 0.5
for_s = 2.0
limit_s = 20.0
fault = { kind = "loss", share = 0.5 }

[[steps]]
at_s = 3.0
limit_s = 20.0
fault = { kind = "kill", on = "mg1.c1" }
"""


LATE = """
[[steps]]
at_s = 600.0
for_s = 1.0
fault = { kind = "loss", share = 0.1 }
"""


def test_a_plan_is_carried_out_and_reported(cell: Cell, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    cell.json("wait", "converged", "--timeout", "20s")
    told = cell.json("fault", "run", "plan.toml", "--report", "report.md")
    assert told["passed"]
    assert [step["id"] for step in told["steps"]] == ["f1", "f2"]
    assert told["steps"][0]["lost"]["fault"] > 10
    assert abs(told["steps"][0]["relative_cost"]) < 1e-6
    assert {step["unaccounted"] for step in told["steps"]} == {0}
    assert "![Residual and gap over time](report.png)" in (tmp_path / "report.md").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["cell"] == "rural1"
    assert (tmp_path / "report.png").stat().st_size > 10_000


def test_a_run_with_a_plan_tells_what_was_broken(run: Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN + LATE)
    words = ["run", "fast.toml", "--set", "clock.intervals=3", "--faults", "plan.toml"]
    result = run("--home", str(home), *words, "-o", "json")
    told = json.loads(result.out)
    assert [text.split(",")[0] for text in told["faults"]] == [
        "f1 loss 50 % on all",
        "f2 kill mg1.c1",
        "loss 10 % on all",
    ]
    assert told["faults"][2].endswith("no effect, the run was over before it began")
    assert told["settled"] == 3


def test_waiting_in_vain_names_the_fault(cell: Cell) -> None:
    cell.json("fault", "add", "partition", "aggregator", "--from-rest", "--for", "60s")
    cell.json("fault", "add", "pause", "aggregator", "--for", "60s")
    waited = cell.run("--home", str(cell.home), "wait", "converged", "--timeout", "500ms")
    assert waited.code == 5
    assert "fault f1 (partition aggregator from rest) is on" in waited.err
    assert "try: peercell fault rm f1" in waited.err


def test_a_line_opens_for_a_while_and_rogue_words_do_no_harm(cell: Cell) -> None:
    cell.json("wait", "converged", "--timeout", "20s")
    until(lambda: cell.json("status")["grid"] is not None)
    opened = cell.json("fault", "add", "line-open", "10-3", "--for", "20s")
    assert opened["peers"] == ["line-0"]
    stepped = cell.json("fault", "add", "load-step", "10", "load-1*", "--for", "20s")
    assert len(stepped["peers"]) > 1
    cell.json("fault", "add", "pv-trip", "mg1.c1", "--for", "20s")
    until(
        lambda: [row["hits"] for row in cell.json("fault", "ls")] == [1, len(stepped["peers"]), 1]
    )
    words = ("fault", "add", "load-step", "100000", "load-11", "--for", "20s")
    refused = cell.run("--home", str(cell.home), *words)
    assert refused.code == 1
    assert "it has no effect: the power flow has no solution" in refused.out
    (row,) = [row for row in cell.json("fault", "ls") if row["refused"]]
    assert (row["id"], row["hits"]) == ("f4", 0)
    assert "trip of mg1.c1" in cell.run("--home", str(cell.home), "status").out
    cell.json("fault", "add", "replay", "50%", "mg2.trader", "--after", "300ms", "--for", "20s")
    cell.json("fault", "add", "lie", "mg3.trader", "--price=-10", "--for", "20s")
    until(lambda: _accounted(cell)["refused"].get("duplicate", 0) > 5)
    until(lambda: _accounted(cell)["refused"].get("bad-body", 0) > 5)
    cell.json("fault", "clear")
    cell.json("wait", "converged", "--timeout", "15s")
    log = (cell.home / "rural1" / "grid.log").read_text()
    assert "fault f1 is on" in log
    assert "fault f1 is over" in log
