"""A cell as a stack on a real Swarm of one node: it converges, loses a task, and is scaled."""

import time
from collections.abc import Iterator
from datetime import date

import pytest
from tests.containers.engine import (
    RURAL1,
    Shown,
    await_room,
    compose_command,
    done,
    run,
    take_down,
    tell,
    took_s,
)

from peercell.broker.plans.live import RunOrder
from peercell.broker.rendering.services import deployment
from peercell.broker.rendering.swarm import render_swarm

pytestmark = pytest.mark.slow

STACK = "peercell-swarm"
UP_S_MAX, BACK_S_MAX, MISSED_S_MAX, GONE_S_MAX = 90.0, 60.0, 60.0, 60.0
SANDBOX = ("docker", "run", "--rm", "--user", "0:0", "--network", "none", "--env")


def containers(label: str, *more: str) -> list[str]:
    """Return the containers that run with a label of Swarm, or with `--all` those that have."""
    found = done("docker", "ps", "--quiet", *more, "--filter", f"label=com.docker.{label}")
    return found.split()


def task(service: str) -> list[str]:
    """Return the containers of a service."""
    return containers(f"swarm.service.name={STACK}_{service}")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    compose = compose_command()
    done(*compose, "build", "broker", "physics")
    take_down(compose)
    if done("docker", "info", "--format", "{{.Swarm.LocalNodeState}}") != "inactive":
        pytest.skip("this engine belongs to a Swarm already")
    folder = tmp_path_factory.mktemp("stack")
    deal = ("keys", "deal", "configs/rural1.toml", "--out", "/keys")
    volume = ("--volume", f"{folder}:/keys")
    done(*SANDBOX, "PEERCELL_HOME=/keys", *volume, "peercell-agent", *deal)
    cell = deployment(RunOrder(config=RURAL1, day=date(2016, 5, 28)))
    file = folder / "stack.yml"
    file.write_text(render_swarm(cell, "configs/rural1.toml", "the test", str(folder)))
    done("docker", "swarm", "init", "--advertise-addr", "127.0.0.1")
    try:
        await_room(RURAL1, day=True, need_s=180.0)
        done("docker", "stack", "deploy", "--compose-file", str(file), STACK)
        yield Shown(8080)
    finally:
        run("docker", "stack", "rm", STACK)
        began_s = time.monotonic()
        # An ended container still holds its volume.
        left = f"stack.namespace={STACK}"
        while containers(left, "--all") and time.monotonic() - began_s < GONE_S_MAX:
            time.sleep(0.5)
        done("docker", "swarm", "leave", "--force")
        volumes = done("docker", "volume", "ls", "--quiet", "--filter", f"name={STACK}_")
        run("docker", "volume", "rm", *volumes.split())


def test_a_stack_converges_and_survives_a_lost_task_and_scaling(shown: Shown) -> None:
    def tasks() -> str:
        return done("docker", "stack", "ps", "--no-trunc", STACK)

    tell(f"stack: converged after {took_s(shown.converged, UP_S_MAX, tasks):.1f} s")

    (lost,) = task("mg2")
    done("docker", "kill", lost)
    at = shown.interval()
    back_s = took_s(lambda: shown.settled_after(at, restarts=1), BACK_S_MAX, tasks)
    tell(f"lost a task: {back_s:.1f} s")
    assert task("mg2") not in ([], [lost])

    done("docker", "service", "scale", "--detach", f"{STACK}_mg3=0")
    took_s(lambda: not shown.converged(), MISSED_S_MAX, tasks)
    done("docker", "service", "scale", "--detach", f"{STACK}_mg3=1")
    at = shown.interval()
    tell(f"scaled: {took_s(lambda: shown.settled_after(at), BACK_S_MAX, tasks):.1f} s")
