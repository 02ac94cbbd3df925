"""Logs as they grow: each line once, whatever happens to the file."""

from pathlib import Path

import pytest

from peercell.agents.errors import PeercellError
from peercell.broker.processes.logs import chosen_logs, follow, newest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a run with two logs."""
    (tmp_path / "mg1.trader.log").write_text("".join(f"line {k}\n" for k in range(30)))
    (tmp_path / "supervisor.log").write_text("begins\n")
    return tmp_path


def test_the_newest_lines_of_what_is_selected(folder: Path) -> None:
    lines = [*newest(chosen_logs(folder, ("mg1.*",)), 2)]
    assert [(each.peer, each.line) for each in lines] == [
        ("mg1.trader", "line 28"),
        ("mg1.trader", "line 29"),
    ]
    assert [*chosen_logs(folder, ())] == ["mg1.trader", "supervisor"]


def test_a_log_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(PeercellError, match='there is no peer "mg9"') as refusal:
        chosen_logs(folder, ("mg9",))
    assert "--pack" in refusal.value.fix
    with pytest.raises(PeercellError, match='there is no run "nowhere"'):
        chosen_logs(folder / "nowhere", ())


def test_what_is_logged_later_is_told_once_and_in_whole_lines(folder: Path) -> None:
    log = folder / "mg1.trader.log"

    def half_a_line() -> None:
        with log.open("a") as file:
            file.write("new\nhalf")

    def the_rest_and_another_log() -> None:
        with log.open("a") as file:
            file.write(" of it\n")
        (folder / "dso.log").write_text("wakes up\n")

    def a_fresh_log() -> None:
        log.replace(folder / "mg1.trader.log.1")
        log.write_text("fresh\n")

    def gone() -> None:
        log.unlink()

    def back() -> None:
        log.write_text("back\n")

    events = iter([half_a_line, the_rest_and_another_log, a_fresh_log, gone, back])

    def go_on() -> bool:
        happens = next(events, None)
        if happens is not None:
            happens()
        return happens is not None

    told = [(each.peer, each.line) for each in follow(lambda: chosen_logs(folder, ()), 1, go_on)]
    assert told == [
        ("mg1.trader", "line 29"),
        ("supervisor", "begins"),
        ("mg1.trader", "new"),
        ("dso", "wakes up"),
        ("mg1.trader", "half of it"),
        ("mg1.trader", "fresh"),
        ("mg1.trader", "back"),
    ]
