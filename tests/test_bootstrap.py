"""./peercell on machines of every kind: what it makes, when it waits, and how it fails.

The fast tests give the script a small interpreter of our own that notes what it is asked and makes
an environment of one file; the slow ones install for real.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SETUP_FAILED = 3
WAIT_S_MAX = 20.0

# Answers as the real one does to everything that the script asks, and writes one line a call.
# Only for the lock it asks the real one.
INTERPRETER = """#!/bin/sh
echo "$*" >>"$LOG"
case "$*" in
  *"import fcntl"*) exec "$REAL" "$@" ;;
  *version_info*) echo "${VERSION:-3.11}"; [ "${VERSION:-3.11}" != 3.9 ] ;;
  *"import ensurepip"*) [ -z "${NO_ENSUREPIP-}" ] ;;
  "-m venv "*) mkdir -p "$3/bin" "$3/site" && cp "$0" "$3/bin/python" ;;
  "-m pip install "*)
    [ -z "${HOLD-}" ] || exec "$REAL" -c "import signal; open('$HOLD', 'w'); signal.pause()"
    [ -z "${PIP_FAILS-}" ] || { echo "ERROR: no route to the index" >&2; exit 1; } ;;
  *sysconfig*) echo "$(dirname "$(dirname "$0")")/site" ;;
  "-P -m peercell"*) shift 3; for word; do echo "<$word>"; done ;;
esac
"""


@dataclass(frozen=True)
class Checkout:
    """A checkout of ours in a folder with a space, and the interpreter that it finds."""

    root: Path
    log: Path
    environment: dict[str, str]

    @property
    def venv(self) -> Path:
        """The environment that the script makes unless told otherwise."""
        return self.root / ".venv"

    @property
    def lock(self) -> Path:
        """The file that is locked while somebody installs, and empty when nobody does."""
        return self.root / ".venv.lock"

    def start(self, *words: str, **settings: str) -> subprocess.Popen[str]:
        """Start a call and return its process."""
        return subprocess.Popen(
            [str(self.root / "peercell"), *words],
            cwd=self.root.parent,
            env=self.environment | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def call(self, *words: str, **settings: str) -> tuple[int, str, str]:
        """Return exit code, answer and messages of one call."""
        return finish(self.start(*words, **settings))

    def asked(self, words: str) -> int:
        """Return how often the interpreter was called with these words."""
        return self.log.read_text().count(words) if self.log.exists() else 0


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return exit code, answer and messages of a process that ends."""
    answer, messages = process.communicate(timeout=WAIT_S_MAX)
    return process.returncode, answer, messages


def wait_for(path: Path) -> None:
    """Return when the path exists."""
    deadline_s = time.monotonic() + WAIT_S_MAX
    while not path.exists():
        assert time.monotonic() < deadline_s, f"{path} does not appear"
        time.sleep(0.01)


def write_program(path: Path, text: str) -> None:
    """Write a program that can be started."""
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """Return a checkout whose PATH holds the plain tools and our interpreter as python3."""
    root = tmp_path / "my work" / "peer cell"
    root.mkdir(parents=True)
    shutil.copy(ROOT / "peercell", root)
    (root / "requirements").mkdir()
    for name in ("core", "grid", "simbench", "plot", "parquet", "sim", "ray", "dev"):
        (root / f"requirements/{name}.lock").write_text(f"# {name}\n")
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "cat", "chmod", "cmp", "cp", "dirname", "ls", "mkdir", "readlink", "rm"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    write_program(tools / "python3", INTERPRETER)
    log = tmp_path / "asked"
    return Checkout(root, log, {"PATH": str(tools), "LOG": str(log), "REAL": sys.executable})


def test_the_first_call_installs_and_says_where_and_how_long(checkout: Checkout) -> None:
    code, answer, messages = checkout.call("grid", "solve", "a b", "*")
    assert (code, answer) == (0, "<grid>\n<solve>\n<a b>\n<*>\n")
    assert str(checkout.venv) in messages
    assert "minute" in messages
    assert "MB" in messages
    assert checkout.lock.read_text() == ""


