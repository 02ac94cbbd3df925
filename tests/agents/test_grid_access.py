import pytest

from peercell.agents.grid_access import GridAccess
from peercell.agents.grid_messages import (
    GridHello,
    GridRefusal,
    GridWelcome,
    SetPoints,
    StateQuery,
    StateReport,
)
from peercell.agents.grid_parts import RefusalCode, RefusalFacts, SetPoint, Stamp, View
from peercell.agents.protocol import Send

STAMP = Stamp(1, 0)


def welcome(seq: int, seq_newest: int) -> GridWelcome:
    return GridWelcome(
        seq, STAMP, "cell", "0" * 64, seq_newest, (), (), (), sees_all=False, operates=False
    )


def write(p_kw: float) -> SetPoints:
    return SetPoints(0, (SetPoint("pv", p_kw),))


def met(seq_newest: int = 40) -> GridAccess:
    """Return an access whose hello was answered."""
    access = GridAccess("grid")
    access.ask(GridHello(0))
    assert access.hear(welcome(1, seq_newest)) == GridHello(1)
    return access


def test_nothing_is_asked_before_the_service_has_said_how_to_count() -> None:
    access = GridAccess("grid")
    assert access.ask(GridHello(0)) == [Send("grid", GridHello(1))]
    assert access.ask(write(1.0)) == []
    assert access.repeat() == [Send("grid", GridHello(1))]
    access.hear(welcome(1, 40))
    assert access.repeat() == [Send("grid", SetPoints(41, (SetPoint("pv", 1.0),)))]


def test_a_request_is_repeated_until_it_is_answered() -> None:
    access = met()
    sent = access.ask(StateQuery(0, View()))
    assert access.repeat() == sent == [Send("grid", StateQuery(41, View()))]
    assert access.hear(StateReport(41, STAMP)) == StateQuery(41, View())
    assert access.hear(StateReport(41, STAMP)) is None
    assert access.repeat() == []


def test_a_newer_request_of_a_type_replaces_the_older() -> None:
    access = met()
    access.ask(write(1.0))
    access.ask(write(2.0))
    assert access.hear(StateReport(41, STAMP)) is None
    assert access.repeat() == [Send("grid", SetPoints(42, (SetPoint("pv", 2.0),)))]


def test_a_stale_number_is_raised() -> None:
    access = met()
    access.ask(write(1.0))
    stale = GridRefusal(41, STAMP, RefusalCode.STALE_SEQ, "late", facts=RefusalFacts(seq_newest=99))
    assert access.hear(stale) is None
    assert access.repeat() == [Send("grid", SetPoints(100, (SetPoint("pv", 1.0),)))]


@pytest.mark.parametrize(
    ("code", "again"), [(RefusalCode.BUSY, True), (RefusalCode.COLLAPSE, False)]
)
def test_a_refusal_is_final_unless_the_service_was_busy(code: RefusalCode, *, again: bool) -> None:
    access = met()
    access.ask(write(1.0))
    access.hear(GridRefusal(41, STAMP, code, "no"))
    assert access.waits is again
