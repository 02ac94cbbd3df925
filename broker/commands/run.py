"""`peercell run` and `peercell demo`: a cell from start to end on the terminal."""

from dataclasses import replace
from pathlib import Path

import click
from msgspec import structs

from peercell.broker.commands.options import lab_option
from peercell.broker.commands.run_options import with_order
from peercell.broker.configuration.toml_file import Setting
from peercell.broker.faults.campaign import Campaign
from peercell.broker.faults.plan import FaultPlan, read_plan
from peercell.broker.outcomes.verdict import Verdict, late_text, verdict, verdict_text
from peercell.broker.plans.live import RunOrder
from peercell.broker.processes.cell_runs import begin, end
from peercell.broker.simulated_run import simulate
from peercell.broker.terminal.command import Session, data_command, hint
from peercell.broker.terminal.demo import WHOLE_DAY, check_journals, demo_config, follow
from peercell.broker.terminal.interrupts import Interrupts
from peercell.broker.terminal.output import Answer, record
from peercell.broker.terminal.run_text import run_text

NAMED_MAX = 3
NOT_CONVERGED = 5


@data_command(
    "run",
    "peercell run configs/rural1.toml --day 2016-05-28",
    "peercell run configs/semiurb4.toml --sim -o json",
    "peercell run configs/rural1.toml --sim --set network.loss=30% --set clock.intervals=2",
    "peercell run configs/rural1.toml --sim --seed 7 --faults configs/faults/storm.toml",
)
@with_order
@click.option(
    "--processes/--sim",
    default=True,
    help="Each peer a process of its own, or all in this process on a virtual clock.",
    show_default=True,
)
@click.option(
    "--faults",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Plan of what to break when, as for `peercell fault run`.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="Of all chance, instead of what the config says."
)
@click.pass_obj
def run(
    session: Session, order: RunOrder, processes: bool, faults: Path | None, seed: int | None
) -> Answer:
    """Run a config, or a whole day of it, in processes or simulated.

    It runs from start to end and tells how it went. With --sim nothing is left behind: no
    processes, no journals. Ends with 0 when every interval was settled and certified, and with 5
    when not.
    """
    if seed is not None:
        chosen = (*order.settings, Setting(("seed",), seed))
        order = structs.replace(order, settings=chosen)
    plan = FaultPlan() if faults is None else read_plan(faults)
    if processes:
        return _in_processes(session.home, order, plan, stay=False)
    return _told(verdict(simulate(order, hint, plan), plan.steps), "")


@data_command("demo", "peercell demo", "peercell demo --stay", "peercell demo configs/case33.toml")
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--stay", is_flag=True, help="Leave the cell running; the village trades till night.")
@click.option("--name", help="Name of the run; that of the cell when not given.")
@lab_option
@click.pass_obj
def demo(session: Session, config: Path | None, stay: bool, name: str | None, lab: bool) -> Answer:
    """Run a cell from start to end and tell how it went.

    Every peer is a process. Without a config it is a village of four microgrids that trades for two
    hours, 40 s; with --stay for the whole day, six minutes, so that there is time to break it. Ends
    with 0 when every interval was settled and certified, and with 5 when not. Ctrl-C ends all
    processes.
    """
    settings = WHOLE_DAY if stay and config is None else ()
    order = RunOrder(config=config or demo_config(), settings=settings, name=name, lab=lab)
    return _in_processes(session.home, order, FaultPlan(), stay=stay)


def _in_processes(home: Path, order: RunOrder, faults: FaultPlan, *, stay: bool) -> Answer:
    check_journals(order)
    with Interrupts() as interrupts:
        begun = begin(home, order, interrupts.pause)
        try:
            hint(run_text(begun))
            campaign = Campaign(begun.folder, begun.note, faults, begun.note.begins_s)
            told = follow(begun, hint, campaign.during(interrupts.pause))
        except BaseException:
            end(begun.folder)
            raise
        late = tuple(map(late_text, campaign.to_come))
        told = structs.replace(told, faults=(*told.faults, *late))
        if not stay:
            end(begun.folder)
    return _told(told, "peercell down" if stay else f"peercell results show {told.cell}")


def _told(told: Verdict, look: str) -> Answer:
    next_step = f"next: {look}" if look else ""
    text = verdict_text(told)
    if told.converged:
        return record(told, text, next_step)
    unmet = "\n  ".join(("not converged:", *told.unmet[:NAMED_MAX]))
    said = "\n".join(filter(None, (unmet, next_step)))
    return replace(record(told, text, said), exit_code=NOT_CONVERGED)
