"""What people do with a cell of real processes: select, follow, watch, restart, pack, interrupt."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.broker.conftest import Run
from tests.broker.live_cell import ROOT, Cell, begin, command, environment, runs, until

pytestmark = pytest.mark.slow

STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def test_peers_are_restarted_by_what_selects_them(cell: Cell) -> None:
    cell.json("wait", "converged", "--timeout", "20s")
    before = cell.peers()
    assert [row["peer"] for row in cell.json("ps", "mg=1")] == ["mg1.trader", "mg1.c1"]
    rows = cell.json("restart", "mg=1,!role=prosumer")
    assert [row["peer"] for row in rows] == ["mg1.trader"]
    after = cell.peers()
    changed = {peer for peer, row in after.items() if row["pid"] != before[peer]["pid"]}
    assert changed == {"mg1.trader"}
    assert after["mg1.trader"]["incarnation"] > before["mg1.trader"]["incarnation"]
    cell.json("wait", "converged", "--timeout", "10s")


def test_logs_are_followed_until_the_cell_ends(cell: Cell) -> None:
    with begin(cell.home, "logs", "role=trader,!mg2.*", "-f", "-o", "jsonl") as logs:
        assert logs.stdout is not None
        lines = [json.loads(logs.stdout.readline()) for _ in range(3)]
        assert [line["peer"] for line in lines] == ["mg1.trader", "mg3.trader", "mg4.trader"]
        assert all("runs as incarnation" in line["line"] for line in lines)
        cell.json("restart", "mg3.trader")
        again = [json.loads(logs.stdout.readline()) for _ in range(2)]
        assert [line["peer"] for line in again] == ["mg3.trader"] * 2
        assert "the process ends: SIGTERM" in again[0]["line"]
        cell.json("down")
        assert "the process ends" in logs.stdout.read()
    assert logs.returncode == 0


def test_packed_peers_share_a_process_and_its_end(run: Run, home: Path) -> None:
    begun = run("--home", str(home), "up", "fast.toml", "--pack", "5", "-o", "json")
    assert begun.code == 0, begun.err
    assert json.loads(begun.out)["processes"] == 1 + 7
    cell = Cell(run, home)
    before = cell.peers()
    mates = [peer for peer, row in before.items() if row["pid"] == before["mg2.trader"]["pid"]]
    assert mates == ["mg1.trader", "mg1.c1", "mg2.trader", "mg2.c2", "mg2.c9"]
    cell.json("wait", "converged", "--timeout", "20s")
    cell.kill("mg2.c2")
    until(lambda: cell.peers()["mg2.trader"]["restarts"] == 1)
    until(lambda: {row["state"] for row in cell.peers().values()} == {"running", "up"})
    after = cell.peers()
    changed = [peer for peer, row in after.items() if row["pid"] != before[peer]["pid"]]
    assert changed == mates
    assert {after[peer]["reason"] for peer in mates} == {"killed by SIGKILL"}
    last = cell.json("status")["traded"]
    until(lambda: (cell.json("status")["traded"] or 0) >= last + 2)
    cell.json("wait", "converged", "--timeout", "10s")
    assert run("--home", str(home), "logs", "mg2.c2").err.splitlines()[-1] == (
        "  try: with --pack, peers share the log of the first one of their process"
    )
    (log,) = {row["peer"] for row in cell.json("logs", "mg1.trader")}
    assert log == "mg1.trader"


def test_a_cell_without_journals_trades_and_leaves_none(
    run: Run, home: Path, tmp_path: Path
) -> None:
    config = tmp_path / "fast.toml"
    config.write_text(config.read_text() + "\n[telemetry]\njournal = false\n")
    refused = run("--home", str(home), "demo", "fast.toml")
    assert (refused.code, refused.err.splitlines()[1:]) == (
        1,
        ["  why: telemetry.journal is false", "  try: peercell up fast.toml"],
    )
    assert run("--home", str(home), "up", "fast.toml").code == 0
    cell = Cell(run, home)
    cell.json("wait", "converged", "--timeout", "20s")
    cell.json("down")
    assert list(home.rglob("*.journal")) == []
    assert run("--home", str(home), "results", "show").err.startswith(
        'peercell: run "rural1" has no journals'
    )


def _loads_zeromq(process: "subprocess.Popen[str]") -> bool:
    return "zmq" in Path(f"/proc/{process.pid}/maps").read_text()


@contextmanager
def frozen(pids: Collection[int]) -> Iterator[None]:
    """Stop processes inside a `with` block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    "words",
    [["status"], ["wait", "converged"], ["watch"], ["logs", "-f"]],
    ids=lambda words: words[0],
)
def test_an_interrupted_look_ends_at_once_and_the_cell_lives(cell: Cell, words: list[str]) -> None:
    # A member that does not answer holds `status` up, and nothing converges without it.
    with (
        frozen({cell.peers()["aggregator"]["pid"]}),
        begin(cell.home, *words) as look,
    ):
        until(lambda: _loads_zeromq(look))
        time.sleep(0.2)
        look.send_signal(signal.SIGINT)
        _, said = look.communicate(timeout=5.0)
    assert (look.returncode, said.splitlines()[-1]) == (130, "peercell: interrupted")
    assert "Traceback" not in said
    until(lambda: {row["state"] for row in cell.peers().values()} == {"running", "up"})


