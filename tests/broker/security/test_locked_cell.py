"""Cells of processes whose links are locked: they talk, revoke, and keep their secrets."""

import base64
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from tests.broker.cells_for_tests import Cell, cell, eventually, ring
from tests.broker.security.curve_for_tests import RawSender
from zmq.utils import z85

from peercell.agents.admission import admission_of, revocation_of, sign_admission
from peercell.agents.gossip import GossipSettings
from peercell.agents.membership_messages import Admit, Admitted
from peercell.agents.signing import SignedRecord
from peercell.broker.home import CellHome
from peercell.broker.rosterfile import Kept, read_roster
from peercell.broker.security.admission import serial_at
from peercell.broker.security.enrolment import CHARTER, OPERATOR, charter_of, enrolled
from peercell.broker.security.identity import (
    KeyFileError,
    load_identity,
    make_identity,
    save_identity,
)
from peercell.broker.sockets import LinkKeys
from peercell.broker.wire import Drop

PEERS = 4
NOW_S = 1.8e9


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with the keys of an operator."""
    folder = tmp_path / "keys"
    folder.mkdir()
    save_identity(folder / OPERATOR, make_identity("operator"))
    return folder


def applied(running: Cell) -> dict[str, int]:
    return {peer: running.status(peer).applied for peer in ("p0", "p1", "p2", "p3")}


def refusals(running: Cell) -> list[str]:
    """Return the lines that the processes of a cell have written of refusals."""
    logs = (path.read_text().splitlines() for path in running.folder.glob("*.log"))
    return [line for line in chain.from_iterable(logs) if " refused " in line]


def word_against(running: Cell, peer: str, keys: Path) -> SignedRecord:
    """Return the operator's revocation of a peer of a running cell."""
    home = CellHome(running.folder)
    kept = map(admission_of, read_roster(home.roster("directory"), Kept.ADMISSION))
    (admission,) = (each for each in kept if each.peer == peer)
    revoked = revocation_of(admission, serial_at(time.time_ns() / 1e9) + 1)
    return sign_admission(revoked, load_identity(keys / OPERATOR).sign)


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
    tmp_path: Path, keys: Path
) -> None:
    with cell(tmp_path / "c", ring(PEERS), keys=str(keys)) as running:
        eventually(lambda: min(applied(running).values()) > 20, "they do not all talk")
        assert all(not running.status(f"p{n}").refused for n in range(PEERS))
        assert refusals(running) == []

        word = word_against(running, "p1", keys)
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

    hidden = secrets(keys.glob("*.secret"))
    assert len(hidden) == 10 * (PEERS + 2)
    kept = chain(running.folder.rglob("*"), keys.iterdir())
    written = {path.name: path for path in kept if path.is_file() and path.suffix != ".secret"}
    assert {"p0.journal", "p0.log", "p0.crew", "supervisor.log", CHARTER} <= set(written)
    for path in written.values():
        content = path.read_bytes()
        assert [name for name, secret in hidden.items() if secret in content] == [], path


def test_keys_are_made_once_and_then_without_the_operator(tmp_path: Path, keys: Path) -> None:
    crews = [("p0", ring(2)[:1]), ("p1", ring(2)[1:])]
    first = enrolled(keys, "c", crews[:1], NOW_S)
    both = enrolled(keys, "c", crews, NOW_S + 1)
    assert [admission_of(each).peer for each in both.admissions] == ["p0", "p1"]
    assert both.admissions[0] == first.admissions[0]
    assert both.cell == "c"

    (keys / OPERATOR).unlink()
    home = CellHome(tmp_path / "other name")
    home.prepare()
    assert charter_of(str(keys), home, crews, NOW_S + 2) == both
    assert load_identity(home.key("p1")) == load_identity(keys / "p1.secret")
    (keys / "p1.secret").unlink()
    with pytest.raises(KeyFileError, match="p1 is not admitted"):
        charter_of(str(keys), home, crews, NOW_S + 2)


def test_new_keys_of_a_peer_are_admitted_in_place_of_the_old(keys: Path) -> None:
    """Whose keys were stolen and revoked gets new ones by the loss of the old."""
    crews = [("p0", ring(1))]
    before = admission_of(enrolled(keys, "c", crews, NOW_S).admissions[0])
    (keys / "p0.secret").unlink()
    (after,) = map(admission_of, enrolled(keys, "c", crews, NOW_S + 1).admissions)
    assert after.keys != before.keys
    assert after.serial > before.serial


def test_without_an_operator_and_a_charter_nobody_is_admitted(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="p0 is not admitted"):
        enrolled(tmp_path, "c", [("p0", ring(1))], NOW_S)
    (tmp_path / CHARTER).write_text("{}}")
    with pytest.raises(KeyFileError, match="is no charter"):
        enrolled(tmp_path, "c", [("p0", ring(1))], NOW_S)


@pytest.mark.slow
def test_peers_that_share_processes_share_the_key_of_their_links(
    tmp_path: Path, keys: Path
) -> None:
    with cell(tmp_path / "c", ring(6), pack=3, keys=str(keys)) as running:
        eventually(
            lambda: all(running.status(f"p{n}").applied > 20 for n in range(6)),
            "they do not all talk",
        )
        assert refusals(running) == []


def pour(sender: RawSender, flood: memoryview) -> int:
    """Send bytes until the link is cut, for 10 s at most; return how many were taken."""
    at, until_s = 0, time.monotonic() + 10.0
    while at < len(flood) and time.monotonic() < until_s:
        try:
            at += sender.socket.send(flood[at : at + 65_536])
        except BlockingIOError:
            time.sleep(0.001)
        except OSError:
            break
    return at


@pytest.mark.slow
def test_a_cell_goes_on_while_a_member_floods_one_of_its_peers(tmp_path: Path, keys: Path) -> None:
    """Its victim is heard again within 5 s, without a restart, and the culprit is in its log."""
    with cell(tmp_path / "c", ring(PEERS), keys=str(keys)) as running:
        eventually(lambda: min(applied(running).values()) > 20, "they do not all talk")
        rogue, victim = load_identity(keys / "p2.secret"), load_identity(keys / "p0.secret")
        mine = LinkKeys(rogue.curve_public, rogue.curve_secret)
        with RawSender(running.states()["p0"].endpoint, mine, victim.curve_public) as sender:
            eventually(sender.advance, "the handshake does not end")
            flood = memoryview(b"".join(sender.part(b"x" * 150) for _ in range(500_000)))
            before, began_s = applied(running), time.monotonic()
            assert pour(sender, flood) < len(flood), "all of it was taken"
        news = {peer: count + 20 for peer, count in before.items() if peer != "p2"}
        eventually(
            lambda: all(applied(running)[peer] > count for peer, count in news.items()),
            "the others do not talk on",
        )
        assert time.monotonic() - began_s < 5.0
        assert running.states()["p0"].restarts == 0
        lines = refusals(running)
        assert any("without a whole message from p2 (heart)" in line for line in lines)
