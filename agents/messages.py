"""What peers say to each other: the base of every message; each plane has its page.

Bounds: every float of a message has both bounds, since one bound lets infinity in and none lets
NaN in (docs/decisions.md, "bounded floats"). Arrays and strings have a maximal length.
"""

from typing import ClassVar

from msgspec import Struct


class Message(Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Base of everything that crosses a link; new fields go last and have a default.

    Notes
    -----
    `newest_by` names the fields that say which quantity a message states: an unsent message of the
    same kind and the same values there is replaced, never queued behind. `()` keeps one message a
    kind and receiver; None, the default, keeps them all. A message that `binds` its sender leaves
    only when all is saved that the sender is to remember.
    """

    newest_by: ClassVar[tuple[str, ...] | None] = None
    binds: ClassVar[bool] = False
