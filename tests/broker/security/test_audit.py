"""The log of refusals: the first of a kind at once, the others as a number."""

import logging

import pytest

from peercell.broker.security import audit
from peercell.broker.security.audit import Audit
from peercell.broker.wire import Drop


def test_a_line_a_minute_and_the_number_of_those_in_between(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = Audit()
    with caplog.at_level(logging.WARNING):
        for second in range(90):
            kept.note(Drop.FORBIDDEN, "a (prosumer)", "TimeOrder to grid", float(second))
        kept.note(Drop.SPOOFED, "a (prosumer)", "Note to grid", 90.0)
    assert [record.getMessage() for record in caplog.records] == [
        "refused forbidden: TimeOrder to grid from a (prosumer)",
        "refused forbidden: TimeOrder to grid from a (prosumer), and 59 times since the last line",
        "refused spoofed: Note to grid from a (prosumer)",
    ]


def test_whoever_makes_up_names_fills_neither_the_log_nor_the_memory(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "LINES_MAX", 3)
    kept = Audit()
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            kept.note(Drop.SPOOFED, "a", f"Note in the name of x{number}", number / 1000)
        kept.note(Drop.SPOOFED, "a", "Note in the name of y", 61.5)
    assert len(caplog.records) == 5
    assert caplog.records[3].getMessage() == "refused spoofed: more from others"
