"""`peercell sweep`: many simulated runs of a config, with other settings and other seeds."""

from collections.abc import Callable
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from peercell.broker.configuration.setting import Axis
from peercell.broker.configuration.setting import axis as axis_param
from peercell.broker.sweeps.engines import Engine, outcomes
from peercell.broker.sweeps.folder import SweepWriter
from peercell.broker.sweeps.progress import ProgressLine, Tally
from peercell.broker.sweeps.sweep import (
    RUNS_MAX,
    Finished,
    SweepOrder,
    case_count,
    cases,
    check_order,
    config_hash,
)
from peercell.broker.sweeps.tables import SUMMARY_FORMATS, summary
from peercell.broker.terminal.command import Session, data_command, hint
from peercell.broker.terminal.interrupts import Interrupts
from peercell.broker.terminal.output import Answer, table
from peercell.broker.terminal.params import day as day_param

SOME_FAILED = 1


class Workers(Struct, frozen=True):
    """Who does the runs of a sweep, and how many at once; None for one a core."""

    engine: Engine
    jobs: int | None


def with_order(run: Callable[..., Answer]) -> Callable[..., Answer]:
    """Return a command that also has the options of which runs are wanted, as one argument."""

    @click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
    @click.option(
        "--set",
        "axes",
        metavar="KEY=VALUES",
        envvar="PEERCELL_SWEEP_SET",
        type=axis_param,
        multiple=True,
        help="Values of a key of the config: a list with commas, a range first:last:step, or both."
        " Given several times, each value of one goes with each of the others.",
    )
    @click.option(
        "--seeds",
        type=click.IntRange(1, RUNS_MAX),
        default=1,
        show_default=True,
        help="Runs for each of the settings; more of them later add to those that are there.",
    )
    @click.option(
        "--seed",
        type=click.IntRange(0, 2**32 - 1),
        default=1,
        show_default=True,
        help="What the seeds of the runs are made from.",
    )
    @click.option(
        "--day", type=day_param, help="Run this whole day instead of what the config says."
    )
    @click.option(
        "--faults",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Plan of what is broken in every run; if it has no seed, by that of the run.",
    )
    @wraps(run)
    def command(config: Path, axes: tuple[Axis, ...], **others: Any) -> Answer:
        told = {key: others.pop(key) for key in ("seeds", "seed", "day", "faults")}
        order = SweepOrder(config=config, axes=axes, **told)
        return run(order=order, **others)

    return command


def with_workers(run: Callable[..., Answer]) -> Callable[..., Answer]:
    """Return a command that also has the options of who does the runs, as one argument."""

    @click.option(
        "--jobs", type=click.IntRange(1, 10_000), help="Runs at once; one a core if not given."
    )
    @click.option(
        "--engine",
        type=click.Choice(Engine, case_sensitive=False),
        default=Engine.LOCAL,
        show_default=True,
        help="Processes of this machine, or the Ray cluster of RAY_ADDRESS (extra [ray]).",
    )
    @wraps(run)
    def command(jobs: int | None, engine: Engine, **others: object) -> Answer:
        return run(workers=Workers(engine, jobs), **others)

    return command


@data_command(
    "sweep",
    "peercell sweep configs/rural1.toml --set network.loss=0:40%:10% --seeds 20 --out runs/loss",
    "peercell sweep configs/rural1.toml --faults storm.toml --seeds 9 --out runs/storm",
)
@with_order
@with_workers
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the results; what is there is not run again.",
)
@click.pass_obj
def sweep(session: Session, order: SweepOrder, workers: Workers, out: Path) -> Answer:
    """Run a config simulated, with other settings and other seeds.

    Each run is written down when it ends, so a sweep that was interrupted goes on where it was when
    the same command is given again. Ends with 1 when runs could not be finished: failed.csv in the
    folder says why.
    """
    check_order(order)
    with SweepWriter(out, order, config_hash(order.config, order.faults)) as writer:
        tally = _run(order, workers, writer, quiet=session.quiet)
        return _answer(order, writer.finished(), tally, out)


def _run(order: SweepOrder, workers: Workers, writer: SweepWriter, *, quiet: bool) -> Tally:
    """Do those runs that are not done yet."""
    there = {run.run for run in writer.finished()}
    missing = (case for case in cases(order, writer.config_hash) if case.number not in there)
    total = case_count(order)
    tally = Tally(total, sum(number < total for number in there), str(writer.files.failed))
    with Interrupts() as interrupts, ProgressLine(tally, hint, quiet=quiet) as line:

        def look() -> None:
            interrupts.check()
            line.show()

        with closing(outcomes(workers.engine, missing, workers.jobs, look)) as ended:
            for outcome in ended:
                writer.put(outcome)
                tally.count(done=isinstance(outcome, Finished))
    return tally


def _answer(order: SweepOrder, runs: list[Finished], tally: Tally, out: Path) -> Answer:
    rows = summary([run for run in runs if run.run < tally.total])
    keys = [axis.key for axis in order.axes]
    data = {"folder": str(out), "runs": tally.total, "done": tally.done, "failed": tally.failed}
    return Answer(
        {**data, "settings": rows},
        rows,
        (*keys, *SUMMARY_FORMATS),
        table(rows, dict.fromkeys(keys, "") | SUMMARY_FORMATS),
        f"next: peercell results plot {out} --y residual --x round"
        f"{f' --by {keys[0]}' if keys else ''} -o fig.pdf",
        exit_code=SOME_FAILED if tally.failed else 0,
    )
