"""`peercell results ls|show|export`: what runs have come to, read from their journals."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import click
from msgspec import Struct

from peercell.agents.errors import PeercellError
from peercell.broker.command import Session, command, data_command, hint
from peercell.broker.journal import JournalError
from peercell.broker.live_plan import RunNote, note_path, read_note
from peercell.broker.output import Answer, builtins, listing
from peercell.broker.output import table as text_table
from peercell.broker.results import (
    DeliveryRow,
    IntervalRow,
    Run,
    SettlementRow,
    TradeRow,
    recorded_run,
)
from peercell.broker.running import State, running_cells
from peercell.broker.tables import TableFormat, write_table
from peercell.broker.verdict import verdict, verdict_text

INTERVAL_COLUMNS = {
    "interval": "",
    "at": "",
    "certified": "",
    "rounds": "",
    "price_eur_per_kwh_min": ".4f",
    "price_eur_per_kwh_max": ".4f",
    "traded_kwh": ".3f",
    "saving_eur": ".3f",
    "gap_eur": ".1e",
    "v_min_pu": ".4f",
    "v_max_pu": ".4f",
    "loading_percent_max": ".0f",
    "violations": "",
}
RUN_COLUMNS = {"run": "", "state": "", "begun": "", "settled": "", "intervals": "", "config": ""}


class Table(StrEnum):
    """A table of a run."""

    INTERVALS = "intervals"
    SETTLEMENTS = "settlements"
    TRADES = "trades"
    DELIVERIES = "deliveries"


class RunRow(Struct, frozen=True, kw_only=True):
    """A run in a line; `settled` of its `intervals` were settled and certified by all members.

    `settled` is None for a run without journals, and for one whose journals cannot be read.
    """

    run: str
    state: str
    begun: datetime
    settled: int | None
    intervals: int
    config: str


@data_command("ls", "peercell results ls", "peercell results ls -o json")
@click.pass_obj
def ls(session: Session) -> Answer:
    """List the runs whose journals are there."""
    running = {c.cell for c in running_cells(session.home) if c.state is State.RUNNING}
    rows = [_row(path.parent, running) for path in sorted(session.home.glob("*/run.json"))]
    return listing(rows, RUN_COLUMNS, "" if rows else f"there is no run under {session.home}/")


@data_command("show", "peercell results show", "peercell results show rural1 -o csv")
@click.argument("name", metavar="[RUN]", required=False)
@click.pass_obj
def show(session: Session, name: str | None) -> Answer:
    """Show the intervals of a run, and what they come to.

    The run need not have ended. Without a name it is the only one, or the newest.
    """
    run = _run(session.home, name)
    told = verdict(run)
    rows = [row for each in run.intervals if isinstance(row := builtins(each), dict)]
    shown = [
        {**row, "at": f"{each.at:%H:%M}"} for row, each in zip(rows, run.intervals, strict=True)
    ]
    text = f"{text_table(shown, INTERVAL_COLUMNS)}\n{verdict_text(told)}".lstrip("\n")
    columns = tuple(run.intervals[0].__struct_fields__) if rows else tuple(INTERVAL_COLUMNS)
    return Answer({"verdict": told, "intervals": rows}, rows, columns, text)


@command(
    "export",
    "peercell results export --to tables",
    "peercell results export rural1 --to tables --format parquet",
)
@click.argument("name", metavar="[RUN]", required=False)
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the files; made if need be.",
)
@click.option(
    "--format",
    "form",
    envvar="PEERCELL_RESULTS_EXPORT_FORMAT",
    type=click.Choice(TableFormat, case_sensitive=False),
    default=TableFormat.CSV,
    show_default=True,
    help="Kind of the files; Parquet keeps the types, and needs the extra [parquet].",
)
@click.option(
    "--table",
    type=click.Choice(Table, case_sensitive=False),
    multiple=True,
    help="Only this table; may be given several times.",
)
@click.pass_obj
def export(
    session: Session, name: str | None, to: Path, form: TableFormat, table: tuple[Table, ...]
) -> None:
    """Write the tables of a run as CSV or Parquet files.

    These are its intervals, what each member settled, who sold to whom, and what each prosumer
    delivered.
    """
    run = _run(session.home, name)
    to.mkdir(parents=True, exist_ok=True)
    for each in table or tuple(Table):
        kind, rows = _rows(run, each)
        path = to / f"{each}.{form}"
        write_table(path, kind, rows, form)
        hint(f"{path}: {len(rows)} rows")


def _rows(run: Run, which: Table) -> tuple[type[Struct], Sequence[Struct]]:
    match which:
        case Table.INTERVALS:
            return IntervalRow, run.intervals
        case Table.SETTLEMENTS:
            return SettlementRow, [*run.settlement_rows()]
        case Table.TRADES:
            return TradeRow, [*run.trade_rows()]
        case Table.DELIVERIES:
            return DeliveryRow, [*run.delivery_rows()]


def _row(folder: Path, running: set[str]) -> RunRow:
    note = read_note(folder)
    return RunRow(
        run=folder.name,
        state="running" if folder.name in running else "ended",
        begun=datetime.fromtimestamp(note.begun_s, UTC),
        settled=_certified(folder, note) if note.journal else None,
        intervals=note.calendar.intervals,
        config=note.config,
    )


def _certified(folder: Path, note: RunNote) -> int | None:
    """Return how many intervals were certified; None when the journals cannot be read."""
    try:
        return sum(row.certified for row in recorded_run(folder, note).intervals)
    except JournalError as error:
        hint(f"{error.what}: {error.why}")
        return None


def _run(home: Path, name: str | None) -> Run:
    """Return a run by name, else the newest.

    Raises
    ------
    PeercellError : there is none, or it has no journals.
    """
    folders = {path.parent.name: path.parent for path in home.glob("*/run.json")}
    if name is None and folders:
        folder = max(folders.values(), key=lambda each: note_path(each).stat().st_mtime)
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
