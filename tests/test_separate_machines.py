"""A peer on another machine: one with its own environment, one with a network of its own."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.broker.live_cell import fast_config, until

from peercell.agents.trading.contract_messages import MarketStatus, MarketStatusQuery
from peercell.broker.home import CellHome
from peercell.broker.operator_port import UnreachableError, ask
from peercell.broker.processes.cell_runs import end
from peercell.broker.security.identity import load_identity
from peercell.broker.status.live import CODEC

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "run", "runs", "bench", "docs", "tests"
)
PEER = "mg3.trader"
OPERATOR = ("--operator", "operator/operator.secret")


@dataclass
class Machine:
    """A folder of its own, with a command that runs peercell there.

    Parameters
    ----------
    folder : also of its runs, in `run`; its path is short, because sockets need that
    command : what runs peercell; of this interpreter if not given
    code : checkout whose code that runs, unless it is installed there
    """

    folder: Path
    command: list[str] = field(default_factory=lambda: [sys.executable, "-P", "-m", "peercell"])
    code: Path = ROOT

    def call(self, *words: str) -> str:
        """Return what a command says; it must succeed."""
        done = subprocess.run(
            [*self.command, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of ours but the code under test, where it is not installed there."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
        own = self.command[0] != sys.executable and "peercell" in self.command[0]
        return kept if own else {**kept, "PYTHONPATH": str(self.code / "src")}

    @contextmanager
    def running(self, *words: str) -> Iterator[Callable[[], str]]:
        """Run a command meanwhile; give what returns what it has said so far."""
        log = self.folder / "said.log"
        with log.open("w") as said:
            process = subprocess.Popen(
                [*self.command, *words],
                cwd=self.folder,
                env=self.environment,
                stdout=said,
                stderr=said,
            )
            try:
                yield log.read_text
            finally:
                process.terminate()
                process.wait(20)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder with a short path, in which nothing runs afterwards."""
    short = Path(tempfile.mkdtemp(prefix="peercell-"))
    try:
        yield short
    finally:
        for cell in short.glob("*/run/*"):
            end(cell)
        shutil.rmtree(short)


@pytest.fixture
def office(folder: Path) -> Machine:
    """Return the machine of the operator, with keys and a config that names them."""
    machine = Machine(folder / "office")
    machine.folder.mkdir()
    machine.call("keys", "new", "operator", "--out", "operator")
    config = f'{fast_config()}\n[security]\nkeys = "operator"\n'
    (machine.folder / "cell.toml").write_text(config)
    return machine


def market(machine: Machine, peer: str) -> MarketStatus | None:
    """Return how the market of a peer on a machine goes, None while it does not say."""
    control = CellHome(machine.folder / "run" / peer).control(peer)
    try:
        answer = ask(control, peer, MarketStatusQuery(), CODEC, 1.0)
    except UnreachableError:
        return None
    return answer if isinstance(answer, MarketStatus) else None


def settled(machine: Machine, peer: str = PEER) -> int:
    """Return how many intervals the peer has settled with a certificate, -1 before it answers."""
    found = market(machine, peer)
    return -1 if found is None else found.settled - found.fallbacks


def status(office: Machine) -> Any:
    """Return how the cell is doing, as its own machine sees it."""
    return json.loads(office.call("status", "-o", "json"))


def admit(office: Machine, hut: Machine, peer: str = PEER, *told: str) -> None:
    """Make keys on one machine, let the operator on the other admit them, bring the token back."""
    hut.call("keys", "new", peer)
    shutil.copy(hut.folder / "keys" / f"{peer}.pub", office.folder)
    office.call("keys", "admit", f"{peer}.pub", *OPERATOR, *told)
    shutil.copy(office.folder / f"{peer}.join", hut.folder / "keys")


def secrets_of(machine: Machine) -> Iterator[str]:
    """Yield the secret keys that lie on a machine, as text."""
    for path in machine.folder.rglob("*.secret"):
        identity = load_identity(path)
        yield from (identity.curve_secret.hex(), bytes(identity.signing).hex())


