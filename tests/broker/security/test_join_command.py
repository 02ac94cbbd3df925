"""`peercell agent run` by somebody who wants to join: what is missing is said, with what to try."""

from pathlib import Path

import pytest
from tests.broker.conftest import Run

PEER = "mg3.trader"
KEY = ("--key", f"keys/{PEER}.secret")
JOIN = ("--join", "127.0.0.1:1")

# Row: words after `agent run`; exit code; what is said of it.
REFUSED = {
    "nothing to run": ((PEER,), 1, "--config CONFIG --begins TIME"),
    "no beginning": ((PEER, "--config", "cell.toml"), 1, "--begins 2026-11-02T14:05:00Z"),
    "a token without a part": ((PEER, *KEY), 1, "its join token holds no part of a plan"),
    "no keys": ((PEER, *JOIN), 1, "--config CONFIG --begins TIME"),
    "keys of another": (("mg4.trader", *KEY), 4, "does not hold the keys of mg4.trader"),
    "keys that are not there": ((PEER, "--key", "none.secret"), 3, "peercell keys new ID"),
    "a token that is not there": ((PEER, *KEY, "--token", "none"), 3, "peercell keys admit"),
    "a host that nobody knows": (
        (PEER, *KEY, "--join", "no-such-host.invalid:1"),
        4,
        "is not known here",
    ),
    "a seed that nobody knows": (
        (PEER, *KEY, "--seed", "directory=tcp://no-such-host.invalid:5600"),
        4,
        "is not known here",
    ),
    "a seed without a port": ((PEER, *KEY, "--seed", "d=tcp://h:x"), 2, "has no port"),
    "an address without a port": ((PEER, *KEY, "--join", "127.0.0.1"), 2, "is no address"),
}


@pytest.fixture
def admitted(run: Run) -> Run:
    """Return the command line in a folder with an admitted peer whose token holds no part."""
    for peer in ("operator", PEER):
        assert run("keys", "new", peer).code == 0
    terms = ("--operator", "keys/operator.secret", "--cell", "village", "--role", "trader")
    assert run("keys", "admit", f"keys/{PEER}.pub", *terms).code == 0
    return run


@pytest.mark.parametrize(("words", "code", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_missing_is_said(
    admitted: Run, words: tuple[str, ...], code: int, said: str
) -> None:
    result = admitted("agent", "run", *words)
    assert result.code == code, result.err
    assert said in result.err


def test_a_directory_is_locked_by_its_keys_and_joins_by_a_door(
    admitted: Run, tmp_path: Path
) -> None:
    assert admitted("keys", "new", "directory").code == 0
    result = admitted("directory", "run", "--key", "keys/directory.secret", *JOIN)
    assert result.code == 3
    assert str(Path("keys/directory.join")) in result.err
    terms = ("--operator", "keys/operator.secret", "--cell", "village", "--role", "directory")
    assert admitted("keys", "admit", "keys/directory.pub", *terms).code == 0
    result = admitted("directory", "run", "--key", "keys/directory.secret", *JOIN)
    assert result.code == 4
    assert "nobody opens at 127.0.0.1:1" in result.err
