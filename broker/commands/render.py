"""`peercell render`: a cell as containers."""

from datetime import date
from pathlib import Path

import click

from peercell.broker.plans.live import RunOrder
from peercell.broker.rendering.compose import render_compose
from peercell.broker.rendering.kubernetes import kustomization, render_kubernetes
from peercell.broker.rendering.services import deployment
from peercell.broker.rendering.swarm import render_swarm
from peercell.broker.terminal.command import command, hint
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


@command(
    "swarm",
    "peercell render swarm configs/rural1.toml --day 2016-05-28",
)
@_config_argument
@_day_option
@click.option(
    "--keys",
    default="keys",
    show_default=True,
    help="Folder that `peercell keys deal` has made, seen from where the stack is deployed.",
)
def swarm(config: Path, day: date | None, keys: str) -> None:
    """Print a stack of a cell for Docker Swarm.

    Each host is a service with one task, whose keys are secrets.
    """
    words = ["peercell render swarm", str(config), *(["--day", f"{day}"] if day else [])]
    words += ["--keys", keys] if keys != "keys" else []
    cell = deployment(RunOrder(config=config, day=day))
    say(render_swarm(cell, str(config), " ".join(words), keys).rstrip("\n"))


@command(
    "k8s",
    "peercell render k8s configs/rural1.toml --day 2016-05-28",
    "peercell render k8s configs/rural1.toml --out deploy",
)
@_config_argument
@_day_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for kustomize, with a base and overlays, instead of one stream.",
)
def k8s(config: Path, day: date | None, out: Path | None) -> None:
    """Print the manifests of a cell for Kubernetes.

    Each host is a StatefulSet of one pod. Nothing secret is printed: keys are made by
    `peercell keys deal`.
    """
    cell = deployment(RunOrder(config=config, day=day))
    if out is None:
        words = ["peercell render k8s", str(config), *(["--day", f"{day}"] if day else [])]
        say(render_kubernetes(cell, " ".join(words)).rstrip("\n"))
        return
    for path, text in kustomization(cell).items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(text)
    keys = out / "base" / "keys"
    hint(
        f"next: peercell keys deal {config} --out {keys}"
        f"     kubectl apply -k {out}/overlays/one-node"
    )
