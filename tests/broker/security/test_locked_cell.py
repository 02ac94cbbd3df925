"""Cells of processes whose links are locked: they talk, revoke, and keep their secrets."""

import base64
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from tests.broker.cells_for_tests import Cell, cell, eventually, ring
from zmq.utils import z85

from peercell.agents.admission import admission_of, revocation_of, sign_admission
from peercell.agents.gossip import GossipSettings
from peercell.agents.membership_messages import Admit, Admitted
from peercell.agents.signing import SignedRecord
from peercell.broker.home import CellHome
from peercell.broker.rosterfile import Kept, read_roster
from peercell.broker.security.admission import serial_at
from peercell.broker.security.enrolment import charter_of
from peercell.broker.security.identity import load_identity, make_identity, save_identity
from peercell.broker.wire import Drop

PEERS = 4


@pytest.fixture
def operator(tmp_path: Path) -> str:
    """The key file of an operator."""
    path = tmp_path / "operator.secret"
    save_identity(path, make_identity("operator"))
    return str(path)


def applied(running: Cell) -> dict[str, int]:
    return {peer: running.status(peer).applied for peer in ("p0", "p1", "p2", "p3")}


def refusals(running: Cell) -> list[str]:
    """Return the lines that the processes of a cell have written of refusals."""
    logs = (path.read_text().splitlines() for path in running.folder.glob("*.log"))
    return [line for line in chain.from_iterable(logs) if " refused " in line]


def word_against(running: Cell, peer: str, operator: str) -> SignedRecord:
    """Return the operator's revocation of a peer of a running cell."""
    home = CellHome(running.folder)
    kept = map(admission_of, read_roster(home.roster("directory"), Kept.ADMISSION))
    (admission,) = (each for each in kept if each.peer == peer)
    revoked = revocation_of(admission, serial_at(time.time_ns() / 1e9) + 1)
    return sign_admission(revoked, load_identity(Path(operator)).sign)


def secrets(keys: Iterator[Path]) -> dict[str, bytes]:
    """Return all secret keys in all the forms in which they may be written."""
    found: dict[str, bytes] = {}
    for path in keys:
        identity = load_identity(path)
        for name, key in (("curve", identity.curve_secret), ("signing", bytes(identity.signing))):
            forms = [key, key.hex().encode(), z85.encode(key), base64.b64encode(key)[:42]]
            forms.append(base64.urlsafe_b64encode(key)[:42])
            found |= {f"{path.name} {name} {at}": form for at, form in enumerate(forms)}
    return found


def test_a_locked_cell_talks_revokes_a_member_and_keeps_its_secrets(
    tmp_path: Path, operator: str
) -> None:
    with cell(tmp_path / "c", ring(PEERS), operator=operator) as running:
        eventually(lambda: min(applied(running).values()) > 20, "they do not all talk")
        assert all(not running.status(f"p{n}").refused for n in range(PEERS))
        assert refusals(running) == []

        word = word_against(running, "p1", operator)
        assert running.ask("p3", Admit((word,))) == Admitted(1, 0)
        took_s = eventually(
            lambda: all(Drop.REVOKED in running.status(p).refused for p in ("p0", "p2")),
            "somebody still hears a peer that was revoked",
        )
        assert took_s < GossipSettings().repair_s
        before = {peer: running.status(peer).heard["p1"].applied for peer in ("p0", "p2")}
        held = applied(running)
        eventually(lambda: applied(running)["p3"] > held["p3"] + 20, "the others do not go on")
        for peer, count in before.items():
            assert running.status(peer).heard["p1"].applied == count
        assert any("refused revoked" in line and "key " in line for line in refusals(running))

    kept = chain([Path(operator)], (running.folder / "keys").glob("*.secret"))
    hidden = secrets(kept)
    assert len(hidden) == 10 * (PEERS + 2)
    written = [
        path for path in running.folder.rglob("*") if path.is_file() and path.suffix != ".secret"
    ]
    assert {"p0.journal", "p0.log", "p0.crew", "supervisor.log"} <= {p.name for p in written}
    for path in written:
        content = path.read_bytes()
        assert [name for name, secret in hidden.items() if secret in content] == [], path


def test_who_was_revoked_is_not_admitted_again_by_a_restart(tmp_path: Path, operator: str) -> None:
    folder = tmp_path / "c"
    with cell(folder, ring(2), operator=operator) as running:
        word = word_against(running, "p1", operator)
        running.ask("p0", Admit((word,)))
        # It has to be on disk.
        home = CellHome(folder)
        eventually(lambda: word in read_roster(home.roster("p0"), Kept.ADMISSION), "not kept")
    crews = [("p0", ring(2)[:1]), ("p1", ring(2)[1:])]
    later_s = time.time_ns() / 1e9
    again = map(admission_of, charter_of(operator, home, crews, later_s).admissions)
    assert {each.peer: each.revoked for each in again} == {"p0": False, "p1": True}
    home.key("p1").unlink()
    again = map(admission_of, charter_of(operator, home, crews, later_s).admissions)
    assert {each.peer: each.revoked for each in again} == {"p0": False, "p1": False}


@pytest.mark.slow
def test_peers_that_share_processes_share_the_key_of_their_links(
    tmp_path: Path, operator: str
) -> None:
    with cell(tmp_path / "c", ring(6), pack=3, operator=operator) as running:
        eventually(
            lambda: all(running.status(f"p{n}").applied > 20 for n in range(6)),
            "they do not all talk",
        )
        assert refusals(running) == []