def test_a_peer_joins_from_a_folder_with_an_environment_of_its_own(
    office: Machine, folder: Path
) -> None:
    checkout = folder / "hut"
    shutil.copytree(ROOT, checkout, symlinks=True, ignore=LEFT_OUT)
    hut = Machine(checkout, [str(checkout / "peercell")])
    hut.call("setup", "agent")
    python = str(checkout / ".venv" / "bin" / "python")
    heavy = "scipy", "pandas", "pandapower", "mesa", "cvxpy"
    probe = f"import importlib.util as u; print([m for m in {heavy} if u.find_spec(m)])"
    assert subprocess.check_output([python, "-c", probe], text=True).strip() == "[]"

    door = "127.0.0.1:5671"
    office.call("up", "cell.toml", "--elsewhere", PEER, "--door", door)
    admit(office, hut)
    directory = load_identity(office.folder / "run/rural1/keys/directory.secret").public
    key = ("--key", f"keys/{PEER}.secret", "--server-key", directory.fingerprint)
    with hut.running("agent", "run", PEER, "--join", "localhost:5671", *key) as said:
        until(lambda: settled(hut) >= 2, 40.0)
        assert f'joined cell "rural1" as {PEER} (trader) by directory' in said()
        office.call("wait", "converged")
        office.call("keys", "revoke", PEER, *OPERATOR)
        until(lambda: "revoked" in status(office)["messages"]["refused"], 10.0)
    told = [path.read_bytes() for path in (office.folder / "run").rglob("*") if path.is_file()]
    public = [text for text in told if b"secret keys 1" not in text]
    for secret in (*secrets_of(office), *secrets_of(hut)):
        assert not any(secret.encode() in text for text in public)
        assert secret not in said()


@dataclass(frozen=True)
class Network:
    """A namespace with one cable to this machine, and two addresses in it."""

    name: str
    here: str
    there: tuple[str, str]

    def run(self, *words: str) -> None:
        """Run a command in it."""
        subprocess.run(["ip", "netns", "exec", self.name, *words], check=True)


@pytest.fixture
def network() -> Iterator[Network]:
    """Return a network of its own, where this user may make one."""
    if shutil.which("ip") is None:
        pytest.skip("iproute2 is not installed")
    tag = secrets.token_hex(3)
    name, block = f"pc-{tag}", f"198.18.{int(tag[:2], 16)}"
    found = Network(name, f"{block}.1", (f"{block}.2", f"{block}.3"))
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"this user may make no network namespace: {made.stderr.strip()}")
    try:
        cable = ["ip", "link", "add", f"a{tag}", "type", "veth", "peer", f"b{tag}", "netns", name]
        subprocess.run(cable, check=True)
        subprocess.run(["ip", "addr", "add", f"{found.here}/24", "dev", f"a{tag}"], check=True)
        subprocess.run(["ip", "link", "set", f"a{tag}", "up"], check=True)
        found.run("ip", "link", "set", "lo", "up")
        for address in found.there:
            found.run("ip", "addr", "add", f"{address}/24", "dev", f"b{tag}")
        found.run("ip", "link", "set", f"b{tag}", "up")
        yield found
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def test_a_peer_of_another_network_moves_and_is_found_again(
    office: Machine, folder: Path, network: Network
) -> None:
    hut = Machine(
        folder / "hut",
        ["ip", "netns", "exec", network.name, sys.executable, "-P", "-m", "peercell"],
    )
    hut.folder.mkdir()
    door = f"{network.here}:5672"
    office.call("up", "cell.toml", "--elsewhere", PEER, "--listen", network.here, "--door", door)
    admit(office, hut)
    run = ("agent", "run", PEER, "--key", f"keys/{PEER}.secret", "--join", door)
    for address in network.there:
        where = ("--listen", "0.0.0.0:5700", "--advertise", f"{address}:5700")
        with hut.running(*run, *where) as said:
            until(lambda: settled(hut) >= 2, 40.0)
            office.call("wait", "converged")
            assert f"found at tcp://{address}:5700" in said()


