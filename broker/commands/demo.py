"""`peercell demo`: a cell from start to end on the terminal."""

from dataclasses import replace
from pathlib import Path

import click

from peercell.broker.cell_runs import begin, end
from peercell.broker.command import Session, data_command, hint
from peercell.broker.demo import check_journals, demo_config, follow
from peercell.broker.interrupts import Interrupts
from peercell.broker.output import Answer, record
from peercell.broker.run_text import run_text
from peercell.broker.verdict import verdict_text

NAMED_MAX = 3
NOT_CONVERGED = 5


@data_command("demo", "peercell demo", "peercell demo configs/case33.toml --stay")
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--stay", is_flag=True, help="Leave the cell running at the end.")
@click.option("--name", help="Name of the run; that of the cell when not given.")
@click.pass_obj
def demo(session: Session, config: Path | None, stay: bool, name: str | None) -> Answer:
    """Run a cell from start to end and tell how it went.

    Every peer is a process. Without a config it is a village of four microgrids. Ends with 0 when
    every interval was settled and certified, and with 5 when not. Ctrl-C ends all processes.
    """
    path = config or demo_config()
    check_journals(path)
    with Interrupts() as interrupts:
        begun = begin(session.home, path, name, 1, interrupts.pause)
        try:
            hint(run_text(begun))
            told = follow(begun, hint, interrupts.pause)
        except BaseException:
            end(begun.folder)
            raise
        if not stay:
            end(begun.folder)
    look = f"peercell results show {told.cell}"
    text = verdict_text(told)
    if told.converged:
        return record(told, text, f"next: {'peercell down' if stay else look}")
    unmet = "\n  ".join(("not converged:", *told.unmet[:NAMED_MAX]))
    return replace(record(told, text, f"{unmet}\nnext: {look}"), exit_code=NOT_CONVERGED)
