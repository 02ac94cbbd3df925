"""The lock files under requirements/: by hash, without addresses, all of one mind."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCKS = {path.stem: path.read_text() for path in sorted((ROOT / "requirements").glob("*.lock"))}
PYTHONS = ("3.11", "3.12", "3.13")


def pins(lock: str, python: str) -> dict[str, str]:
    """Return the version of every package that a lock installs under one Python, by name."""
    environment = {"python_version": python, "python_full_version": f"{python}.1"}
    lines = re.findall(r"^([a-z0-9][\w.-]*)==([^\s;]+)(?: ; (.*?))? \\$", LOCKS[lock], re.M)
    return {
        name: version
        for name, version, marker in lines
        if not marker or Marker(marker).evaluate(environment)
    }


def test_there_is_a_lock_for_every_way_to_install() -> None:
    assert LOCKS.keys() == {
        "agent",
        "core",
        "grid",
        "simbench",
        "plot",
        "parquet",
        "solver",
        "sim",
        "ray",
        "dev",
    }


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_hashes_and_no_address(lock: str) -> None:
    text = LOCKS[lock]
    for word in ("://", "index-url", "find-links", "trusted-host", "file:", "@"):
        assert word not in text, f"requirements/{lock}.lock holds {word!r}: run make lock"
    unhashed = re.findall(r"^([a-z0-9]\S*)(?!.*\\$).*$", text, re.M)
    assert not unhashed, f"run make lock: no hash for {unhashed}"


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_brings_a_compiler(lock: str) -> None:
    assert "numba" not in pins(lock, "3.11"), "it weighs 220 MB, and nothing here needs it"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_locks_can_be_installed_over_each_other(lock: str, python: str) -> None:
    whole = pins("dev", python)
    assert pins(lock, python).items() <= whole.items(), "the locks differ: run make lock"
    least = "agent" if lock == "agent" else "core"
    assert pins(least, python).items() <= pins(lock, python).items()


@pytest.mark.parametrize("python", PYTHONS)
def test_the_locks_keep_the_bounds_of_pyproject(python: str) -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = pyproject["project"]["optional-dependencies"]
    asked = {
        "agent": pyproject["project"]["dependencies"],
        "core": [*pyproject["project"]["dependencies"], *extras["sparse"]],
        "grid": extras["grid"],
        "simbench": extras["simbench"],
        "plot": extras["plot"],
        "parquet": extras["parquet"],
        "sim": extras["sim"],
        "ray": extras["ray"],
        "dev": pyproject["dependency-groups"]["dev"],
    }
    for lock, lines in asked.items():
        for wanted in map(Requirement, lines):
            if wanted.name != "peercell":
                version = pins(lock, python).get(canonicalize_name(wanted.name), "0")
                assert wanted.specifier.contains(version), f"{lock}: {wanted}: run make lock"
