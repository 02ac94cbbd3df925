"""What does a config come to? Its time, its peers and its market, once everything fits."""

from collections import Counter
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from peercell.broker.config import load_grid, read_config
from peercell.broker.plans.cell import plan_cell


class CheckedConfig(Struct, frozen=True, kw_only=True):
    """A config that a cell can run on.

    `start` and `end` are simulated local time; `interval_real_s` is how long an interval takes.
    `customers_left_out` have nothing to trade or no microgrid, so their assets follow their
    profiles. `peers` counts them by role, `links` the rights to sell that market members have.
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
    customers_left_out: int
    peers: dict[str, int]
    links: int
    market_cells: int


def check_config(path: Path) -> CheckedConfig:
    """Return what a config comes to.

    Raises
    ------
    ConfigError : the file is no config, or does not fit its grid.
    """
    config = read_config(path)
    loaded = load_grid(config)
    plan = plan_cell(config, loaded, 0.0)
    calendar = plan.calendar
    peers = Counter(peer.role for peer in plan.peers)
    return CheckedConfig(
        config=str(path),
        cell=plan.name,
        grid=loaded.cell.name,
        start=calendar.at_first,
        end=calendar.at(calendar.intervals),
        intervals=calendar.intervals,
        interval_s=calendar.period_s,
        interval_real_s=calendar.interval_s,
        microgrids=len(loaded.cell.zones.microgrids),
        customers_left_out=len(loaded.cell.customers) - peers["prosumer"],
        peers=dict(peers),
        links=sum(len(cell.links) for cell in plan.market),
        market_cells=len(plan.market),
    )


def check_text(checked: CheckedConfig) -> str:
    """Return what a config comes to, for people."""
    peers = ", ".join(f"{count} {role}" for role, count in checked.peers.items())
    left_out = checked.customers_left_out
    facts = {
        "cell": f"{checked.cell}, on {checked.grid} with {checked.microgrids} microgrids",
        "peers": f"{sum(checked.peers.values())}: {peers}",
        "left out": f"{left_out} customers without assets or microgrid" if left_out else "",
        "market": f"{checked.links} links, market cells: {checked.market_cells}",
        "time": f"{checked.start:%Y-%m-%dT%H:%M} to {checked.end:%Y-%m-%dT%H:%M},"
        f" {checked.intervals} intervals of {checked.interval_s:g} s",
        "speed": f"{checked.interval_s / checked.interval_real_s:g}:"
        f" an interval takes {checked.interval_real_s:.3g} s",
    }
    lines = [f"{name:10}{text}" for name, text in facts.items() if text]
    return "\n".join([f"{checked.config} is valid", *lines])
