"""Real installations: ./peercell without a network, and the wheel far from its checkout."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", "__pycache__", "*.egg-info", ".*_cache", "run", "runs"
)
CERTIFIED = "converged in all 8 intervals"


def run(words: list[str], folder: Path, **settings: str) -> str:
    """Return what a command answers; it must succeed."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        words,
        cwd=folder,
        env=inherited | settings,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def home() -> Iterator[dict[str, str]]:
    """Return the setting for a folder of runs; the path of a socket in it has to be short."""
    with tempfile.TemporaryDirectory(prefix="peercell-") as folder:
        yield {"PEERCELL_HOME": folder}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of this checkout in a folder with a space."""
    folder = tmp_path_factory.mktemp("install") / "my work" / "peer cell"
    shutil.copytree(ROOT, folder, symlinks=True, ignore=LEFT_OUT)
    return folder


def test_a_folder_of_wheels_is_enough(checkout: Path, home: dict[str, str], tmp_path: Path) -> None:
    lock = ROOT / "requirements/core.lock"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    run([*pip, "--requirement", str(lock), "--dest", "wheels"], tmp_path)
    offline = {
        "PYTHON": sys.executable,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_FIND_LINKS": "wheels",
    }
    assert "peercell" in run([str(checkout / "peercell"), "--version"], tmp_path, **offline)
    assert CERTIFIED in run([str(checkout / "peercell"), "demo"], tmp_path, **home)
    assert "rural1" in run([str(checkout / ".venv/bin/peercell"), "grid", "ls"], tmp_path)


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run([*pip, "--wheel-dir", str(folder), str(checkout)], folder)
    return next(folder.glob("peercell-*.whl"))


def test_the_wheel_holds_every_file_of_the_code_once(wheel: Path, checkout: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = [name for name in archive.namelist() if name.startswith("peercell/")]
    assert len(packed) == len(set(packed))
    expected = {
        f"peercell/{path.relative_to(checkout).as_posix()}"
        for folder in ("agents", "broker", "configs", "grid")
        for path in (checkout / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected |= {f"peercell/{name}" for name in ("__init__.py", "__main__.py", "py.typed")}
    assert set(packed) == expected, "add what is missing to package-data in pyproject.toml"


@pytest.mark.parametrize("folder", [Path("/"), ROOT], ids=["far away", "in the checkout"])
def test_the_wheel_runs_the_demo(
    wheel: Path, folder: Path, home: dict[str, str], tmp_path: Path
) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    run([*pip, "--target", str(tmp_path), str(wheel)], tmp_path)
    python = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    where = run(
        [sys.executable, "-c", "import peercell.grid as g; print(g.__file__)"], folder, **python
    )
    assert Path(where.strip()).is_relative_to(tmp_path)
    assert CERTIFIED in run([sys.executable, "-m", "peercell", "demo"], folder, **python, **home)
