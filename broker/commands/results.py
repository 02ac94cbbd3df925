"""`peercell results`: what runs, read from their journals, and sweeps have come to."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from peercell.broker.faults.plan import noted_steps
from peercell.broker.journal import JournalError
from peercell.broker.outcomes.bands import Band, Columns, curves, find
from peercell.broker.outcomes.bands import band as band_param
from peercell.broker.outcomes.result_tables import (
    Results,
    Sweep,
    SweptRun,
    find_results,
    find_sweep,
    find_swept_run,
    some_tables,
    tables,
)
from peercell.broker.outcomes.results import IntervalRow, Run, recorded_run
from peercell.broker.outcomes.tables import TableFormat, write_table
from peercell.broker.outcomes.verdict import Verdict, verdict, verdict_text
from peercell.broker.plans.live import RunNote, read_note
from peercell.broker.plots.bands import draw_curves
from peercell.broker.processes.running import State, running_cells
from peercell.broker.sweeps.repro import repro_of, repro_text
from peercell.broker.sweeps.tables import SUMMARY_FORMATS, runs_table, summary
from peercell.broker.terminal.command import Session, command, data_command, hint
from peercell.broker.terminal.output import Answer, builtins, listing, record
from peercell.broker.terminal.output import table as text_table
from peercell.broker.terminal.params import picture

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
SWEPT_COLUMNS = {
    "seed": "",
    "converged": "",
    "settled": "",
    "rounds_max": "",
    "relative_gap": ".1e",
    "traded_kwh": ".3f",
    "saving_eur": ".3f",
    "v_min_pu": ".4f",
    "v_max_pu": ".4f",
    "violations": "",
}


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


@data_command("ls", "peercell results ls", "peercell results ls runs/loss -o csv")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), required=False)
@click.pass_obj
def ls(session: Session, folder: Path | None) -> Answer:
    """List the runs whose journals are there, or those of a sweep."""
    if folder is not None:
        return _swept(find_sweep(folder))
    running = {c.cell for c in running_cells(session.home) if c.state is State.RUNNING}
    rows = [_row(path.parent, running) for path in sorted(session.home.glob("*/run.json"))]
    return listing(rows, RUN_COLUMNS, "" if rows else f"there is no run under {session.home}/")


@data_command(
    "show",
    "peercell results show",
    "peercell results show rural1 -o csv",
    "peercell results show runs/loss/0042",
)
@click.argument("name", metavar="[RUN]", required=False)
@click.pass_obj
def show(session: Session, name: str | None) -> Answer:
    """Show a run, interval by interval, or the settings of a sweep.

    A run need not have ended. Without a name it is the only one, or the newest. A sweep is named by
    its folder, one of its runs by folder and number.
    """
    match find_results(session.home, name):
        case Sweep(runs=runs, note=note):
            rows = summary(runs)
            keys = dict.fromkeys(note.keys, "")
            return listing(rows, keys | SUMMARY_FORMATS)
        case SweptRun(run=run):
            return _shown(msgspec.convert(run.result, Verdict), run.intervals)
        case Run() as run:
            told = verdict(run, noted_steps(session.home.resolve() / run.note.cell))
            return _shown(told, run.intervals)


def _shown(told: Verdict, intervals: Sequence[IntervalRow]) -> Answer:
    rows = [row for each in intervals if isinstance(row := builtins(each), dict)]
    shown = [{**row, "at": f"{each.at:%H:%M}"} for row, each in zip(rows, intervals, strict=True)]
    text = f"{text_table(shown, INTERVAL_COLUMNS)}\n{verdict_text(told)}".lstrip("\n")
    columns = tuple(intervals[0].__struct_fields__) if rows else tuple(INTERVAL_COLUMNS)
    return Answer({"verdict": told, "intervals": rows}, rows, columns, text)


@command(
    "export",
    "peercell results export --out tables",
    "peercell results export rural1 --out tables --format parquet",
    "peercell results export runs/loss --tables runs,rounds --out tables",
)
@click.argument("name", metavar="[RUN]", required=False)
@click.option(
    "--out",
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
    "--tables",
    "names",
    envvar="PEERCELL_RESULTS_EXPORT_TABLES",
    default="",
    metavar="NAME,NAME",
    help="Only these; all if none is named.",
)
@click.pass_obj
def export(session: Session, name: str | None, out: Path, form: TableFormat, names: str) -> None:
    """Write the tables of a run or a sweep as CSV or Parquet files.

    Those of a run are its intervals, how prices moved in their rounds, what each member settled,
    who sold to whom, and what each prosumer delivered. Those of a sweep are its runs, their
    intervals and the rounds of these.
    """
    wanted = [each for each in names.replace(" ", "").split(",") if each]
    found = some_tables(find_results(session.home, name), wanted)
    out.mkdir(parents=True, exist_ok=True)
    for each, table in found.items():
        path = out / f"{each}.{form}"
        write_table(path, table, form)
        hint(f"{path}: {len(table.rows)} rows")


def with_columns(run: Callable[..., None]) -> Callable[..., None]:
    """Return a command that also has the options of what is drawn over what, as one argument."""

    @click.option("--y", required=True, help="Column whose median and band are drawn.")
    @click.option("--x", required=True, help="Column over which.")
    @click.option("--by", default="", help="Column of whose values each gets a curve.")
    @wraps(run)
    def command(x: str, y: str, by: str, **others: object) -> None:
        run(columns=Columns(x, y, by), **others)

    return command


@command(
    "plot",
    "peercell results plot runs/loss --y residual --x round --by network.loss -o fig.pdf",
    "peercell results plot runs/loss --y rounds_max --x network.loss -o fig.svg",
    "peercell results plot rural1 --y residual --x round --by interval -o fig.png",
)
@click.argument("name", metavar="[RUN]", required=False)
@with_columns
@click.option(
    "--band",
    type=band_param,
    default="p10-p90",
    show_default=True,
    metavar="pLOW-pHIGH",
    help="Percentiles between which the band lies.",
)
@click.option(
    "-o",
    "--out",
    type=picture,
    required=True,
    metavar="FILE",
    help="Picture to write: .pdf, .svg or .png.",
)
@click.pass_obj
def plot(session: Session, name: str | None, columns: Columns, band: Band, out: Path) -> None:
    """Draw a column of a sweep or a run over another, with a band.

    Needs the extra [plot]. The columns are those of the tables that `results export` writes. A name
    may leave out its end: `residual` is `residual_eur_per_kwh`.
    """
    results = find_results(session.home, name)
    table, found = find(tables(results), columns)
    drawn = [*curves(table, found, band)]
    draw_curves(drawn, found, band, _title(results), out)
    hint(f"{out}: {len(drawn)} curves from {len(table.rows)} rows")


@data_command("repro", "peercell results repro runs/loss/0042")
@click.argument("run", type=click.Path(path_type=Path), metavar="FOLDER/NUMBER")
def repro(run: Path) -> Answer:
    """Print the one command that repeats a run of a sweep."""
    found = repro_of(find_swept_run(run))
    return record(found, repro_text(found))


def _title(results: Results) -> str:
    match results:
        case Sweep(note=note, runs=runs):
            return f"{len(runs)} runs of {Path(note.config).name}"
        case SweptRun(sweep=sweep, run=run):
            return f"run {run.run} of {Path(sweep.note.config).name}"
        case Run(note=note):
            return note.cell


def _swept(sweep: Sweep) -> Answer:
    found = runs_table(sweep.runs)
    keys = dict.fromkeys(("run", *sweep.note.keys), "")
    text = text_table(found.rows, keys | SWEPT_COLUMNS)
    hint = "" if found.rows else f"no run of {sweep.folder} is finished"
    rows = [row for row in map(builtins, found.rows) if isinstance(row, dict)]
    return Answer(rows, rows, tuple(found.columns), text, hint)


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
