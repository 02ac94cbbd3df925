"""Pictures: a mark for every bus, equal bytes for equal answers, no matplotlib unless asked."""

import re
from pathlib import Path

import pytest
from tests.broker.conftest import Run

from peercell.broker.plots import style as plot_style

NOON = ("--at", "2016-05-28T12:00")


def _marks(svg: str) -> list[str]:
    """Return the fill colours of the bus marks."""
    group = svg.partition('<g id="buses">')[2].partition("</g>")[0]
    return re.findall(r'style="fill: (#[0-9a-f]{6}); stroke: #22303c', group)


def test_every_bus_has_a_mark_coloured_by_its_voltage(
    run: Run, village: Path, tmp_path: Path
) -> None:
    assert run("grid", "solve", "village", *NOON, "--plot", "noon.svg").code == 0
    marks = _marks((tmp_path / "noon.svg").read_text())
    assert len(marks) == 8
    mv, three, four = marks[0], marks[4], marks[5]
    assert three == four != mv
    red, green, blue = (int(three[k : k + 2], 16) for k in (1, 3, 5))
    assert red > green
    assert red > blue, "1.0956 pu is red"


def test_equal_answers_give_equal_files(run: Run, village: Path, tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        run("grid", "day", "village", "--date", "2016-05-28", "--plot", name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("name", "head"), [("day.png", b"\x89PNG"), ("day.svg", b"<?xml"), ("day.PDF", b"%PDF")]
)
def test_a_day_is_drawn_in_every_format(
    run: Run, village: Path, tmp_path: Path, name: str, head: bytes
) -> None:
    result = run("grid", "day", "village", "--date", "2016-05-28", "--plot", name)
    assert result.code == 0
    assert (tmp_path / name).read_bytes().startswith(head)


def test_without_a_picture_matplotlib_stays_out(
    run: Run, village: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plot_style, "import_module", pytest.fail)
    assert run("grid", "day", "village", "--date", "2016-05-28").code == 0
