"""Three kinds of message that the tests of the runtime speak."""

from typing import Annotated, ClassVar

from msgspec import Meta

from peercell.agents.messages import Message

Price = Annotated[float, Meta(ge=-1e6, le=1e6)]


class Quote(Message, frozen=True):
    """A price that only the newest of is worth sending."""

    newest_by: ClassVar[tuple[str, ...] | None] = ("market",)

    market: Annotated[str, Meta(max_length=64)]
    price: Price
    slopes: Annotated[tuple[Price, ...], Meta(max_length=256)] = ()


class Note(Message, frozen=True):
    """A text of which every single one counts."""

    text: Annotated[str, Meta(max_length=400_000)]
    number: Annotated[int, Meta(ge=0, le=2**53)] = 0


class Vow(Message, frozen=True):
    """A number that binds who says it."""

    binds: ClassVar[bool] = True

    number: Annotated[int, Meta(ge=0, le=2**53)]


AnyTestMessage = Quote | Note | Vow
