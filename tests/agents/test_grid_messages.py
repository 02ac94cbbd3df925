"""What may cross a link to the grid service: bounded values only, and the same after the trip."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from msgspec import inspect

from peercell.agents.grid_messages import (
    DisturbanceOrder,
    GridReply,
    GridRequest,
    GridRevision,
    SetPoints,
    StateReport,
    Subscription,
    SwitchingOrder,
    TimeOrder,
    WhatIfQuery,
)
from peercell.agents.grid_parts import (
    Case,
    DeadBand,
    Disturbance,
    Disturbed,
    Outage,
    Reading,
    RefusalCode,
    SetPoint,
    SourceState,
    Stamp,
    Switching,
    SwitchPosition,
    TapPosition,
    View,
)
from peercell.agents.messages import Message

MESSAGES: tuple[type[Message], ...] = (*get_args(GridRequest), *get_args(GridReply), GridRevision)


def unbounded(kind: inspect.Type, path: str = "") -> Iterator[str]:
    """Yield where a value may be as large as it likes, or is of a kind not known here."""
    match kind:
        case inspect.UnionType(types=options):
            for option in options:
                yield from unbounded(option, path)
        case inspect.StructType(fields=fields):
            for field in fields:
                yield from unbounded(field.type, f"{path}.{field.name}")
        case inspect.VarTupleType(item_type=item):
            yield from unbounded(item, f"{path}[]")
    if not is_bounded(kind):
        yield path


def is_bounded(kind: inspect.Type) -> bool:
    match kind:
        case inspect.FloatType(ge=least, le=most) | inspect.IntType(ge=least, le=most):
            return least is not None and most is not None
        case inspect.StrType(max_length=length) | inspect.VarTupleType(max_length=length):
            return length is not None
        case inspect.DateTimeType(tz=has_zone):
            return has_zone is False
        case inspect.UnionType() | inspect.StructType() | inspect.EnumType():
            return True
        case _:
            return isinstance(kind, inspect.BoolType | inspect.NoneType)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_every_value_has_its_bounds(message: type[Message]) -> None:
    assert list(unbounded(inspect.type_info(message), message.__name__)) == []


def test_an_unbounded_value_is_seen() -> None:
    class Loose(msgspec.Struct):
        names: tuple[str, ...]
        power_kw: float

    assert list(unbounded(inspect.type_info(Loose))) == [".names[]", ".names", ".power_kw"]


EXAMPLES: list[Message] = [
    SetPoints(3, (SetPoint("pv-2", 1.5), SetPoint("bat-1", None, -2.0)), View(("1", "2"))),
    Subscription(4, None, DeadBand(0.01, 1.0, 5.0)),
    WhatIfQuery(
        5,
        (
            Case((SetPoint("pv-2"),)),
            Case(
                (),
                Switching(
                    (SwitchPosition("tie", closed=True),),
                    (TapPosition("t", -1),),
                    (Outage("line-1", out=True),),
                    (SourceState("battery", on=True, bus="4", v_pu=1.01),),
                ),
            ),
        ),
    ),
    SwitchingOrder(6, Switching()),
    DisturbanceOrder(8, Disturbance("f1", (Disturbed("pv-2", tripped=True),))),
    StateReport(7, Stamp(1, 2), Reading(1.0, -2.0, 3.0, 0.9, 1.1, None, 8, (1.0, None), (None,))),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    frame = msgspec.msgpack.encode(message)
    assert msgspec.msgpack.decode(frame, type=GridRequest | GridReply) == message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e13])
def test_a_power_that_is_no_power_is_refused_at_the_door(value: float) -> None:
    frame = msgspec.msgpack.encode(SetPoints(1, (SetPoint("pv-2", value),)))
    with pytest.raises(msgspec.ValidationError, match="Expected `float`"):
        msgspec.msgpack.decode(frame, type=GridRequest)


def test_a_time_with_a_zone_is_refused_at_the_door() -> None:
    frame = msgspec.msgpack.encode(["TimeOrder", 1, "2016-05-28T12:00:00Z"])
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(frame, type=TimeOrder)


@pytest.mark.parametrize(
    "word",
    [*(message.__name__ for message in MESSAGES), *(code.value for code in RefusalCode)],
)
def test_the_reference_names_it(word: str) -> None:
    page = Path(__file__).parents[2] / "docs/reference/grid-service.md"
    assert f"`{word}`" in page.read_text()