def test_the_second_call_says_and_installs_nothing(checkout: Checkout) -> None:
    checkout.call("ps")
    assert checkout.call("ps") == (0, "<ps>\n", "")
    assert checkout.asked("-m venv") == 1


def test_it_works_through_a_link_and_from_its_own_folder(
    checkout: Checkout, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(checkout.root / "peercell")
    done = subprocess.run(
        ["../link", "ps"],
        cwd=tmp_path / "bin",
        env=checkout.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "<ps>\n"
    assert (checkout.venv / "site/peercell.pth").read_text() == f"{checkout.root}/src\n"


def test_the_environment_holds_the_command_too(checkout: Checkout, tmp_path: Path) -> None:
    checkout.call("setup")
    (tmp_path / "link").symlink_to(checkout.venv / "bin/peercell")
    done = subprocess.run(
        [str(tmp_path / "link"), "a b"],
        env=checkout.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "<a b>\n"


def test_settings_choose_interpreter_and_folder(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "bin/python3").rename(tmp_path / "my python")
    elsewhere = tmp_path / "else where" / "environment"
    code, _, messages = checkout.call(
        "ps", PYTHON=str(tmp_path / "my python"), PEERCELL_VENV=f"{elsewhere}/"
    )
    assert code == 0, messages
    assert (elsewhere / "bin/python").exists()
    assert not checkout.venv.exists()


@pytest.mark.parametrize(
    ("words", "extras"),
    [
        ("setup", []),
        ("setup grid plot", ["grid", "plot"]),
        ("grid compile net.json out", ["grid"]),
        ("--home x grid compile net.json", ["grid"]),
        ("grid compile simbench:1-LV-rural1--0-sw -o village", ["simbench"]),
        ("grid compile 1-LV-rural1--0-sw -o village", ["simbench"]),
        ("grid compile net.json --standard-profiles -o village", ["simbench"]),
        ("grid compile --help", []),
        ("grid day rural1 --date 2016-05-28", []),
        ("grid day rural1 --plot day.svg", ["plot"]),
        ("grid day rural1 --plot=day.svg", ["plot"]),
        ("grid plotter", []),
        ("results export two --out t --format parquet", ["parquet"]),
        ("results export --format=parquet --out t", ["parquet"]),
        ("results export --out parquet --format csv", []),
        ("trade solve ring.json", ["sim"]),
        ("trade solve ring.json --processes", []),
        ("run configs/rural1.toml --sim -o json", ["sim"]),
        ("sweep configs/rural1.toml --out a", ["sim"]),
        ("sweep configs/rural1.toml --engine ray --out a", ["sim", "ray"]),
        ("results plot a --y residual --x round -o a.svg", ["plot"]),
        ("fault run storm.toml", ["sim"]),
        ("fault run storm.toml --report storm.md", ["plot", "sim"]),
        ("run configs/rural1.toml", []),
    ],
)
def test_a_command_gets_the_extras_it_needs(
    checkout: Checkout, words: str, extras: list[str]
) -> None:
    code, _, messages = checkout.call(*words.split())
    assert code == 0
    installed = {path.stem for path in (checkout.venv / "peercell").glob("*.lock")}
    assert installed == {"core", *extras}
    assert all(f"the extra {extra}" in messages for extra in extras)


def test_an_extra_is_installed_once(checkout: Checkout) -> None:
    checkout.call("setup", "grid")
    assert checkout.call("grid", "compile")[2] == ""
    assert checkout.asked("grid.lock") == 1


def test_an_unknown_extra_is_an_error_before_anything_is_made(checkout: Checkout) -> None:
    code, _, messages = checkout.call("setup", "grit")
    assert code == SETUP_FAILED
    assert "there is no extra 'grit'" in messages
    assert not checkout.venv.exists()


def test_a_changed_lock_makes_the_environment_anew(checkout: Checkout) -> None:
    checkout.call("setup", "grid")
    (checkout.root / "requirements/core.lock").write_text("# newer\n")
    assert checkout.call("ps")[0] == 0
    assert checkout.asked("-m venv") == 2
    assert not (checkout.venv / "peercell/grid.lock").exists()


def test_a_moved_checkout_makes_the_environment_anew(checkout: Checkout) -> None:
    checkout.call("ps")
    moved = Checkout(
        checkout.root.rename(checkout.root.parent / "moved"), checkout.log, checkout.environment
    )
    assert moved.call("ps")[0] == 0
    assert (moved.venv / "site/peercell.pth").read_text() == f"{moved.root}/src\n"


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"VERSION": "3.9"}, "python3 is 3.9"),
        ({"PYTHON": "/no/such/python"}, "/no/such/python is not there"),
        ({"NO_ENSUREPIP": "yes"}, "sudo apt install python3.11-venv"),
        ({"PIP_FAILS": "yes"}, "ERROR: no route to the index"),
    ],
)
def test_a_machine_that_lacks_something_is_told_what(
    checkout: Checkout, settings: dict[str, str], what: str
) -> None:
    code, answer, messages = checkout.call("ps", **settings)
    assert (code, answer) == (SETUP_FAILED, "")
    assert what in messages
    assert messages.splitlines()[-2].startswith("  why: ")
    assert messages.splitlines()[-1].startswith("  try: ")
    assert not checkout.venv.exists(), "half an environment stayed behind"


