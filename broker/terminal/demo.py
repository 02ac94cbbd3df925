"""A cell from start to end while somebody watches: a line an interval, then what it came to."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from peercell.agents.trading.calendar import MarketPhase
from peercell.broker.accounts import Accounts
from peercell.broker.clock import steady_clock
from peercell.broker.configuration.toml_file import Setting
from peercell.broker.faults.plan import noted_steps
from peercell.broker.outcomes.results import IntervalRow, recorded_run
from peercell.broker.outcomes.verdict import Verdict, verdict
from peercell.broker.plans.live import RunOrder, read_order
from peercell.broker.processes.cell_runs import Begun
from peercell.broker.status.live import Told, ask_cell
from peercell.broker.status.picture import GridPicture, Settled, picture
from peercell.broker.status.text import loading_text

POLL_S = 0.2
WHOLE_DAY = (Setting(("clock", "intervals"), 72),)
"""The demo from six in the morning till midnight."""
HEADER = (
    f"{'interval':>8} {'at':>6} {'rounds':>6}  {'price EUR/kWh':<17} {'traded':>8} {'saved':>8}"
    f" {'gap':>8}   grid now"
)


def demo_config() -> Path:
    """Return the config of the demo, which comes with the package."""
    return Path(str(files("peercell"))) / "configs" / "rural1.toml"


def check_journals(order: RunOrder) -> None:
    """Refuse a cell of processes that leaves nothing from which a verdict could be read.

    Raises
    ------
    ConfigError : its peers keep no journals, or it is wrong otherwise.
    """
    told = read_order(order)
    if not told.cell.telemetry.journal:
        raise told.file.wrong(
            ("telemetry", "journal"),
            "a run is judged by the journals of its peers",
            "telemetry.journal is false",
            f"peercell up {order.config}",
        )


def follow(begun: Begun, say: Callable[[str], None], pause: Callable[[float], None]) -> Verdict:
    """Return what a run came to when its last interval has been delivered; tell how it goes.

    Parameters
    ----------
    begun : the run
    say : gets a line for each interval as soon as all members have settled it
    pause : waits so many s between two looks; may raise

    Raises
    ------
    UnreachableError : the supervisor does not answer any more.
    JournalError : a journal cannot be read.
    """
    clock = steady_clock()
    poll_s = min(POLL_S, begun.note.calendar.interval_s / 10.0)
    said = -1
    say(HEADER)
    while True:
        told = ask_cell(begun.folder, begun.note)
        seen = picture(begun.note, told, clock())
        if seen.settled is not None and seen.settled.interval > said:
            said = seen.settled.interval
            say(settled_line(seen.settled, seen.grid, told))
        if seen.phase is MarketPhase.OVER:
            run = recorded_run(begun.folder, begun.note)
            run.messages = _accounts(begun)
            return verdict(run, noted_steps(begun.folder))
        pause(poll_s)


def _accounts(begun: Begun) -> Accounts | None:
    """Return what became of all messages; None when not all peers say so."""
    told = ask_cell(begun.folder, begun.note, messages=True)
    found = picture(begun.note, told, steady_clock()()).messages
    if found is None:
        return None
    return Accounts(
        sent=found.sent,
        duplicated=0,
        applied=found.applied,
        dropped=found.dropped,
        in_flight=found.in_flight,
    )


def interval_line(told: Settled | IntervalRow, rounds: int, grid: str) -> str:
    """Return what all members have settled, below `HEADER`."""
    prices = f"{told.price_eur_per_kwh_min:.4f} .. {told.price_eur_per_kwh_max:.4f}"
    return (
        f"{told.interval:>8}  {told.at:%H:%M} {rounds:>6}  {prices:<17}"
        f" {told.traded_kwh:>4.2f} kWh {told.saving_eur:>4.2f} EUR {told.gap_eur:>8.1e}"
        f"   {grid}"
    )


def grid_text(
    v_min_pu: float, v_max_pu: float, loading_percent_max: float | None, violations: int
) -> str:
    """Return how the grid is, for `interval_line`."""
    loading = loading_text(loading_percent_max)
    return f"{v_min_pu:.3f} .. {v_max_pu:.3f} pu{loading}, {violations} violations"


def settled_line(seen: Settled, grid: GridPicture | None, told: Told) -> str:
    """Return what all members have settled last, and how the grid is now, below `HEADER`."""
    rounds = max(each.last.plan.round for each in told.market.values() if each.last is not None)
    if grid is None:
        return interval_line(seen, rounds, "not loaded yet")
    volts = grid_text(grid.v_min_pu, grid.v_max_pu, grid.loading_percent_max, len(grid.violations))
    return interval_line(seen, rounds, volts)
