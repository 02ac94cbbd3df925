"""`peercell render`: a cell as containers."""

from datetime import date
from pathlib import Path

import click

from peercell.broker.plans.live import RunOrder
from peercell.broker.rendering.compose import render_compose
from peercell.broker.rendering.services import deployment
from peercell.broker.terminal.command import command
from peercell.broker.terminal.output import say
from peercell.broker.terminal.params import day as day_param

_FILE = click.Path(path_type=Path, dir_okay=False)
_config_argument = click.argument("config", type=_FILE)
_day_option = click.option(
    "--day", type=day_param, help="Live this whole day instead of what the config says."
)


@command(
    "compose",
    "peercell render compose configs/rural1.toml --day 2016-05-28",
    "peercell render compose configs/rural1.toml --secrets keys",
)
@_config_argument
@_day_option
@click.option(
    "--split", type=_FILE, help="Config of a second cell, with one container a peer, in a profile."
)
@click.option(
    "--secrets",
    default="",
    help="Folder of the keys that `peercell keys deal` made; they are made at the start if none.",
)
def compose(config: Path, day: date | None, split: Path | None, secrets: str) -> None:
    """Print a Compose file for a cell, a service for each of its parties.

    It is valid for docker-compose 1.29.2 and Compose v2, and to be run in the folder of the
    Dockerfile.
    """
    order = RunOrder(config=config, day=day)
    second = None if split is None else deployment(RunOrder(config=split), split=True)
    words = ["peercell render compose", str(config), *(["--day", f"{day}"] if day else [])]
    words += ["--split", str(split)] if split else []
    words += ["--secrets", secrets] if secrets else []
    say(render_compose(deployment(order), second, " ".join(words), secrets).rstrip("\n"))
