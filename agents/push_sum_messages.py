"""What the two ends of a push-sum link say to each other."""

from typing import Annotated, ClassVar

from msgspec import Meta

from peercell.agents.messages import Message
from peercell.agents.units import Counter

NUMBER_BYTES = 8
"""Length of one counter: a signed integer, least byte first, that wraps around."""

SUMS_MAX = 64
"""Most sums that are gossiped together, the weight not counted."""

Counters = Annotated[bytes, Meta(max_length=NUMBER_BYTES * (SUMS_MAX + 1))]


class Sum(Message, frozen=True):
    """All that I have given you since our sessions met: each sum, then the weight.

    `session` is mine, `peer_session` is yours as far as I know it; `seq` counts what I send you.
    """

    newest_by: ClassVar[tuple[str, ...] | None] = ()

    session: Counter
    peer_session: Counter
    seq: Counter
    given: Counters


class Heard(Message, frozen=True):
    """I have your message `seq`; 0 only says which session of mine is to be addressed."""

    newest_by: ClassVar[tuple[str, ...] | None] = ()

    session: Counter
    peer_session: Counter
    seq: Counter


PushSumMessage = Sum | Heard
"""All of this page."""
