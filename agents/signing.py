"""How a statement is signed: over the very bytes that travel, so that anybody may pass it on."""

from collections.abc import Callable
from enum import Enum, auto
from typing import Annotated

from msgspec import Meta, Struct

PeerId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$")]
Endpoint = Annotated[str, Meta(pattern=r"^(tcp|ipc)://", max_length=128)]
Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Instant = Annotated[float, Meta(ge=0.0, le=1e11)]

# (key, message, signature) -> whether the owner of the key has signed the message.
Verify = Callable[[bytes, bytes, bytes], bool]
Sign = Callable[[bytes], bytes]


class SignedRecord(Struct, frozen=True, array_like=True):
    """A statement as it was encoded by who made it, with the signature over these very bytes."""

    record: Annotated[bytes, Meta(max_length=512)]
    signature: Signature


class Merged(Enum):
    """What became of a statement that arrived.

    CONFLICT is two different ones that claim the same age: a stolen key, or two copies run.
    """

    NEWS = auto()
    KNOWN = auto()
    OLD = auto()
    FALSE = auto()
    CONFLICT = auto()
