"""The images and the compose file, with a real engine; skipped where there is none."""

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
BASE = "python:3.11-slim-bookworm"
BUILD_S_MAX = 1800


def works(*words: str) -> bool:
    """Return whether a command is there and succeeds."""
    if shutil.which(words[0]) is None:
        return False
    return subprocess.run(words, capture_output=True, timeout=600, check=False).returncode == 0


@pytest.fixture(scope="module")
def compose() -> list[str]:
    """Return the compose command of this machine: version 2, or the older program."""
    if not works("docker", "info"):
        pytest.skip("no Docker engine answers on this machine")
    if not works("docker", "image", "inspect", BASE) and not works("docker", "pull", "-q", BASE):
        pytest.skip(f"the base image {BASE} is neither here nor to be pulled")
    for command in (["docker", "compose"], ["docker-compose"]):
        if works(*command, "version"):
            return [*command, "--project-name", "peercell-tests"]
    pytest.skip("neither docker compose nor docker-compose is installed")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Return the finished command, both streams in one text."""
    return subprocess.run(
        words,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_S_MAX,
        check=False,
    )


def test_the_compose_file_is_valid(compose: list[str]) -> None:
    assert run(*compose, "config", "--quiet").stdout == ""


def test_compose_up_runs_a_cell_until_it_ends(compose: list[str]) -> None:
    done = run(*compose, "up", "--build")
    run(*compose, "down")
    assert done.returncode == 0, done.stdout
    assert "exited with code 0" in done.stdout, done.stdout
    assert "converged in all 8 intervals" in done.stdout, done.stdout


def test_the_image_is_for_use_and_nobody_is_root_in_it(compose: list[str]) -> None:
    assert run(*compose, "build", "demo").returncode == 0
    image = ["docker", "run", "--rm", "--network", "none"]
    assert run(*image, "--entrypoint", "id", "peercell-tools", "-u").stdout.strip() == "10001"
    imports = "import pandapower, matplotlib"
    assert run(*image, "--entrypoint", "python", "peercell-tools", "-c", imports).returncode == 0
    assert run(*image, "peercell-tools", "grid", "compile", "--help").returncode == 0
    assert run(*image, "--entrypoint", "pytest", "peercell-tools").returncode != 0


def test_the_fast_tests_pass_in_a_container(compose: list[str]) -> None:
    assert run(*compose, "build", "test").returncode == 0
    done = run(*compose, "run", "--rm", "test", "-q")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
