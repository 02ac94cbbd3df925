"""Which results a name means: a run, a sweep or one run of that; and their tables."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from peercell.agents.errors import PeercellError
from peercell.broker.outcomes.results import (
    DeliveryRow,
    IntervalRow,
    RoundRow,
    Run,
    SettlementRow,
    TradeRow,
    recorded_run,
)
from peercell.broker.outcomes.tables import Table, table_of
from peercell.broker.plans.live import note_path, read_note
from peercell.broker.sweeps.folder import SweepFolder, SweepNote
from peercell.broker.sweeps.sweep import Finished
from peercell.broker.sweeps.tables import intervals_table, rounds_table, runs_table


class Sweep(Struct, frozen=True):
    """A sweep: its folder, what it is, and its finished runs by number."""

    folder: Path
    note: SweepNote
    runs: list[Finished]


class SweptRun(Struct, frozen=True):
    """One run of a sweep."""

    sweep: Sweep
    run: Finished


Results = Run | Sweep | SweptRun


def find_results(home: Path, name: str | None) -> Results:
    """Return what a name means: `rural1`, `runs/loss` or `runs/loss/0042`; the newest run without.

    Raises
    ------
    PeercellError : there is nothing by that name, or a run without journals.
    """
    path = None if name is None else Path(name)
    if path is not None and SweepFolder(path).note_path.exists():
        return find_sweep(path)
    if path is not None and SweepFolder(path.parent).note_path.exists():
        return find_swept_run(path)
    return _run(home, name)


def find_sweep(folder: Path) -> Sweep:
    """Return the sweep in a folder; see `SweepFolder` for what it raises."""
    files = SweepFolder(folder)
    return Sweep(folder, files.note(), files.finished())


def find_swept_run(path: Path) -> SweptRun:
    """Return a run of a sweep from its folder and number, as in `runs/loss/0042`.

    Raises
    ------
    PeercellError : the folder holds no sweep, or no result of this run.
    """
    sweep = find_sweep(path.parent)
    found = [run for run in sweep.runs if path.name.isdecimal() and run.run == int(path.name)]
    if not found:
        raise PeercellError(
            f"there is no run {path.name} in {path.parent}",
            f"{len(sweep.runs)} of its runs are finished",
            f"peercell results ls {path.parent}",
        )
    return SweptRun(sweep, found[0])


def tables(results: Results) -> Mapping[str, Table]:
    """Return the tables of results by name, the one with fewest rows first."""
    match results:
        case Run():
            return {
                "intervals": table_of(IntervalRow, results.intervals),
                "rounds": table_of(RoundRow, [*results.round_rows()]),
                "settlements": table_of(SettlementRow, [*results.settlement_rows()]),
                "trades": table_of(TradeRow, [*results.trade_rows()]),
                "deliveries": table_of(DeliveryRow, [*results.delivery_rows()]),
            }
        case Sweep(runs=runs):
            return _swept(runs)
        case SweptRun(run=run):
            return _swept([run])


def some_tables(results: Results, names: Iterable[str]) -> Mapping[str, Table]:
    """Return the tables that have these names; all without any.

    Raises
    ------
    PeercellError : there is no such table.
    """
    found = tables(results)
    wanted = [*dict.fromkeys(names)] or [*found]
    for name in wanted:
        if name not in found:
            raise PeercellError(f'there is no table "{name}" here', f"there are {', '.join(found)}")
    return {name: found[name] for name in wanted}


def _swept(runs: list[Finished]) -> Mapping[str, Table]:
    return {
        "runs": runs_table(runs),
        "intervals": intervals_table(runs),
        "rounds": rounds_table(runs),
    }


def _run(home: Path, name: str | None) -> Run:
    """Return a run by name, else the newest."""
    folders = {path.parent.name: path.parent for path in home.glob("*/run.json")}
    if name is None and folders:
        folder = max(folders.values(), key=lambda each: note_path(each).stat().st_mtime)
    elif name is not None and note_path(Path(name)).exists():
        folder = Path(name)
    elif name in folders:
        folder = folders[name]
    else:
        named = f'run "{name}"' if name else "run"
        raise PeercellError(
            f"there is no {named} under {home}/",
            f"there are {', '.join(sorted(folders))}" if folders else "",
            "peercell results ls" if folders else "peercell demo",
        )
    note = read_note(folder)
    if not note.journal:
        raise PeercellError(
            f'run "{folder.name}" has no journals',
            f"telemetry.journal is false in {note.config}",
        )
    return recorded_run(folder, note)
