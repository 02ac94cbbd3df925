"""Mistakes that people make, each told in the three lines of the contract.

Every case changes a healthy village in its folder, then calls a command on it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from tests.broker.conftest import Run
from tests.broker.village import make_profiles, make_village

from peercell.broker.cells import save_cell
from peercell.broker.plots import style as plot_style
from peercell.grid.cellfile import Profiles, encode_profiles

SOLVE = "grid solve village --at 2016-05-28T12:00"
DAY = "grid day village --date 2016-05-28"


def _healthy(folder: Path) -> None:
    """Leave the village as it is."""


def _edit(old: str, new: str) -> Callable[[Path], None]:
    """Return a change of the text of the cell file."""

    def change(folder: Path) -> None:
        path = folder / "cell.json"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


def _profiles(alter: Callable[[Profiles], Profiles]) -> Callable[[Path], None]:
    """Return a change of the profiles."""

    def change(folder: Path) -> None:
        (folder / "profiles.npz").write_bytes(encode_profiles(alter(make_profiles())))

    return change


def _with_gap(profiles: Profiles) -> Profiles:
    sun = profiles["sun"].copy()
    sun[40:44] = np.nan
    return {**profiles, "sun": sun}


def _without_profiles(folder: Path) -> None:
    (folder / "profiles.npz").unlink()


def _static(folder: Path) -> None:
    """Take the timeline away."""
    cell = make_village()
    save_cell(structs.replace(cell, timeline=type(cell.timeline)()), {}, folder)


def _without_source(folder: Path) -> None:
    cell = make_village()
    save_cell(structs.replace(cell, sources=()), make_profiles(), folder)


@dataclass(frozen=True)
class Mistake:
    """What somebody did, and what must be said: exit code, and parts of the three lines."""

    change: Callable[[Path], None]
    command: str
    code: int
    what: str
    why: str
    fix: str


MISTAKES = {
    "unknown cell": Mistake(
        _healthy, "grid solve rural9", 4,
        'there is no cell "rural9"', "rural9/cell.json does not exist", "peercell grid ls",
    ),
    "unknown bus": Mistake(
        _healthy, "grid sens village --bus 44", 1,
        'there is no bus "44"', "did you mean 4", "",
    ),
    "unknown asset": Mistake(
        _healthy, SOLVE + " --set pv4=0,0", 1,
        'there is no asset "pv4"', "did you mean pv-4", "",
    ),
    "time without a day": Mistake(
        _healthy, "grid solve village --at 12:00", 2,
        "'12:00' is not a time", "usage: peercell grid solve", "peercell grid solve --help",
    ),
    "time outside the profiles": Mistake(
        _healthy, "grid solve village --at 2017-01-01T00:00", 1,
        'cell "village" has no profiles for 2017-01-01T00:00',
        "they cover 2016-05-28T00:00 to 2016-05-29T00:00",
        "peercell grid day village --date 2016-05-28",
    ),
    "day outside the profiles": Mistake(
        _healthy, "grid day village --date 2016-05-29", 1,
        'cell "village" has no profiles for 2016-05-29', "they cover", "--date 2016-05-28",
    ),
    "day of a cell without profiles": Mistake(
        _static, DAY, 1,
        "nothing is known of 2016-05-28", "one nominal snapshot", "peercell grid solve village",
    ),
    "no day": Mistake(
        _healthy, "grid day village", 2,
        "Missing option '--date'", "usage: peercell grid day", "peercell grid day --help",
    ),
    "set-point without reactive power": Mistake(
        _healthy, SOLVE + " --set pv-4=3kW", 2,
        "'pv-4=3kW' is not a set-point", "usage:", "peercell grid solve --help",
    ),
    "more than the network can carry": Mistake(
        _healthy, SOLVE + " --set load-6=-40MW,0", 5,
        "the power flow has no solution", "is the weakest", "reduce the power",
    ),
    "picture of an unknown kind": Mistake(
        _healthy, SOLVE + " --plot noon.bmp", 2,
        "'noon.bmp' must end in .svg, .png, .pdf", "usage:", "peercell grid solve --help",
    ),
    "picture in a folder that is not there": Mistake(
        _healthy, SOLVE + " --plot nowhere/noon.svg", 1,
        "cannot use nowhere/noon.svg", "No such file or directory", "",
    ),
    "not JSON": Mistake(
        _edit('"schema": 1,', '"schema": 1'), SOLVE, 1,
        "village/cell.json is not a cell file", "malformed", "",
    ),
    "misspelt key": Mistake(
        _edit('"r_ohm"', '"r_omh"'), SOLVE, 1,
        "village/cell.json is not a valid cell", "$.branches[0]", "",
    ),
    "value out of range": Mistake(
        _edit('"kv": 0.4', '"kv": -0.4'), SOLVE, 1,
        "village/cell.json is not a valid cell", "$.buses[1].kv", "",
    ),
    "schema of the future": Mistake(
        _edit('"schema": 1', '"schema": 9'), SOLVE, 1,
        "village/cell.json has cell schema 9", "", "compile the cell again",
    ),
    "branch to nowhere": Mistake(
        _edit('"to_bus": "1"', '"to_bus": "11"'), SOLVE, 1,
        'there is no bus "11"', "did you mean 1", "",
    ),
    "element without impedance": Mistake(
        _edit('"r_ohm": 0.0412, "x_ohm": 0.016', '"r_ohm": 0.0, "x_ohm": 0.0'), SOLVE, 1,
        '"line-5" has no impedance', "r and x are both 0 ohm", "use a switch between buses",
    ),
    "no source": Mistake(
        _without_source, SOLVE, 1,
        'cell "village" has no source', "no power can flow", "add an entry to `sources`",
    ),
    "missing profiles": Mistake(
        _without_profiles, SOLVE, 1,
        "village/profiles.npz is missing", "has a timeline", "",
    ),
    "profile of another length": Mistake(
        _profiles(lambda profiles: {**profiles, "sun": profiles["sun"][:95]}), SOLVE, 1,
        'profile "sun" in village/profiles.npz has 95 rows', "has 96 steps", "",
    ),
    "profile with a gap": Mistake(
        _profiles(_with_gap), SOLVE, 1,
        'profile "sun" in village/profiles.npz has 4 gaps', "2016-05-28T10:00:00", "fill the gaps",
    ),
    "profile that is not there": Mistake(
        _profiles(lambda profiles: {"home": profiles["home"]}), SOLVE, 1,
        'names the profile "sun"', "it has: home", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=[*MISTAKES])
def test_a_mistake_is_told_in_three_lines(run: Run, village: Path, mistake: Mistake) -> None:
    mistake.change(village)
    result = run(*mistake.command.split())
    assert (result.code, result.out) == (mistake.code, "")
    lines = result.err.splitlines()
    heads = [line[:7] for line in lines[1:]]
    assert lines[0].startswith("peercell: ")
    assert heads == [head for head in ("  why: ", "  try: ") if head in heads]
    assert mistake.what in lines[0]
    assert mistake.why in "".join(line for line in lines if line.startswith("  why: "))
    assert mistake.fix in "".join(line for line in lines if line.startswith("  try: "))


def test_a_missing_extra_says_how_to_get_it(
    run: Run, village: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plot_style, "import_module", _nothing_installed)
    result = run(*SOLVE.split(), "--plot", "noon.svg")
    assert (result.code, result.out) == (3, "")
    assert result.err.splitlines() == [
        "peercell: drawing a picture needs the extra [plot]",
        "  why: its libraries are not installed in this environment",
        "  try: ./peercell setup plot     or: pip install 'peercell[plot]'",
    ]


def _nothing_installed(name: str) -> object:
    raise ModuleNotFoundError(name)
