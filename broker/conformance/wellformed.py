"""Is what a role returns what a host can carry? Actions, their types, and what is in messages."""

import math
from collections.abc import Iterator
from functools import cache

import msgspec
from msgspec import inspect

from peercell.agents.messages import Message
from peercell.agents.protocol import (
    CancelTimer,
    Commanded,
    Event,
    Record,
    Remember,
    Reply,
    Send,
    SetTimer,
)
from peercell.broker.wire import FRAME_BYTES_DEFAULT, UNDECODABLE

NAME_LENGTH_MAX = 64
KEPT_BYTES_MAX = 1024 * 1024


def malformed(actions: object, event: Event) -> str:
    """Return what is wrong with the answer to an event, in a few words; "" for nothing."""
    if not isinstance(actions, list):
        return f"step() returned {actions!r}, which is no list of actions"
    return next(filter(None, (_action(action, event) for action in actions)), "")


def _action(action: object, event: Event) -> str:
    match action:
        case Send(to=to, message=message):
            wrong = _name("Send.to", to) or _message(message)
        case SetTimer(name=name, after_s=after_s):
            wrong = _name("SetTimer.name", name) or _delay(name, after_s)
        case CancelTimer(name=name):
            wrong = _name("CancelTimer.name", name)
        case Remember(name=name, what=what):
            wrong = _name("Remember.name", name) or _kept(name, what)
        case Record(fact=fact):
            wrong = _message(fact)
        case Reply(request_id=asked, answer=answer):
            right = isinstance(event, Commanded) and event.request_id == asked
            wrong = _message(answer) if right else f"Reply({asked!r}) answers no request"
        case _:
            wrong = f"{action!r} is no action"
    return wrong


def _kept(name: str, what: object) -> str:
    fits = isinstance(what, bytes) and len(what) <= KEPT_BYTES_MAX
    return "" if fits else f"{name!r} is to be remembered as what is not up to 1 MiB of bytes"


def _delay(name: str, after_s: object) -> str:
    fits = isinstance(after_s, int | float) and 0.0 <= after_s < math.inf
    return "" if fits else f"the timer {name!r} is set to {after_s!r} s"


def _name(what: str, name: object) -> str:
    fits = isinstance(name, str) and 0 < len(name) <= NAME_LENGTH_MAX
    return "" if fits else f"{what} is {name!r}, not a text of 1 to {NAME_LENGTH_MAX} letters"


def _message(message: object) -> str:
    """Return what keeps a message from arriving as it was sent."""
    if not isinstance(message, Message):
        return f"{message!r} is no Message"
    kind = type(message).__name__
    if loose := _unbounded(type(message)):
        return f"{loose} has not both bounds, so infinity or NaN would be taken for a number"
    try:
        encoded = msgspec.msgpack.encode(message)
        arrived = msgspec.msgpack.decode(encoded, type=type(message))
    except (TypeError, ValueError, OverflowError, *UNDECODABLE) as error:
        return f"{kind} does not arrive: {error}, in {message!r}"
    if arrived != message:
        return f"{kind} arrives otherwise: {arrived!r} instead of {message!r}"
    if len(encoded) > FRAME_BYTES_DEFAULT:
        return f"{kind} takes {len(encoded):,} bytes, more than {FRAME_BYTES_DEFAULT:,}"
    return ""


@cache
def _unbounded(kind: type[Message]) -> str:
    """Return the first float of a message that lacks a bound, or ""."""
    return next(_loose(inspect.type_info(kind), kind.__name__, frozenset()), "")


def _loose(kind: inspect.Type, path: str, seen: frozenset[type]) -> Iterator[str]:
    match kind:
        case inspect.FloatType(ge=ge, gt=gt, le=le, lt=lt):
            if (ge is None and gt is None) or (le is None and lt is None):
                yield path
        case inspect.StructType(cls=cls, fields=fields) if cls not in seen:
            for field in fields:
                yield from _loose(field.type, f"{path}.{field.name}", seen | {cls})
        case _:
            for inner in _inner(kind):
                yield from _loose(inner, path, seen)


def _inner(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    """Return the types of what a value holds, or may be."""
    match kind:
        case inspect.UnionType(types=types):
            return types
        case inspect.TupleType(item_types=types):
            return types
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return (item,)
        case inspect.DictType(value_type=value):
            return (value,)
        case _:
            return ()
