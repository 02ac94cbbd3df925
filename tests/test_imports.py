"""Who may import whom, and what a command costs before it does anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parent.parent
HEAVY = {"pandapower", "simbench", "pandas", "scipy", "cvxpy", "mesa", "starlette", "matplotlib"}

COMMAND = """
import atexit, sys
atexit.register(lambda: print(*sorted(set({heavy}) & sys.modules.keys()), file=sys.stderr))
sys.argv = ["peercell", *{arguments}]
from peercell.broker.cli import main
main()
"""

EVERY_MODULE = """
import importlib, pkgutil, sys
import {package}
for module in pkgutil.walk_packages({package}.__path__, "{package}."):
    importlib.import_module(module.name)
print(*sorted(set({heavy}) & sys.modules.keys()), file=sys.stderr)
"""


def loaded(code: str, folder: Path) -> list[str]:
    """Return the heavy libraries that a fresh interpreter has loaded at the end of the code."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()[-1].split()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["grid", "--help"], ["ps"]])
def test_a_command_loads_no_library_that_it_does_not_use(
    arguments: list[str], tmp_path: Path
) -> None:
    code = COMMAND.format(heavy=HEAVY | {"numpy"}, arguments=arguments)
    assert loaded(code, tmp_path) == [], "import it inside the function that needs it"


@pytest.mark.parametrize("package", ["peercell.agents", "peercell.grid"])
def test_a_process_of_a_cell_stays_small(package: str, tmp_path: Path) -> None:
    code = EVERY_MODULE.format(heavy=HEAVY, package=package)
    assert loaded(code, tmp_path) == [], (
        "an agent weighs 3 MB only without it: import it where used"
    )


def test_the_folders_import_in_one_direction(capsys: pytest.CaptureFixture[str]) -> None:
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == 0, capsys.readouterr().out
