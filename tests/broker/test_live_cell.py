"""A cell of real processes: started, looked at, hurt and ended by the commands that people use."""

import json
import shlex
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.broker.conftest import Run
from tests.broker.live_cell import ROOT, Cell, begin, fast_config, runs, until
from tests.broker.test_cli import COMMANDS, LIVE, STARTING

from peercell.agents.dso_messages import CellObserved
from peercell.broker.outcomes.recorded import facts
from peercell.broker.plans.live import RunOrder
from peercell.broker.simulated_run import simulate


@pytest.mark.slow
def test_a_cell_trades_dispatches_and_ends(cell: Cell) -> None:
    peers = cell.peers()
    assert len(peers) == 1 + 1 + 34
    assert {row["state"] for row in peers.values()} == {"running", "up"}
    cell.json("wait", "converged", "--timeout", "20s")
    until(lambda: cell.json("status")["grid"] is not None)
    seen = cell.json("status")
    messages = seen["messages"]
    assert messages["sent"] == (
        messages["applied"] + sum(messages["dropped"].values()) + messages["in_flight"]
    )
    assert messages["in_flight"] >= 0
    assert messages["unaccounted"] == 0
    assert 0.9 < seen["grid"]["v_min_pu"] <= seen["grid"]["v_max_pu"] < 1.1
    assert seen["totals"]["unsettled"] == seen["totals"]["fallbacks"] == 0
    again = cell.run("--home", str(cell.home), "up", "fast.toml")
    assert again.code == 1
    assert again.err.startswith('peercell: cell "rural1" runs already')
    pids = [row["pid"] for row in peers.values()]
    cell.json("down")
    assert cell.peers() == {}
    # The supervisor gives its lock back just before it ends.
    until(lambda: not any(map(runs, pids)))
    # Its second life finds its peers at new addresses, whatever the first one has left behind.
    assert cell.run("--home", str(cell.home), "up", "fast.toml").code == 0
    cell.json("wait", "converged", "--timeout", "8s")
    seen = cell.json("status")
    assert (seen["totals"]["late_offers"], seen["totals"]["fallbacks"]) == (0, 0)
    assert seen["settled"]["traded_kwh"] > 1.0


