"""Voltage agents as processes: two of them are killed, the limits hold, and they come back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.broker.conftest import Run
from tests.broker.live_cell import Cell, until
from tests.broker.plans.test_voltage_plan import TEXT

from peercell.agents.control.voltage_messages import VoltageControlled
from peercell.agents.grid_messages import GridRevision
from peercell.broker.clock import steady_clock
from peercell.broker.outcomes.recorded import facts

KILLED = ("volt.5", "volt.11")


@contextmanager
def noon(run: Run, tmp_path: Path) -> Iterator[Cell]:
    """Run the village at noon, whose sun would overload the transformer by twice."""
    config = tmp_path / "noon.toml"
    text = TEXT.format(method="dual").replace("intervals = 4", "intervals = 2")
    config.write_text(text.replace("180.0", "30.0"))
    cell = Cell(run, tmp_path / "run")
    started = run("--home", str(cell.home), "up", str(config))
    assert started.code == 0, started.err
    try:
        yield cell
    finally:
        run("--home", str(cell.home), "down")


@pytest.mark.slow
def test_two_agents_are_killed_and_the_limits_hold(run: Run, tmp_path: Path) -> None:
    now_s = steady_clock()
    with noon(run, tmp_path) as cell:
        journal = cell.home / "noon" / "grid.journal"

        def loadings(since_s: float) -> list[float]:
            told = facts(journal, GridRevision, since_s=since_s)
            return [fact.reading.loading_percent_max or 0.0 for fact in told]

        until(lambda: bool(loadings(0.0)) and loadings(0.0)[-1] <= 100.0, 20.0)
        assert loadings(0.0)[0] > 190.0
        killed_s = now_s()
        for peer in KILLED:
            cell.kill(peer)
        until(lambda: all(cell.peers()[peer]["restarts"] == 1 for peer in KILLED), 20.0)

        def have_prices() -> bool:
            return all(
                any(
                    fact.limits
                    for fact in facts(
                        cell.home / "noon" / f"{peer}.journal", VoltageControlled, since_s=killed_s
                    )
                )
                for peer in KILLED
            )

        until(have_prices, 20.0)
        assert max(loadings(killed_s), default=0.0) <= 102.0