def test_a_folder_of_somebody_else_is_left_alone(checkout: Checkout) -> None:
    precious = checkout.venv / "bin" / "thesis.tex"
    precious.parent.mkdir(parents=True)
    precious.write_text("x")
    code, _, messages = checkout.call("ps")
    assert code == SETUP_FAILED
    assert f"{checkout.venv} is in the way" in messages
    assert precious.exists()


def test_a_folder_that_cannot_be_written_is_told(checkout: Checkout) -> None:
    code, _, messages = checkout.call("ps", PEERCELL_VENV="/proc/environment")
    assert code == SETUP_FAILED
    assert "PEERCELL_VENV=" in messages


def test_a_second_call_waits_for_the_first(checkout: Checkout) -> None:
    with checkout.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        print(os.getpid(), file=lock, flush=True)
        waiting = checkout.start("ps")
        assert waiting.stderr is not None
        assert f"waiting for process {os.getpid()}" in waiting.stderr.readline()
        assert not checkout.venv.exists()
    code, answer, _ = finish(waiting)
    assert (code, answer) == (0, "<ps>\n")


def test_calls_at_the_same_time_make_one_environment(checkout: Checkout) -> None:
    calls = [checkout.start("ps") for _ in range(5)]
    assert [finish(call)[:2] for call in calls] == [(0, "<ps>\n")] * 5
    assert checkout.asked("-m venv") == 1


def test_the_lock_of_a_dead_process_stops_nobody(checkout: Checkout) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    checkout.lock.write_text(f"{dead.pid}\n")
    calls = [checkout.start("ps") for _ in range(3)]
    assert [finish(call)[0] for call in calls] == [0, 0, 0]
    assert checkout.asked("-m venv") == 1


@pytest.fixture
def installing(checkout: Checkout, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield a call that is in the middle of installing."""
    # Tests that run in the background of a shell have an ignored SIGINT, which a child would keep.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = checkout.start("ps", HOLD=str(tmp_path / "held"))
    signal.signal(signal.SIGINT, before)
    wait_for(tmp_path / "held")
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_killed_installation_is_started_over(
    checkout: Checkout, installing: subprocess.Popen[str]
) -> None:
    os.killpg(installing.pid, signal.SIGKILL)
    installing.wait()
    code, answer, _ = checkout.call("ps")
    assert (code, answer) == (0, "<ps>\n")
    assert checkout.asked("-m venv") == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_installation_leaves_nothing(
    checkout: Checkout, installing: subprocess.Popen[str], number: signal.Signals, code: int
) -> None:
    os.killpg(installing.pid, number)
    assert finish(installing)[0] == code
    assert not checkout.venv.exists()
    assert checkout.call("ps")[:2] == (0, "<ps>\n")
