"""What a journal says that its peer recorded and sent, without running the peer again."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Raw, Struct, ValidationError
from msgspec.msgpack import Decoder

from peercell.broker.journal import JournalError, Step, read
from peercell.broker.wire import body_decoder, kind_of, messages_of


class _Record(Struct, tag="Record"):
    fact: Raw


class _Send(Struct, tag="Send"):
    message: Raw


class _SetTimer(Struct, tag="SetTimer"):
    pass


class _CancelTimer(Struct, tag="CancelTimer"):
    pass


class _Remember(Struct, tag="Remember"):
    pass


class _Reply(Struct, tag="Reply"):
    pass


class _Head(Struct, array_like=True):
    kind: str


def facts(path: Path, union: Any, *, since_s: float) -> Iterator[Any]:
    """Yield the facts of a journal that are of a union of messages, from a host time on.

    Raises
    ------
    JournalError : the file is no journal, or another version of peercell has written it.
    """
    wanted = {kind_of(kind): body_decoder(kind) for kind in messages_of(union)}
    for step in _steps(path):
        # To search for a word costs a tenth of decoding a step.
        if step.now_s >= since_s and b"Record" in bytes(step.actions):
            for action in _actions(step.actions) or ():
                if isinstance(action, _Record):
                    decode = wanted.get(_head(action.fact).kind)
                    if decode is not None:
                        yield _known(decode, action.fact, path)


def count_sent(path: Path, union: Any) -> int:
    """Return how many messages of a union the peer of a journal has sent.

    Raises
    ------
    JournalError : the file is no journal.
    """
    wanted = {kind_of(kind) for kind in messages_of(union)}
    return sum(
        isinstance(action, _Send) and _head(action.message).kind in wanted
        for step in _steps(path)
        for action in _actions(step.actions) or ()
    )


def sent(path: Path, union: Any, *, since_s: float) -> Iterator[Any]:
    """Yield the messages of a union that the peer of a journal has sent, from a host time on.

    Raises
    ------
    JournalError : the file is no journal, or another version of peercell has written it.
    """
    wanted = {kind_of(kind): body_decoder(kind) for kind in messages_of(union)}
    for step in _steps(path):
        if step.now_s >= since_s:
            for action in _actions(step.actions) or ():
                if isinstance(action, _Send):
                    decode = wanted.get(_head(action.message).kind)
                    if decode is not None:
                        yield _known(decode, action.message, path)


def _known(decode: Callable[[Raw], Any], body: Raw, path: Path) -> Any:
    """Return a message as it is now; JournalError when it had other fields once."""
    try:
        return decode(body)
    except ValidationError as error:
        raise JournalError(
            f"{path} was written by another version of peercell",
            f"{_head(body).kind}: {error}",
            "run it again, or read it with the version that its run.json names",
        ) from error


def _steps(path: Path) -> Iterator[Step]:
    return (entry for entry in read(path) if isinstance(entry, Step))


_actions: Callable[[Raw], Sequence[object] | None] = Decoder(
    list[_Record | _Send | _SetTimer | _CancelTimer | _Remember | _Reply] | None
).decode
_head = Decoder(_Head).decode
