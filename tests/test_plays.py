"""Each play in scenarios/ comes out as it is written; `pytest --rewrite` writes it anew.

Read the difference before you commit it: a play says what the roles ought to do.
"""

from pathlib import Path

import pytest
from tests.plays.averaging import Averaging
from tests.plays.controlling import Controlling
from tests.plays.mapping import Mapping
from tests.plays.membership import Membership
from tests.plays.script import difference, played
from tests.plays.stage import Cast, Stage
from tests.plays.trading import Trading

SCENARIOS = Path(__file__).parent / "scenarios"
PLAYS = sorted(SCENARIOS.glob("*.txt"))
CASTS: dict[str, type[Cast]] = {
    "push-sum": Averaging,
    "map": Mapping,
    "trading": Trading,
    "control": Controlling,
    "membership": Membership,
}


def cast_of(path: Path) -> Cast:
    """Return who plays: what the name of the file begins with."""
    (kind,) = [kind for kind in CASTS if path.stem.startswith(kind)]
    return CASTS[kind]()


@pytest.mark.parametrize("path", PLAYS, ids=lambda path: path.stem)
def test_a_play_comes_out_as_written(path: Path, pytestconfig: pytest.Config) -> None:
    text = path.read_text()
    found = played(text, Stage(cast_of(path)).do)
    if pytestconfig.getoption("--rewrite"):
        path.write_text(found)
        return
    told = difference(path, text, found)
    name = f"tests/test_plays.py::test_a_play_comes_out_as_written[{path.stem}]"
    assert not told, f"\n{told}\n\nif this is right: pytest --rewrite '{name}'"


@pytest.mark.parametrize("kind", CASTS)
def test_every_protocol_has_plays(kind: str) -> None:
    assert len([path for path in PLAYS if path.stem.startswith(kind)]) >= 2


def test_a_play_that_comes_out_otherwise_is_told_with_the_line() -> None:
    text = "# two\nadd 1\nadd 2\n----\n1\n2\n\nadd 3\n----\n"
    assert played(text, lambda line: [line.removeprefix("add ")]) == text + "3\n"
    assert played("sleep\n----\nwell\n", lambda _: []) == "sleep\n----\nok\n"
    told = difference(Path("x.txt"), "a\nb\n", "a\nc\n")
    assert told.splitlines()[-2:] == ["-b", "+c"]


def test_an_unknown_verb_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Stage(Averaging()).do("dance a")
