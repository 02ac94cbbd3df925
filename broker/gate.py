"""Which received messages may reach a role: each once, in time, from the newest run of its sender.

Checks go from cheap to dear and each refusal has a reason to count: size and envelope are `wire`'s,
then who says it over which link, what that role may say and how often (`security/caller.py`), then
the number within the sender's run, expiry, body and ranges. All state of receiving is here.
"""

import logging
from collections import Counter
from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.messages import Message
from peercell.broker.security.caller import NOT_THEIRS, Caller
from peercell.broker.wire import UNREADABLE, VERSION, Codec, Count, Drop, Incoming, why_unreadable

WINDOW = 64
SENDERS_MAX = 4096

log = logging.getLogger(__name__)


class Heard(Struct, frozen=True, array_like=True):
    """What became of the messages of a sender's present run, which it has numbered from 1.

    Parameters
    ----------
    incarnation : of the sender
    earlier : numbers before the first one that this gate was shown
    top : highest number that it was shown; top = earlier + applied + refused + missing
    applied, refused : of these, passed and not; copies of what it was shown before are not counted
    missing : of these, never shown; those of the last 64 may still come
    """

    incarnation: Count
    earlier: Annotated[int, Meta(ge=-1, le=2**53)]
    top: Count
    applied: Count
    refused: Count
    missing: Count


class _Sender(Struct, gc=False):
    """What was seen of a sender in its present run: all from `base` to `top` but the `gaps`.

    Of these `lost` are so old that they are not among the gaps any more, and do not count. Most
    have no gaps, and share this: sets of their own would be a tenth of the memory of a simulation.
    """

    incarnation: int
    base: int
    top: int
    applied: int = 0
    refused: int = 0
    lost: int = 0
    gaps: frozenset[int] = frozenset()

    @property
    def missing(self) -> int:
        return self.lost + len(self.gaps)


class Gate:
    """The receiving end of a peer, one for each.

    Parameters
    ----------
    codec : opens what may pass

    Attributes
    ----------
    refused : messages that did not, by reason
    """

    __slots__ = (
        "_applied_before",
        "_bodies",
        "_missing_before",
        "_senders",
        "_warned",
        "refused",
    )

    def __init__(self, codec: Codec) -> None:
        self.refused: Counter[Drop] = Counter()
        self._bodies = codec.bodies
        self._senders: dict[str, _Sender] = {}
        self._warned: set[str] = set()
        # Of runs of senders that are over.
        self._applied_before = self._missing_before = 0

    def admit(
        self, envelope: Incoming, now_s: float, caller: Caller | None = None
    ) -> Message | None:
        """Return the message in an envelope, or None when it may not pass, which is counted.

        Parameters
        ----------
        envelope : for this peer
        now_s : s, host time
        caller : the far end of the link that it came over; None where links have no keys
        """
        if caller is not None and (why := caller.objection(envelope, now_s)) is not None:
            self._turn_away(envelope, why)
            return None
        sender = self._senders.get(envelope.src)
        reason: Drop | None = None
        if (
            sender is not None
            and envelope.seq == sender.top + 1
            and envelope.incarnation == sender.incarnation
            and envelope.version == VERSION
        ):
            sender.top = envelope.seq
        else:
            reason = self._place(envelope, sender)
            if reason is not None:
                self.refused[reason] += 1
                return None
            sender = self._senders[envelope.src]
        if envelope.expires_s >= now_s:
            try:
                message = self._bodies[envelope.kind](envelope.body)
            except UNREADABLE as error:
                reason = why_unreadable(error)
            else:
                if caller is None or caller.vouches(envelope):
                    sender.applied += 1
                    return message
                reason = Drop.BAD_SIGNATURE
        else:
            reason = Drop.EXPIRED
        sender.refused += 1
        self.refused[reason] += 1
        return None

    def _turn_away(self, envelope: Incoming, reason: Drop) -> None:
        """Count a message that is refused for who says it.

        Where it is certain who that is, its number is taken as seen, for the books to balance; else
        it must not be, since anybody could use up the numbers of another.
        """
        self.refused[reason] += 1
        if (
            reason not in NOT_THEIRS
            and self._place(envelope, self._senders.get(envelope.src)) is None
        ):
            self._senders[envelope.src].refused += 1

    @property
    def applied(self) -> int:
        """Messages that passed."""
        return self._applied_before + sum(each.applied for each in self._senders.values())

    @property
    def missing(self) -> int:
        """Messages known from gaps in the numbering that never came; late ones may still come."""
        return self._missing_before + sum(each.missing for each in self._senders.values())

    @property
    def heard(self) -> dict[str, Heard]:
        """What became of the messages of each sender."""
        return {
            src: Heard(
                each.incarnation,
                each.base - 1,
                each.top,
                each.applied,
                each.refused,
                each.missing,
            )
            for src, each in self._senders.items()
        }

    def _place(self, envelope: Incoming, sender: _Sender | None) -> Drop | None:
        """Find the place of an envelope that is not the next one; return why there is none."""
        if envelope.version != VERSION:
            self._warn_once(envelope)
            return Drop.VERSION
        if sender is None or envelope.incarnation > sender.incarnation:
            return self._start(envelope, sender)
        if envelope.incarnation < sender.incarnation:
            return Drop.OLD_INCARNATION
        if envelope.seq > sender.top:
            self._advance(sender, envelope.seq)
        elif envelope.seq in sender.gaps:
            sender.gaps -= {envelope.seq}
        elif envelope.seq > max(sender.top - WINDOW, sender.base - 1):
            return Drop.DUPLICATE
        else:
            return Drop.STALE
        return None

    def _advance(self, sender: _Sender, seq: int) -> None:
        """Go on to a number, and leave gaps for those in between while they may still come."""
        oldest = seq - WINDOW + 1
        skipped = range(max(sender.top + 1, oldest), seq)
        late = {gap for gap in sender.gaps if gap < oldest}
        sender.lost += len(late) + seq - 1 - sender.top - len(skipped)
        sender.gaps = (sender.gaps - late).union(skipped)
        sender.top = seq

    def _start(self, envelope: Incoming, before: _Sender | None) -> Drop | None:
        """Begin to count a new sender, or a new run of a known one, which numbers from 1 again."""
        if before is None:
            if len(self._senders) >= SENDERS_MAX:
                return Drop.CROWDED
            # What a stranger said before this process ran is not missing here.
            self._senders[envelope.src] = _Sender(envelope.incarnation, envelope.seq, envelope.seq)
            return None
        self._missing_before += before.missing
        self._applied_before += before.applied
        sender = self._senders[envelope.src] = _Sender(envelope.incarnation, 1, 0)
        self._advance(sender, envelope.seq)
        return None

    def _warn_once(self, envelope: Incoming) -> None:
        if envelope.src in self._warned or len(self._warned) >= SENDERS_MAX:
            return
        self._warned.add(envelope.src)
        log.warning(
            "%s speaks wire version %d, this host %d: its messages are dropped",
            envelope.src,
            envelope.version,
            VERSION,
        )
