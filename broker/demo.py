"""A cell from start to end while somebody watches: a line an interval, then what it came to."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from peercell.agents.trading.calendar import MarketPhase
from peercell.broker.cell_runs import Begun
from peercell.broker.clock import steady_clock
from peercell.broker.config import read_config
from peercell.broker.live import Told, ask_cell
from peercell.broker.picture import Picture, picture
from peercell.broker.results import Run
from peercell.broker.verdict import Verdict, verdict

POLL_S = 0.2
HEADER = (
    f"{'interval':>8} {'at':>6} {'rounds':>6}  {'price EUR/kWh':<17} {'traded':>8} {'saved':>8}"
    f" {'gap':>8}   grid now"
)


def demo_config() -> Path:
    """Return the config of the demo, which comes with the package."""
    return Path(str(files("peercell"))) / "configs" / "rural1.toml"


def check_journals(config: Path) -> None:
    """Refuse a cell that leaves nothing from which a verdict could be read.

    Raises
    ------
    ConfigError : its peers keep no journals, or it is wrong otherwise.
    """
    told = read_config(config)
    if not told.cell.telemetry.journal:
        raise told.file.wrong(
            ("telemetry", "journal"),
            "a demo is judged by the journals of its peers",
            "telemetry.journal is false",
            f"peercell up {config}",
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
            say(_line(seen, told))
        if seen.phase is MarketPhase.OVER:
            return verdict(Run(begun.folder, begun.note))
        pause(poll_s)


def _line(seen: Picture, told: Told) -> str:
    """Return what all members have settled, and how the grid is at that moment."""
    settled = seen.settled
    if settled is None:
        return ""
    rounds = max(each.last.plan.round for each in told.market.values() if each.last is not None)
    prices = f"{settled.price_eur_per_kwh_min:.4f} .. {settled.price_eur_per_kwh_max:.4f}"
    grid = seen.grid
    volts = (
        "not loaded yet"
        if grid is None
        else f"{grid.v_min_pu:.3f} .. {grid.v_max_pu:.3f} pu, {len(grid.violations)} violations"
    )
    return (
        f"{settled.interval:>8}  {settled.at:%H:%M} {rounds:>6}  {prices:<17}"
        f" {settled.traded_kwh:>4.2f} kWh {settled.saving_eur:>4.2f} EUR {settled.gap_eur:>8.1e}"
        f"   {volts}"
    )