def test_a_cell_in_which_nobody_answers_is_told_of_all_the_same(cell: Cell) -> None:
    """All are waited for at once: one after the other this took more than a minute."""
    peers = {row["pid"] for peer, row in cell.peers().items() if peer != "supervisor"}
    with frozen(peers), begin(cell.home, "status", "-o", "json") as look:
        said, _ = look.communicate(timeout=20.0)
    told = json.loads(said)
    assert not told["converged"]
    assert "aggregator does not answer" in told["unmet"]
    assert told["members"] == []
    cell.json("wait", "converged", "--timeout", "20s")


@pytest.mark.parametrize("begun", ["cell.lock", "mg1.trader.log", "run.json"])
def test_an_interrupted_start_leaves_nothing_behind(home: Path, run: Run, begun: str) -> None:
    with begin(home, "up", "fast.toml") as up:
        until((home / "rural1" / begun).exists)
        up.send_signal(signal.SIGINT)
        _, said = up.communicate(timeout=30.0)
    assert (up.returncode, said.splitlines()[-1]) == (130, "peercell: interrupted")
    assert "Traceback" not in said
    assert run("--home", str(home), "ps").out == ""
    assert not (home / "rural1" / "cell.lock").exists()


def test_an_interrupted_trade_ends_its_processes(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where it keeps what it needs for a while; short, since sockets are in it.
    monkeypatch.setenv("TMPDIR", str(home))
    instance = ROOT / "tests" / "reference" / "trading" / "ring4.json"
    words = ["trade", "solve", str(instance), "--processes", "--tolerance", "1e-300"]
    with begin(home, *words) as trade:
        until(lambda: any(home.glob("peercell-trade-*/trade/*.journal")))
        (lock,) = home.glob("peercell-trade-*/trade/cell.lock")
        supervisor = json.loads(lock.read_text())["pid"]
        trade.send_signal(signal.SIGINT)
        _, said = trade.communicate(timeout=30.0)
    assert (trade.returncode, said.splitlines()[-1]) == (130, "peercell: interrupted")
    assert not list(home.glob("peercell-trade-*"))
    until(lambda: not runs(supervisor))


class Terminal:
    """A pseudo terminal with a process on it."""

    def __init__(self, words: list[str], columns: int, rows: int) -> None:
        self.shown = ""
        self._master, slave = pty.openpty()
        self.resize(columns, rows)
        told = {**environment(), "TERM": "xterm-256color"}
        # The first terminal that a new session opens is its own.
        shell = ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(slave)]
        self.process = subprocess.Popen([*shell, *words], env=told, start_new_session=True)
        self.before = termios.tcgetattr(slave)
        self.slave = slave

    def resize(self, columns: int, rows: int) -> None:
        """Change its size, as a window manager does."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, condition: Callable[[str], bool]) -> None:
        """Read what is drawn until it meets a condition."""
        deadline_s = time.monotonic() + 15.0
        os.set_blocking(self._master, False)
        while not condition(self.shown):
            assert time.monotonic() < deadline_s, self.shown[-3000:]
            try:
                self.shown += os.read(self._master, 65536).decode("utf-8", "replace")
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                assert condition(self.shown), self.shown[-3000:]

    def press(self, keys: str) -> None:
        """Type keys."""
        os.write(self._master, keys.encode())

    def close(self) -> None:
        """End what still runs on it."""
        self.process.kill()
        self.process.wait()
        os.close(self.slave)
        os.close(self._master)


@pytest.fixture
def terminal(cell: Cell) -> Iterator[Terminal]:
    """Return a terminal on which the cell is watched, once it has drawn something."""
    cell.json("wait", "converged", "--timeout", "20s")
    terminal = Terminal(command(cell.home, "watch"), 120, 30)
    try:
        terminal.read_until(lambda shown: "aggregator" in shown and "q ends the view" in shown)
        yield terminal
    finally:
        terminal.close()


def _widths(drawn: str) -> set[int]:
    """Return how wide the lines are of what was drawn."""
    return {len(STYLES.sub("", line).rstrip("\r")) for line in drawn.split("\n")}


@pytest.mark.parametrize(("keys", "code"), [("q", 0), ("\x03", 130)])
def test_a_terminal_shows_the_cell_until_a_key_ends_it(
    cell: Cell, terminal: Terminal, keys: str, code: int
) -> None:
    assert 'cell "rural1"' in terminal.shown
    assert max(_widths(terminal.shown)) == 120
    terminal.press("x")
    terminal.press(keys)
    assert terminal.process.wait(5.0) == code
    terminal.read_until(lambda shown: "\x1b[?1049l" in shown)
    assert termios.tcgetattr(terminal.slave)[3] & termios.ICANON, "the terminal stays raw"
    assert "Traceback" not in terminal.shown
    assert runs(cell.peers()["supervisor"]["pid"])


def test_a_terminal_that_is_resized_is_filled_anew(terminal: Terminal) -> None:
    terminal.resize(60, 12)
    terminal.shown = ""
    # What was on its way is still of the old size.
    terminal.read_until(lambda shown: shown.count("\x1b[H") >= 2)
    terminal.shown = ""
    terminal.read_until(lambda shown: shown.count("\x1b[H") >= 3)
    frame = terminal.shown.split("\x1b[H")[1]
    assert _widths(frame) == {60}
    assert frame.count("\n") <= 12
    terminal.press("q")
    assert terminal.process.wait(5.0) == 0


def test_a_cell_that_ends_ends_the_view(cell: Cell, terminal: Terminal) -> None:
    cell.json("down")
    terminal.read_until(lambda shown: 'cell "rural1" has ended' in shown)
    assert terminal.process.wait(5.0) == 0
