"""Which run a command wants: a config, what holds in place of it, and how to call the run."""

from collections.abc import Callable
from datetime import date
from functools import wraps
from pathlib import Path

import click

from peercell.broker.configuration.setting import setting as setting_param
from peercell.broker.configuration.toml_file import Setting
from peercell.broker.plans.live import RunOrder
from peercell.broker.terminal.output import Answer
from peercell.broker.terminal.params import day as day_param


def with_order(run: Callable[..., Answer]) -> Callable[..., Answer]:
    """Return a command that also has the options of which run is wanted, as one argument."""

    @click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
    @click.option(
        "--set",
        "settings",
        metavar="KEY=VALUE",
        envvar="PEERCELL_RUN_SET",
        type=setting_param,
        multiple=True,
        help="A value in place of what the config says, such as network.loss=30%.",
    )
    @click.option(
        "--day", type=day_param, help="Run this whole day instead of what the config says."
    )
    @click.option("--name", help="Name of the run; that of the cell when not given.")
    @wraps(run)
    def command(
        config: Path,
        settings: tuple[Setting, ...],
        day: date | None,
        name: str | None,
        **others: object,
    ) -> Answer:
        order = RunOrder(config=config, settings=settings, day=day, name=name)
        return run(order=order, **others)

    return command
