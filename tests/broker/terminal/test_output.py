"""Formats: aligned tables, JSON that any reader takes, never a number that is not finite."""

import csv
import io
import json
import math
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.broker.terminal.output import Answer, Format, Row, builtins, listing, render, table


class _Reading(msgspec.Struct, frozen=True):
    bus: str
    v_pu: float | None
    at: datetime


def test_a_table_aligns_numbers_to_the_right_and_marks_the_unknown() -> None:
    rows: list[Row] = [
        {"bus": "1", "v_pu": 1.02, "steps": 3, "name": "busbar"},
        {"bus": "house-12", "v_pu": None, "steps": 12, "name": ""},
    ]
    columns = {"bus": "", "v_pu": ".4f", "steps": "", "name": ""}
    assert table(rows, columns).splitlines() == [
        "BUS         V PU  STEPS  NAME",
        "1         1.0200      3  busbar",
        "house-12       -     12  -",
    ]


def test_one_answer_in_four_formats() -> None:
    at = datetime(2016, 5, 28, 12)
    answer = listing([_Reading("1", 1 / 3, at), _Reading("2", None, at)], {"bus": "", "v_pu": ""})
    first = {"bus": "1", "v_pu": 0.333333333, "at": "2016-05-28T12:00:00"}
    second = {"bus": "2", "v_pu": None, "at": "2016-05-28T12:00:00"}
    assert render(answer, Format.TABLE).splitlines()[0] == "BUS         V PU"
    assert json.loads(render(answer, Format.JSON)) == [first, second]
    lines = render(answer, Format.JSONL).splitlines()
    assert [json.loads(line) for line in lines] == [first, second]
    rows = list(csv.DictReader(io.StringIO(render(answer, Format.CSV))))
    assert rows == [{"bus": "1", "v_pu": "0.333333333"}, {"bus": "2", "v_pu": ""}]


def test_nothing_is_an_empty_list_and_a_bare_header() -> None:
    answer = listing([], {"bus": "", "v_pu": ""})
    said = {form: render(answer, form) for form in Format}
    assert said == {
        Format.TABLE: "", Format.WIDE: "", Format.JSON: "[]", Format.JSONL: "",
        Format.CSV: "bus,v_pu",
    }  # fmt: skip


@pytest.mark.parametrize("form", [Format.JSON, Format.JSONL, Format.CSV])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_never_written(form: Format, value: float) -> None:
    row = {"v_pu": value}
    answer = Answer(data=[row], rows=[row], columns=("v_pu",), text="")
    with pytest.raises(ValueError, match="tried to print"):
        render(answer, form)
    with pytest.raises(ValueError, match="tried to print"):
        table([row], {"v_pu": ".2f"})


def test_real_clocks_are_rfc_3339() -> None:
    assert builtins(datetime(2026, 11, 2, 14, 2, tzinfo=UTC)) == "2026-11-02T14:02:00Z"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_printed_numbers_keep_nine_digits(value: float) -> None:
    printed = builtins(value)
    assert isinstance(printed, float)
    assert math.isclose(printed, value, rel_tol=1e-8)
    assert len(f"{printed:.17g}") >= len(repr(printed)) - 2
