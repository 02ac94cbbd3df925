"""Agents and grid services run on 64-bit ARM: every locked package has a wheel for it."""

import subprocess
import sys
from pathlib import Path

import pytest
from packaging.tags import Tag
from packaging.utils import canonicalize_name, parse_wheel_filename
from tests.test_locks import pins

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
# What Debian 12 and newer, and Raspberry Pi OS with them, can run.
PLATFORMS = [f"manylinux_2_{minor}_aarch64" for minor in range(17, 37)] + ["manylinux2014_aarch64"]
PYTHON = "3.11"


def test_every_package_of_an_agent_and_of_a_grid_service_has_a_wheel(tmp_path: Path) -> None:
    """The lock of the extra `grid` has all that stands in those of agent and core."""
    wanted = pins("grid", PYTHON)
    assert pins("agent", PYTHON).items() <= pins("core", PYTHON).items() <= wanted.items()
    words = ["download", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    words += [word for each in PLATFORMS for word in ("--platform", each)]
    words += ["--implementation", "cp", "--python-version", PYTHON, "--dest", str(tmp_path)]
    lock = ROOT / "requirements" / "grid.lock"
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words, "--requirement", str(lock)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {}
    for wheel in tmp_path.glob("*.whl"):
        name, version, _, tags = parse_wheel_filename(wheel.name)
        assert any(_fits(tag) for tag in tags), wheel.name
        found[canonicalize_name(name)] = str(version)
    assert found == {canonicalize_name(name): version for name, version in wanted.items()}


def _fits(tag: Tag) -> bool:
    return tag.platform == "any" or tag.platform in PLATFORMS
