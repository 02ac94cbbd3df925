"""How a newcomer gets in: its papers have to be its own, and who opens has to be of the cell."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from peercell.agents.admission import sign_admission
from peercell.agents.errors import PeercellError
from peercell.agents.roster import PeerRecord, signed
from peercell.agents.signing import SignedRecord
from peercell.broker.security.admission import JoinToken, Terms, admission, token_text
from peercell.broker.security.door import DoorError, Welcome
from peercell.broker.security.identity import (
    Identity,
    make_identity,
    save_identity,
    save_public,
)
from peercell.broker.security.joining import Host, JoinError, enter, papers
from peercell.broker.sockets import listen

NOW_S = 1_800_000_000.0
TERMS = Terms("village", "trader", NOW_S - 10.0, NOW_S + 3600.0)
OPERATOR, STRANGER = make_identity("operator"), make_identity("operator")
NEWCOMER, HOST, OTHER = (make_identity(peer) for peer in ("new", "host", "host"))


def admitted(who: Identity, by: Identity = OPERATOR) -> SignedRecord:
    return sign_admission(admission(who.public, TERMS), by.sign)


TOKEN = JoinToken(operator=OPERATOR.public.signing, admission=admitted(NEWCOMER))


def record(who: Identity, signer: Identity | None = None) -> SignedRecord:
    said = PeerRecord(
        who.peer,
        "trader",
        1,
        1,
        "tcp://192.0.2.10:5600",
        who.public.signing,
        NOW_S + 99.0,
        curve_key=who.curve_public,
    )
    return signed(said, (signer or who).sign)


@dataclass(frozen=True)
class Opens:
    """What is answered at a door."""

    welcome: bytes

    def enter(self, server_key: str | None = None) -> Host:
        """Knock there with the token of the newcomer."""
        with listen() as listener, ThreadPoolExecutor(1) as pool:
            where = listener.getsockname()[:2]
            result = pool.submit(enter, where, TOKEN, server_key, NOW_S)
            link, _ = listener.accept()
            with link:
                while link.recv(4096):
                    pass
                link.sendall(self.welcome)
            return result.result(5.0)


def opens(welcome: Welcome) -> Opens:
    return Opens(msgspec.msgpack.encode(welcome))


WELCOME = Welcome("", NOW_S + 0.5, record(HOST), admitted(HOST))


def test_a_newcomer_learns_where_its_host_listens_and_who_belongs() -> None:
    found = opens(WELCOME).enter()
    assert found.record.endpoint == "tcp://192.0.2.10:5600"
    assert found.record.curve_key == HOST.curve_public
    assert set(found.charter.admissions) == {TOKEN.admission, admitted(HOST)}
    assert found.ahead_s == pytest.approx(0.5)


def test_the_keys_of_the_host_may_be_named_by_words_or_by_file(tmp_path: Path) -> None:
    save_public(tmp_path / "host.pub", HOST.public)
    for server_key in (HOST.public.fingerprint, str(tmp_path / "host.pub")):
        assert opens(WELCOME).enter(server_key).record.peer == "host"


REFUSED = {
    "it says no": (Welcome("no", NOW_S), "does not take the join token"),
    "it is no member": (Welcome("", NOW_S, record(HOST)), "is no member itself"),
    "it tells nothing": (Welcome("", NOW_S), "is no member itself"),
    "another operator admitted it": (
        Welcome("", NOW_S, record(HOST), admitted(HOST, STRANGER)),
        "does not belong to the cell",
    ),
    "it has other keys than were admitted": (
        Welcome("", NOW_S, record(OTHER), admitted(HOST)),
        "does not belong to the cell",
    ),
    "it did not sign its record": (
        Welcome("", NOW_S, record(HOST, OTHER), admitted(HOST)),
        "does not belong to the cell",
    ),
    "its record is spoilt": (
        Welcome("", NOW_S, SignedRecord(b"\xc1", b"s" * 64), admitted(HOST)),
        "is not understood",
    ),
}


@pytest.mark.parametrize(("welcome", "said"), REFUSED.values(), ids=REFUSED)
def test_a_newcomer_does_not_trust_who(welcome: Welcome, said: str) -> None:
    with pytest.raises(JoinError, match=said) as refusal:
        opens(welcome).enter()
    assert refusal.value.exit_code == 4


def test_a_host_with_other_keys_than_were_named_is_refused() -> None:
    with pytest.raises(JoinError, match="has other keys than it should") as refusal:
        opens(WELCOME).enter(OTHER.public.fingerprint)
    assert HOST.public.fingerprint in refusal.value.why


def test_who_opens_and_speaks_of_something_else_is_refused() -> None:
    with pytest.raises(DoorError, match="is no door of a cell"):
        Opens(b"220 mail ESMTP\r\n").enter()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the keys and the token of the newcomer."""
    save_identity(tmp_path / "new.secret", NEWCOMER)
    (tmp_path / "new.join").write_text(token_text(TOKEN, OPERATOR))
    return tmp_path


def test_the_token_lies_beside_the_keys_or_where_it_is_said(folder: Path) -> None:
    assert papers("new", folder / "new.secret", None).token == TOKEN
    (folder / "new.join").rename(folder / "elsewhere")
    assert papers("new", folder / "new.secret", folder / "elsewhere").token == TOKEN


def test_papers_of_somebody_else_are_refused(folder: Path) -> None:
    with pytest.raises(JoinError, match="does not hold the keys of other"):
        papers("other", folder / "new.secret", None)
    token = JoinToken(operator=TOKEN.operator, admission=admitted(make_identity("new")))
    (folder / "new.join").write_text(token_text(token, OPERATOR))
    with pytest.raises(JoinError, match="does not admit the keys"):
        papers("new", folder / "new.secret", None)


def test_who_has_no_token_is_told_how_to_get_one(folder: Path) -> None:
    (folder / "new.join").unlink()
    with pytest.raises(PeercellError) as refusal:
        papers("new", folder / "new.secret", None)
    assert "peercell keys admit" in refusal.value.fix
