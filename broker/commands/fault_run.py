"""`peercell fault run`: a plan of faults on a running cell, and a report of how it recovered."""

from dataclasses import replace
from pathlib import Path

import click
import msgspec

from peercell.agents.errors import MissingExtraError
from peercell.broker.clock import steady_clock
from peercell.broker.commands.options import cell_option
from peercell.broker.configuration.toml_file import Setting
from peercell.broker.faults.campaign import Campaign, watch_campaign
from peercell.broker.faults.plan import FaultPlan, read_plan
from peercell.broker.faults.recovery import (
    Recovery,
    recovery,
    recovery_markdown,
    recovery_text,
)
from peercell.broker.faults.running import end_faults
from peercell.broker.outcomes.results import recorded_run
from peercell.broker.plans.live import RunNote, RunOrder, read_note
from peercell.broker.plots.faults import draw_recovery
from peercell.broker.plots.style import library
from peercell.broker.processes.cell_runs import find_cell
from peercell.broker.simulated_run import simulate
from peercell.broker.terminal.command import Session, data_command, hint
from peercell.broker.terminal.interrupts import Interrupts
from peercell.broker.terminal.output import Answer, record

FAILED = 5


@data_command(
    "run",
    "peercell fault run configs/faults/storm.toml",
    "peercell fault run configs/faults/storm.toml --report storm.md",
)
@click.argument("plan", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Markdown file to write; beside it the numbers as .json and a picture as .png.",
)
@cell_option
@click.pass_obj
def run(session: Session, plan: Path, report: Path | None, cell: str | None) -> Answer:
    """Break a running cell by a plan, and tell how it has recovered.

    Ends with 0 when every step healed within its limit and no message is unaccounted for, and with
    5 when not. Ctrl-C takes all faults back.
    """
    read = read_plan(plan)
    if report is not None:
        # Before anything is broken for a report that could not be drawn.
        library("matplotlib")
    folder = session.home.resolve() / find_cell(session.home, cell).cell
    found = _carried_out(folder, read)
    if report is not None:
        _write(found, report)
    answer = record(found, recovery_text(found), f"report: {report}" if report else "")
    return answer if found.passed else replace(answer, exit_code=FAILED)


def _carried_out(folder: Path, plan: FaultPlan) -> Recovery:
    note = read_note(folder)
    campaign = Campaign(folder, note, plan, steady_clock()())
    with Interrupts() as interrupts:
        try:
            watched = watch_campaign(campaign, hint, interrupts.pause)
        except BaseException:
            end_faults(folder, None)
            raise
    rows = recorded_run(folder, note).intervals if note.journal else ()
    costs_eur = _costs_eur(note, max((row.interval for row in rows), default=0) + 1)
    return recovery(note, watched, rows, costs_eur, campaign.origin_s)


def _costs_eur(note: RunNote, intervals: int) -> dict[int, float]:
    """Return the cost of each of the first intervals without faults; nothing without Mesa."""
    settings = (
        Setting(("clock", "start"), note.calendar.at_first),
        Setting(("clock", "intervals"), intervals),
    )
    hint("for comparison, the same run without faults, simulated")
    try:
        run = simulate(RunOrder(config=Path(note.config), settings=settings), lambda _: None)
    except MissingExtraError as error:
        hint(f"no value lost is told: {error}")
        return {}
    return {row.interval: row.cost_eur for row in run.intervals}


def _write(found: Recovery, report: Path) -> None:
    report.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    draw_recovery(found, report.with_suffix(".png"))
    report.write_text(recovery_markdown(found, report.with_suffix(".png").name))