@pytest.mark.slow
def test_a_demo_tells_how_it_goes_and_leaves_nothing_behind(
    run: Run, home: Path, tmp_path: Path
) -> None:
    short = (tmp_path / "fast.toml").read_text().replace("intervals = 24", "intervals = 3")
    (tmp_path / "short.toml").write_text(short)
    result = run("--home", str(home), "demo", "short.toml", "-o", "json")
    assert result.code == 0, result.err
    told = json.loads(result.out)
    assert (told["converged"], told["settled"], told["unserved_kwh"]) == (True, 3, 0.0)
    assert told["relative_gap"] < 1e-6
    assert told["deviation_kwh_max"] < 1e-9
    assert [line.split()[:2] for line in result.err.splitlines() if " pu, " in line][-1] == [
        "2",
        "06:30",
    ]
    assert run("--home", str(home), "ps").out == ""
    simulated = json.loads(run("run", "short.toml", "--sim", "-o", "json").out)
    assert told["cost_eur"] == pytest.approx(simulated["cost_eur"], rel=1e-6)
    # Plans whose costs differ by a millionth at most differ by the root of that in what is traded.
    for key in ("price_eur_per_kwh_min", "price_eur_per_kwh_max", "traded_kwh"):
        assert told[key] == pytest.approx(simulated[key], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ring4", "full4"])
def test_processes_find_the_prices_of_the_simulation(run: Run, name: str) -> None:
    path = str(ROOT / "tests" / "reference" / "trading" / f"{name}.json")
    found = [
        json.loads(run("trade", "solve", path, *how, "--tolerance", "1e-14", "-o", "json").out)
        for how in (["--sim"], ["--processes"], ["--processes", "--drop", "30%"])
    ]
    assert [each["converged"] for each in found] == [True] * 3
    for each in found[1:]:
        assert each["prices"] == pytest.approx(found[0]["prices"], rel=1e-6)
    assert found[2]["rounds"] > found[1]["rounds"]
    assert list(Path(tempfile.gettempdir()).glob("peercell-trade-*")) == []


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_leaves_nothing_behind(
    run: Run, home: Path, number: signal.Signals, code: int
) -> None:
    with begin(home, "demo", "fast.toml") as demo:
        assert demo.stderr is not None
        for line in demo.stderr:
            if "interval" in line and "price" in line:
                break
        demo.send_signal(number)
        said = demo.stderr.read()
    assert demo.returncode == code
    assert said.endswith("peercell: interrupted\n") is (number == signal.SIGINT)
    assert run("--home", str(home), "ps").out == ""


@pytest.mark.slow
def test_the_examples_of_the_help_run(cell: Cell) -> None:
    called = [
        example
        for path, leaf, _ in COMMANDS
        if path in LIVE - STARTING
        for example in getattr(leaf, "examples", ())
    ]
    assert called
    for example in called:
        # Not what waits for the end of the cell that the others need, or looks at a sweep.
        words = shlex.split(example.replace("village", "rural1"))[1:]
        if words[:2] == ["wait", "down"] or "-f" in words or "runs/" in example:
            continue
        result = cell.run("--home", str(cell.home), *words)
        assert (result.code, "peercell:" in result.err) == (0, False), example


@pytest.mark.slow
def test_a_watcher_gets_a_line_of_json_a_second_until_the_end(cell: Cell) -> None:
    with begin(cell.home, "watch") as watch:
        assert watch.stdout is not None
        assert watch.stderr is not None
        lines = [json.loads(watch.stdout.readline()) for _ in range(2)]
        cell.json("down")
        rest, said = watch.stdout.read(), watch.stderr.read()
    assert [line["cell"] for line in lines] == ["rural1"] * 2
    assert (watch.returncode, said) == (0, 'cell "rural1" has ended\n'), rest


@pytest.mark.slow
def test_a_peer_does_again_what_its_journal_says(cell: Cell) -> None:
    cell.json("wait", "converged", "--timeout", "20s")
    cell.json("down")
    journals = sorted((cell.home / "rural1").glob("*.journal"))
    assert len(journals) == 1 + 34
    for journal in journals:
        found = cell.json("replay", str(journal))
        assert (found["peer"], found["same"], found["failures"]) == (journal.stem, True, 0)
        assert found["steps"] > 10


@pytest.fixture
def calm(run: Run, home: Path, tmp_path: Path) -> Cell:
    """Return a running cell at the speed of the demo, from the file `calm.toml`.

    What only haste would do to a cell on a busy machine is not what an end does to it.
    """
    (tmp_path / "calm.toml").write_text(fast_config().replace("speed = 360.0", "speed = 180.0"))
    begun = run("--home", str(home), "up", "calm.toml")
    assert begun.code == 0, begun.err
    return Cell(run, home)


def _settled(cell: Cell) -> dict[int, dict[str, Any]]:
    """Return what each interval came to, in a run that has ended."""
    cell.json("down")
    return {row["interval"]: row for row in cell.json("results", "show")["intervals"]}


def _assert_best(rows: dict[int, dict[str, Any]], config: Path) -> None:
    """Assert that intervals came to the costs and prices of a run in which nobody is hurt."""
    unharmed = simulate(RunOrder(config=config), lambda _: None)
    best = {row.interval: row for row in unharmed.intervals}
    for number, row in rows.items():
        assert row["certified"], number
        assert row["settled"] == len(unharmed.note.members)
        assert row["cost_eur"] == pytest.approx(best[number].cost_eur, rel=1e-6)
        for end in ("min", "max"):
            price = getattr(best[number], f"price_eur_per_kwh_{end}")
            assert row[f"price_eur_per_kwh_{end}"] == pytest.approx(price, rel=1e-4)


@pytest.mark.slow
def test_the_end_of_the_directory_stops_no_trade(calm: Cell, tmp_path: Path) -> None:
    calm.json("wait", "converged", "--timeout", "20s")
    until(lambda: calm.json("status")["phase"] == "trading")
    before = calm.json("status")["totals"]["settled"]
    calm.kill("directory")
    until(lambda: calm.json("status")["totals"]["settled"] >= before + 2, timeout_s=30.0)
    totals = calm.json("status")["totals"]
    assert (totals["unsettled"], totals["fallbacks"]) == (0, 0)
    until(lambda: calm.peers()["directory"]["state"] == "up")
    assert calm.peers()["directory"]["reason"] == "killed by SIGKILL"
    rows = _settled(calm)
    # The cell was ended in the middle of its last interval.
    del rows[max(rows)]
    assert sorted(rows) == list(range(len(rows)))
    assert len(rows) >= 2
    _assert_best(rows, tmp_path / "calm.toml")


@pytest.mark.slow
def test_a_killed_trader_comes_back_and_trades_on(calm: Cell, tmp_path: Path) -> None:
    calm.json("wait", "converged", "--timeout", "20s")
    until(lambda: calm.json("status")["phase"] == "trading")
    killed = calm.json("status")["traded"]
    calm.kill("mg2.trader")
    until(lambda: calm.peers()["mg2.trader"]["restarts"] == 1, timeout_s=5.0)
    until(lambda: calm.peers()["mg2.trader"]["state"] == "up", timeout_s=5.0)
    until(lambda: (calm.json("status")["traded"] or 0) >= killed + 4, timeout_s=40.0)
    calm.json("wait", "converged", "--timeout", "20s")
    rows = _settled(calm)
    # The interval that it was killed in may have been settled without it.
    later = {number: row for number, row in rows.items() if killed < number < max(rows)}
    assert len(later) >= 2
    _assert_best(later, tmp_path / "calm.toml")


@pytest.mark.slow
def test_peers_that_are_run_one_by_one_find_each_other(run: Run, home: Path) -> None:
    begins = datetime.now(UTC) + timedelta(seconds=4)
    common = ["--config", "fast.toml", "--begins", begins.isoformat()]
    with ExitStack() as ends:
        first, where = _foreground(ends, home, "directory", "run")
        seed = ["--seed", f"directory={where}"]
        others = [
            _foreground(ends, home, "agent", "run", peer, *common, *seed)[0]
            for peer in ("grid", "dso")
        ]
        journal = home / "dso" / "dso.journal"
        until(journal.exists)
        observed = partial(facts, journal, CellObserved, since_s=0.0)
        until(lambda: next(observed(), None) is not None)
        for process in (*others, first):
            process.send_signal(signal.SIGINT)
            assert process.wait(10.0) == 0


def _foreground(
    ends: ExitStack, home: Path, *arguments: str
) -> tuple["subprocess.Popen[str]", str]:
    """Return a process of the command and the endpoint that it listens at."""
    process = ends.enter_context(begin(home, *arguments))
    ends.callback(process.kill)
    assert process.stderr is not None
    return process, process.stderr.readline().split()[-1]
