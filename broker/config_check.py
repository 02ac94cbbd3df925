"""What a config comes to, once everything fits."""

from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct

from peercell.broker.config import load_grid, read_config
from peercell.broker.market_time import interval_rows


class CheckedConfig(Struct, frozen=True, kw_only=True):
    """A config that a cell can run on.

    `start` and `end` are simulated local time; `interval_real_s` is how long an interval takes.
    """

    config: str
    cell: str
    grid: str
    start: datetime
    end: datetime
    intervals: int
    interval_s: float
    interval_real_s: float
    microgrids: int
    customers: int


def check_config(path: Path) -> CheckedConfig:
    """Return what a config comes to.

    Raises
    ------
    ConfigError : the file is no config, or does not fit its grid.
    """
    config = read_config(path)
    loaded = load_grid(config)
    cell, clock = loaded.cell, config.cell.clock
    interval_rows(config, cell)  # refuses what the profiles do not hold
    return CheckedConfig(
        config=str(path),
        cell=config.cell.name,
        grid=cell.name,
        start=clock.start,
        end=clock.start + clock.intervals * timedelta(seconds=clock.interval_s),
        intervals=clock.intervals,
        interval_s=clock.interval_s,
        interval_real_s=clock.interval_s / clock.speed,
        microgrids=len(cell.zones.microgrids),
        customers=len(cell.customers),
    )


def check_text(checked: CheckedConfig) -> str:
    """Return what a config comes to, for people."""
    facts = {
        "cell": f"{checked.cell}, on {checked.grid} with {checked.microgrids} microgrids and"
        f" {checked.customers} customers",
        "time": f"{checked.start:%Y-%m-%dT%H:%M} to {checked.end:%Y-%m-%dT%H:%M},"
        f" {checked.intervals} intervals of {checked.interval_s:g} s",
        "speed": f"{checked.interval_s / checked.interval_real_s:g}:"
        f" an interval takes {checked.interval_real_s:.3g} s",
    }
    lines = [f"{name:8}{text}" for name, text in facts.items()]
    return "\n".join([f"{checked.config} is valid", *lines])
