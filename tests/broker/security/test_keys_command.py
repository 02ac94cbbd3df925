"""`peercell keys` from the outside: what it leaves in files, says, and refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.broker.conftest import Run

from peercell.agents.admission import Members, Standing
from peercell.agents.signing import SignedRecord
from peercell.broker.clock import steady_clock
from peercell.broker.home import CellHome
from peercell.broker.processes.crew import PeerSpec
from peercell.broker.security.admission import Crewed, load_token
from peercell.broker.security.enrolment import charter_of
from peercell.broker.security.identity import load_identity, load_public, save_public, verify
from peercell.broker.security.keyring import NEXT


@pytest.fixture
def made(run: Run) -> Run:
    """Return the command line in a folder with keys of an operator and of a peer."""
    for peer in ("operator", "mg3.trader"):
        assert run("keys", "new", peer).code == 0
    return run


ADMIT = ("keys", "admit", "keys/mg3.trader.pub", "--operator", "keys/operator.secret")
TERMS = ("--cell", "village", "--role", "trader")


def answer(run: Run, *words: str) -> Any:
    """Return what a command says as JSON."""
    result = run(*words, "-o", "json")
    assert result.code == 0, result.err
    return json.loads(result.out)


def members(tmp_path: Path) -> Members:
    """Return who belongs to the cell by the token in the folder."""
    return Members(load_token(tmp_path / "keys" / "mg3.trader.join").charter, verify)


def test_new_keys_are_in_two_files_and_the_secret_one_is_private(run: Run, tmp_path: Path) -> None:
    said = answer(run, "keys", "new", "mg3.trader")
    secret = tmp_path / said["secret"]
    assert secret.stat().st_mode & 0o777 == 0o600
    public = load_public(tmp_path / said["public"])
    assert load_identity(secret).public == public
    assert said["fingerprint"] == public.fingerprint


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_nothing_secret_is_shown(made: Run, tmp_path: Path, form: str) -> None:
    made(*ADMIT, *TERMS)
    files = [str(path) for path in sorted((tmp_path / "keys").iterdir())]
    shown = made("keys", "show", *files, "-o", form)
    assert shown.code == 0
    assert "mg3.trader" in shown.out
    for name in ("operator", "mg3.trader"):
        identity = load_identity(tmp_path / "keys" / f"{name}.secret")
        for secret in (identity.curve_secret.hex(), bytes(identity.signing).hex()):
            assert secret not in shown.out + shown.err


def test_a_token_is_printed_and_lies_beside_the_keys(made: Run, tmp_path: Path) -> None:
    result = made(*ADMIT, *TERMS)
    assert result.out == (tmp_path / "keys" / "mg3.trader.join").read_text()
    admitted = members(tmp_path).get("mg3.trader")
    assert admitted is not None
    assert (admitted.role, admitted.cell) == ("trader", "village")
    assert 'mg3.trader is admitted to "village" as trader until 2' in result.err


def test_a_role_that_is_none_of_ours_is_pointed_out(made: Run) -> None:
    result = made(*ADMIT, "--cell", "village", "--role", "tradr")
    assert result.code == 0
    assert "'tradr' is none of aggregator, directory" in result.err
    assert "is none of" not in made(*ADMIT, *TERMS).err


def test_old_and_new_keys_count_side_by_side(made: Run, tmp_path: Path) -> None:
    made(*ADMIT, *TERMS)
    assert made("keys", "rotate", "keys/mg3.trader.secret").code == 0
    fresh = f"keys/mg3.trader{NEXT}.pub"
    beside = ("--beside", "keys/mg3.trader.pub", "--overlap", "1h")
    told = answer(
        made, "keys", "admit", fresh, *ADMIT[3:], *TERMS, *beside, "--out", "keys/mg3.trader.join"
    )
    assert told["peer"] == "mg3.trader"
    now_s = steady_clock()() + 1.0
    old, new = (load_public(tmp_path / "keys" / f"mg3.trader{each}.pub") for each in ("", NEXT))
    known = members(tmp_path)
    for at_s, worth in ((now_s, Standing.MEMBER), (now_s + 3600.0, Standing.UNKNOWN)):
        assert known.standing(old.curve, at_s) is worth
        assert known.standing(new.curve, at_s) is Standing.MEMBER


# Row: words; exit code; what is said of it.
REFUSED = {
    "keys that are there": (("keys", "new", "mg3.trader"), 3, "rotate keys/mg3.trader.secret"),
    "an id that is none": (("keys", "new", "mg3/trader"), 3, "is no id of a peer"),
    "a folder that is a file": (
        ("keys", "new", "a", "--out", "keys/operator.pub"),
        2,
        "is a file",
    ),
    "no cell": (ADMIT, 1, "--cell rural1"),
    "no role": ((*ADMIT, "--cell", "village"), 1, "--role trader"),
    "a secret in place of a public key": (
        ("keys", "admit", "keys/mg3.trader.secret", *ADMIT[3:], *TERMS),
        3,
        "holds no public keys",
    ),
    "a public in place of a secret key": (
        (*ADMIT[:3], "--operator", "keys/operator.pub", *TERMS),
        3,
        "chmod 600",
    ),
    "keys that are not there": (
        ("keys", "admit", "keys/none.pub", *ADMIT[3:], *TERMS),
        3,
        "No such file",
    ),
    "keys of two peers": (
        (*ADMIT, *TERMS, "--beside", "keys/operator.pub"),
        1,
        "cannot take over from operator",
    ),
    "a host that nobody knows": (
        (*ADMIT, *TERMS, "--at", "no-such-host.invalid:5601"),
        4,
        "is not known here",
    ),
    "a door that nobody opens": ((*ADMIT, *TERMS, "--at", "127.0.0.1:1"), 4, "--door"),
    "a revocation that nobody hears": (
        ("keys", "revoke", "keys/mg3.trader.pub", "--cell", "v", *ADMIT[3:]),
        1,
        "no process runs below run/",
    ),
    "a revocation in no cell": (
        ("keys", "revoke", "keys/mg3.trader.pub", *ADMIT[3:]),
        1,
        "--cell rural1",
    ),
    "a revocation of nobody": (
        ("keys", "revoke", "mg9", *ADMIT[3:]),
        1,
        'no admission of "mg9" is known here',
    ),
}


@pytest.mark.parametrize(("words", "code", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_and_what_to_try(
    made: Run, words: tuple[str, ...], code: int, said: str
) -> None:
    result = made(*words)
    assert result.code == code, result.err
    assert said in result.err
    assert result.out == ""


def test_a_statement_in_a_token_is_what_is_told(made: Run, tmp_path: Path) -> None:
    told = answer(made, *ADMIT, *TERMS)
    token = load_token(tmp_path / "keys" / "mg3.trader.join")
    assert isinstance(token.admission, SignedRecord)
    assert told["serial"] == token.admitted.serial
    assert (told["taken"], told["refused"], told["revoked"]) == (0, 0, False)


def test_the_keys_of_a_whole_cell_are_made_once(run: Run, tmp_path: Path) -> None:
    run("config", "init", "study", "--grid", "rural1")
    first = answer(run, "keys", "cell", "study/cell.toml")
    folder = tmp_path / first["folder"]
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(files) == first["peers"] + 2
    assert {"operator.secret", "directory.secret", "cell.charter"} <= set(files)
    assert answer(run, "keys", "cell", "study/cell.toml") == first
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    charter = json.loads(files["cell.charter"])
    assert charter["cell"] == "study"


def test_what_the_operator_says_is_kept_in_the_charter_beside_its_keys(
    run: Run, tmp_path: Path
) -> None:
    """So that a cell which is started later, from nothing, does not let in whom it has put out."""
    home = CellHome(tmp_path / "run" / "village")
    home.prepare()
    folder = tmp_path / "keys"
    assert run("keys", "new", "operator").code == 0
    specs = [PeerSpec(peer=peer, role="test", factory="") for peer in ("a", "b")]
    crews: list[Crewed] = [(spec.peer, (spec,)) for spec in specs]
    now_s = steady_clock()() - 60.0
    first = Members(charter_of(str(folder), home, crews, now_s), verify)
    gone = load_identity(folder / "a.secret")
    assert first.standing(gone.curve_public, now_s + 1.0) is Standing.MEMBER
    words = ("--operator", "keys/operator.secret", "--cell", "village")
    result = run("keys", "revoke", "keys/a.pub", *words)
    assert result.code == 3, "there is no public file of it"
    save_public(folder / "a.pub", gone.public)
    assert run("keys", "revoke", "keys/a.pub", *words).code == 0
    again = Members(charter_of(str(folder), home, crews, steady_clock()()), verify)
    assert again.standing(gone.curve_public, steady_clock()()) is Standing.REVOKED
    # Not so with new keys, once the operator has admitted them.
    assert run("keys", "rotate", "keys/a.secret").code == 0
    assert run("keys", "admit", f"keys/a{NEXT}.pub", *words, "--role", "test").code == 0
    fresh = load_public(folder / f"a{NEXT}.pub")
    last = Members(charter_of(str(folder), home, crews, steady_clock()()), verify)
    assert last.standing(fresh.curve, steady_clock()() + 1.0) is Standing.MEMBER
