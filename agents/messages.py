"""What peers say to each other: the base of every message; each plane has its page.

Bounds: every float of a message has both bounds, since one bound lets infinity in and none lets
NaN in (docs/decisions.md, "bounded floats"). Arrays and strings have a maximal length.
"""

from msgspec import Struct


class Message(Struct, frozen=True, array_like=True, tag=True):
    """Base of everything that crosses a link; new fields go last and have a default."""
