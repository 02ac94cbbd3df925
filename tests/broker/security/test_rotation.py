"""A peer of a running cell goes over to new keys: nobody loses it, and the old are soon gone."""

import time
from pathlib import Path

import pytest
from tests.broker.cells_for_tests import Cell, cell, eventually, ring
from tests.broker.conftest import Run
from tests.broker.live_cell import Cell as RunningCell
from tests.broker.live_cell import fast_config, until

from peercell.agents.admission import Admission, sign_admission
from peercell.agents.membership_messages import (
    RECORDS_PER_MESSAGE,
    Admit,
    Admitted,
    RosterAnswer,
    RosterQuery,
)
from peercell.agents.roster import PeerRecord, record_of
from peercell.broker.home import CellHome
from peercell.broker.operator_port import ask
from peercell.broker.security.admission import Terms
from peercell.broker.security.announce import admissions_below
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
from peercell.broker.status.live import CODEC

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


@pytest.mark.slow
def test_all_keys_of_a_trading_cell_change_and_no_interval_is_lost(
    run: Run, home: Path, tmp_path: Path, keys: Path
) -> None:
    text = fast_config().replace("speed = 360.0", "speed = 180.0")
    (tmp_path / "locked.toml").write_text(f'{text}\n[security]\nkeys = "keys"\n')
    begun = run("--home", str(home), "up", "locked.toml")
    assert begun.code == 0, begun.err
    cell = RunningCell(run, home)
    cell.json("wait", "converged", "--timeout", "30s")
    before = cell.json("status")
    operator, now_s = load_identity(keys / OPERATOR), time.time_ns() / 1e9
    words = []
    for said in {each.peer: each for each in admissions_below(home)}.values():
        if not (keys / f"{said.peer}.secret").exists() or said.role == "observer":
            continue
        present = load_identity(keys / f"{said.peer}.secret").public
        fresh = load_public(Path(next_keys(keys / f"{said.peer}.secret").public))
        terms = Terms(said.cell, said.role, now_s, now_s + 3600.0)
        admitted = admission_of_keys(fresh, terms, Overlap(present, 600.0))
        words.append(sign_admission(admitted, operator.sign))
    assert len(words) == len(cell.peers()) - 1
    control = CellHome(home / "rural1").control("dso")
    for start in range(0, len(words), RECORDS_PER_MESSAGE):
        told = tuple(words[start : start + RECORDS_PER_MESSAGE])
        assert ask(control, "dso", Admit(told), CODEC, 5.0) == Admitted(len(told), 0)
    logs = list((home / "rural1").glob("*.log"))
    until(
        lambda: sum("speaks with the new keys" in log.read_text() for log in logs) == len(words),
        30.0,
    )
    settled = cell.json("status")["totals"]["settled"]
    until(lambda: cell.json("status")["totals"]["settled"] >= settled + 2, 30.0)
    after = cell.json("status")
    assert after["totals"]["unsettled"] == before["totals"]["unsettled"]
    assert after["totals"]["fallbacks"] == before["totals"]["fallbacks"]
    assert after["messages"]["refused"] == before["messages"]["refused"]
    assert all(row["restarts"] == 0 for row in cell.peers().values())
    cell.json("down")
    replayed = cell.json("replay", str(home / "rural1" / "mg1.trader.journal"))
    assert (replayed["same"], replayed["failures"]) == (True, 0)
    assert not list(keys.glob(f"*{NEXT}.secret"))