def test_a_newcomer_gets_in_by_any_peer_while_the_directory_is_dead(
    office: Machine, folder: Path
) -> None:
    """The operator tells one peer of another machine, through its door; gossip does the rest."""
    other = "mg4.trader"
    first, second = Machine(folder / "a"), Machine(folder / "b")
    for machine in (first, second):
        machine.folder.mkdir()
    doors = ("127.0.0.1:5674", "127.0.0.1:5675")
    office.call("up", "cell.toml", "--elsewhere", f"{PEER},{other}", "--door", doors[0])
    admit(office, first)
    key = ("--key", f"keys/{PEER}.secret", "--join", doors[0], "--door", doors[1])
    with first.running("agent", "run", PEER, *key):
        # Nothing is certified before all are there.
        until(lambda: market(first, PEER) is not None, 40.0)
        rows = {row["peer"]: row for row in json.loads(office.call("ps", "-o", "json"))}
        os.kill(rows["directory"]["pid"], signal.SIGSTOP)
        try:
            admit(office, second, other, "--at", doors[1])
            other_key = ("--key", f"keys/{other}.secret", "--join", doors[1])
            with second.running("agent", "run", other, *other_key) as said:
                until(lambda: settled(second, other) >= 2, 40.0)
                assert f"as {other} (trader) by {PEER}" in said()
        finally:
            os.kill(rows["directory"]["pid"], signal.SIGCONT)


# What the next version has changed: file, text of now, text of then.
LATER = (
    (
        "agents/trading/messages.py",
        "    slope_eur_per_kwh2: SlopeVector\n",
        "    slope_eur_per_kwh2: SlopeVector\n    hint: int = 7\n",
    ),
    (
        "agents/membership_messages.py",
        "class RosterHash(Message, frozen=True):",
        "class Tomorrow(Message, frozen=True):\n    when: int = 1\n\n\n"
        "class RosterHash(Message, frozen=True):",
    ),
    (
        "agents/membership_messages.py",
        "Gossip = Rumour |",
        "Gossip = Tomorrow | Rumour |",
    ),
    (
        "agents/gossip.py",
        "Send(peer, RosterHash(self._roster.hash))]",
        "Send(peer, Tomorrow()), Send(peer, RosterHash(self._roster.hash))]",
    ),
    ("agents/gossip.py", "    RosterHash,\n", "    RosterHash,\n    Tomorrow,\n"),
    (
        "agents/gossip.py",
        "            case Rumour():\n",
        "            case Tomorrow() | Rumour():\n",
    ),
    (
        "agents/membership.py",
        "            case RosterHash() |",
        "            case Tomorrow() | RosterHash() |",
    ),
    ("agents/membership.py", "    RosterHash,\n", "    RosterHash,\n    Tomorrow,\n"),
)


def test_a_peer_of_the_next_version_trades_with_those_of_this_one(
    office: Machine, folder: Path
) -> None:
    later = folder / "later"
    shutil.copytree(ROOT, later, symlinks=True, ignore=LEFT_OUT)
    for name, now, then in LATER:
        text = (later / name).read_text()
        assert now in text, f"{name}: {now}"
        (later / name).write_text(text.replace(now, then, 1))
    hut = Machine(folder / "hut", code=later)
    hut.folder.mkdir()
    door = "127.0.0.1:5673"
    office.call("up", "cell.toml", "--elsewhere", PEER, "--door", door)
    admit(office, hut)
    key = ("--key", f"keys/{PEER}.secret")
    with hut.running("agent", "run", PEER, "--join", door, *key):
        until(lambda: settled(hut) >= 3, 40.0)
        office.call("wait", "converged")
        refused = status(office)["messages"]["refused"]
    # What it says more is left out, what nobody knows is counted, and nothing else is refused.
    assert refused.get("unknown-kind", 0) > 0
    assert "bad-body" not in refused
