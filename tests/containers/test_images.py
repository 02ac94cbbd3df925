"""The images: how large they are, what is in them and what is not, and who works there."""

import json
from typing import Any

import pytest
from tests.containers.engine import BASE, compose_command, done, run, tell

pytestmark = pytest.mark.slow

MB = 1_000_000
# What an agent needs: NumPy is two thirds of it.
AGENT_MB_MAX, GRID_MB_MAX = 90, 260
NOT_IN_AGENT = ("pandas", "pandapower", "scipy", "mesa", "matplotlib", "pip", "pytest")
HOME = ("--tmpfs", "/var/lib/peercell:uid=10001,mode=0700")
SANDBOX = (
    "docker",
    "run",
    "--rm",
    "--init",
    "--read-only",
    "--network",
    "none",
    "--cap-drop",
    "ALL",
)


@pytest.fixture(scope="module")
def compose() -> list[str]:
    """Return the compose command; the images of hosts are built."""
    command = compose_command()
    done(*command, "build", "broker", "physics")
    return command


def inspect(image: str) -> dict[str, Any]:
    """Return what the engine knows of an image."""
    found: dict[str, Any] = json.loads(done("docker", "image", "inspect", image))[0]
    return found


def test_the_compose_file_is_valid(compose: list[str]) -> None:
    assert run(*compose, "config", "--quiet").stdout == ""


@pytest.mark.parametrize(("image", "more_mb"), [("agent", AGENT_MB_MAX), ("grid", GRID_MB_MAX)])
def test_an_image_is_no_larger_than_it_has_to_be(
    compose: list[str], image: str, more_mb: int
) -> None:
    over_mb = (inspect(f"peercell-{image}")["Size"] - inspect(BASE)["Size"]) / MB
    tell(f"{image}: {over_mb:.0f} MB over its base")
    assert over_mb <= more_mb


def test_an_agent_has_nothing_that_it_does_not_need(compose: list[str]) -> None:
    code = f"import importlib.util as u; print([n for n in {NOT_IN_AGENT} if u.find_spec(n)])"
    words = [*SANDBOX, "--entrypoint", "/opt/venv/bin/python", "peercell-agent", "-c", code]
    # pip belongs to the base, and stays outside the environment of the agent.
    assert done(*words) == "[]"


@pytest.mark.parametrize("image", ["agent", "grid"])
def test_a_host_is_no_shell_and_not_root_and_says_how_it_is(compose: list[str], image: str) -> None:
    told = inspect(f"peercell-{image}")["Config"]
    assert told["User"] == "10001:10001"
    assert told["Entrypoint"][0] == "python"
    assert told["Healthcheck"]["Test"][0] == "CMD"
    assert "hosting.pulse" in " ".join(told["Healthcheck"]["Test"])


def test_a_host_runs_on_a_root_that_nobody_can_write_to(compose: list[str]) -> None:
    assert done(*SANDBOX, "peercell-agent", "--version").startswith("peercell ")
    assert done(*SANDBOX, "--entrypoint", "id", "peercell-agent", "-u") == "10001"
    words = (*HOME, "peercell-grid")
    refused = run(*SANDBOX, *words, "host", "configs/rural1.toml", "nobody")
    assert (refused.returncode, "nobody" in refused.stdout) == (1, True), refused.stdout


def test_the_tools_run_a_cell_from_start_to_end(compose: list[str]) -> None:
    done(*compose, "build", "tools")
    told = done(*compose, "run", "--rm", "tools", "demo")
    assert "converged in all 8 intervals" in told
    imports = "import pandapower, matplotlib, mesa"
    words = (*HOME, "--entrypoint", "python", "peercell-tools", "-c", imports)
    done(*SANDBOX, *words)


def test_the_fast_tests_pass_in_a_container(compose: list[str]) -> None:
    done(*compose, "build", "test")
    told = run(*compose, "run", "--rm", "test", "-q")
    assert told.returncode == 0, told.stdout
    assert " passed" in told.stdout
