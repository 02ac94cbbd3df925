"""What each end of a push-sum link knows of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Mass = list[int]


class Account(NamedTuple):
    """What has passed over a link since its two sessions met, in units of mass.

    What an end has taken is what the other one has given, once it has heard the last message.

    Parameters
    ----------
    sessions : of this end and of the other
    seq, given : number of the last message that was sent, and all that was given up to it
    heard, taken : number of the last one that was heard, and all that was taken up to it
    """

    sessions: tuple[int, int]
    seq: int
    given: tuple[int, ...]
    heard: int
    taken: tuple[int, ...]


@dataclass(slots=True, eq=False)
class Link:
    """One end of a link.

    Parameters
    ----------
    own, theirs : sessions of the two ends; 0 where the other one's is not known yet
    given, taken : all since the two met
    mask, masked : the part of what was given that is mask, and whether it hides the input of now
    seq, acknowledged, heard : numbers of the last message that was sent, of the last one of these
        that the other end has told to have, and of the last one that it has sent
    told : the tick of each message after the last acknowledged one
    tries : times that it was told again since
    """

    own: int
    theirs: int
    given: Mass
    taken: Mass
    mask: Sequence[int]
    masked: bool = False
    seq: int = 0
    acknowledged: int = 0
    heard: int = 0
    told: list[int] = field(default_factory=list)
    tries: int = 0

    @classmethod
    def between(cls, own: int, theirs: int, nothing: tuple[int, ...]) -> "Link":
        """Return a link between two sessions over which nothing has passed."""
        return cls(own, theirs, list(nothing), list(nothing), nothing)
