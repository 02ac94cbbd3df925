"""A peer of a running cell goes over to new keys: nobody loses it, and the old are soon gone."""

import time
from pathlib import Path

import pytest
from tests.broker.cells_for_tests import Cell, cell, eventually, ring

from peercell.agents.admission import Admission, sign_admission
from peercell.agents.membership_messages import Admit, Admitted, RosterAnswer, RosterQuery
from peercell.agents.roster import PeerRecord, record_of
from peercell.broker.security.admission import Terms
from peercell.broker.security.enrolment import OPERATOR
from peercell.broker.security.identity import (
    PUBLIC,
    load_identity,
    load_public,
    make_identity,
    save_identity,
)
from peercell.broker.security.keyring import NEXT, Overlap, admission_of_keys, next_keys
from peercell.broker.security.rotation import PeerKeyFile

PEERS = 4
CHANGING = "p1"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Return a folder with the keys of an operator."""
    folder = tmp_path / "keys"
    folder.mkdir()
    save_identity(folder / OPERATOR, make_identity("operator"))
    return folder


def both(keys: Path, running: str, now_s: float) -> Admission:
    """Return an admission that names the next keys of a peer beside the present ones."""
    present = load_identity(keys / f"{CHANGING}.secret").public
    fresh = load_public(Path(next_keys(keys / f"{CHANGING}.secret").public))
    terms = Terms(running, "test", now_s, now_s + 3600.0)
    return admission_of_keys(fresh, terms, Overlap(present, 600.0))


def record_at(running: Cell, peer: str) -> PeerRecord:
    """Return what a peer knows of the one that changes its keys."""
    answer = running.ask(peer, RosterQuery())
    assert isinstance(answer, RosterAnswer)
    known = [record_of(each.signed) for each in answer.peers]
    (record,) = (each for each in known if each.peer == CHANGING)
    return record


@pytest.mark.slow
def test_a_peer_changes_its_keys_and_no_message_is_missing(tmp_path: Path, keys: Path) -> None:
    names = [f"p{number}" for number in range(PEERS)]
    others = [peer for peer in names if peer != CHANGING]
    with cell(tmp_path / "c", ring(PEERS), keys=str(keys)) as running:
        eventually(
            lambda: min(running.status(peer).applied for peer in names) > 20, "they do not talk"
        )
        before = {peer: running.status(peer) for peer in names}
        old = record_at(running, "p3")
        word = both(keys, running.folder.name, time.time_ns() / 1e9)
        statement = sign_admission(word, load_identity(keys / OPERATOR).sign)
        assert running.ask("p3", Admit((statement,))) == Admitted(1, 0)
        eventually(
            lambda: all(
                record_at(running, peer).curve_key == word.keys[0].curve for peer in others
            ),
            "somebody does not know the new keys",
        )
        eventually(
            lambda: "new keys" in (running.folder / f"{CHANGING}.log").read_text(),
            "it does not speak with the new keys",
        )
        heard = {peer: running.status(peer).applied for peer in names}
        eventually(
            lambda: all(running.status(peer).applied > heard[peer] + 40 for peer in names),
            "they do not go on",
        )
        after = {peer: running.status(peer) for peer in names}
        assert record_at(running, "p3").endpoint != old.endpoint
        assert record_at(running, "p3").incarnation == old.incarnation
    for peer in names:
        assert after[peer].incarnation == before[peer].incarnation
        assert after[peer].missing == before[peer].missing == 0
        assert after[peer].refused == {}
    assert load_identity(keys / f"{CHANGING}.secret").curve_public == word.keys[0].curve
    assert not (keys / f"{CHANGING}{NEXT}.secret").exists()


def test_next_keys_that_were_admitted_meanwhile_are_taken_at_the_start(keys: Path) -> None:
    path = keys / f"{CHANGING}.secret"
    save_identity(path, make_identity(CHANGING))
    word = both(keys, "c", 1e9)
    file = PeerKeyFile(path, CHANGING, word)
    assert file.own.curve_public == file.spoken.curve_public == word.keys[0].curve
    assert load_public(path.with_suffix(PUBLIC)).curve == word.keys[0].curve


def test_next_keys_wait_until_the_operator_has_admitted_them(keys: Path) -> None:
    path = keys / f"{CHANGING}.secret"
    save_identity(path, make_identity(CHANGING))
    present = load_identity(path).public
    next_keys(path)
    file = PeerKeyFile(path, CHANGING, None)
    terms = Terms("c", "test", 1e9, 2e9)
    for other in (present, make_identity(CHANGING).public):
        assert not file.follow(admission_of_keys(other, terms))
    assert file.own.curve_public == load_identity(path).curve_public == present.curve


def test_next_keys_that_others_may_read_are_left_alone(keys: Path) -> None:
    path = keys / f"{CHANGING}.secret"
    save_identity(path, make_identity(CHANGING))
    word = both(keys, "c", 1e9)
    (keys / f"{CHANGING}{NEXT}.secret").chmod(0o644)
    assert not PeerKeyFile(path, CHANGING, word).follow(word)
