"""Who is at the other end of a link, by the key it has proved to have, and what it may say."""

from collections.abc import Callable
from typing import NamedTuple

from peercell.agents.signing import Verify
from peercell.broker.security.bucket import Bucket
from peercell.broker.wire import Drop, Incoming, signed_bytes

# Refusals of what was said by somebody else than who it names.
NOT_THEIRS = frozenset({Drop.UNKNOWN_SENDER, Drop.REVOKED, Drop.BANNED, Drop.SPOOFED})


class Voice(NamedTuple):
    """A peer that may speak over a link.

    Parameters
    ----------
    role : as its admission states it
    kinds : that it may say
    bucket : of its messages
    signing_key : of its signatures, Ed25519
    begins_s, ends_s : s, Unix time from which and until which it belongs to the cell
    """

    role: str
    kinds: frozenset[str]
    bucket: Bucket
    signing_key: bytes
    begins_s: float
    ends_s: float


class Rules(NamedTuple):
    """What a host makes of what others say; the same for all links.

    Parameters
    ----------
    introduce : (User-Id of a link, peer in whose name something was said, s of host time) -> that
        peer, or why it is not heard over this link
    known : kinds that this host knows
    signed : of these, the kinds that need a signature
    verify : (key, message, signature) -> whether the owner of the key has signed the message
    note : (what was said, by which user, why it is refused) is told of each refusal for who says it
    """

    introduce: Callable[[str, str, float], Voice | Drop]
    known: frozenset[str]
    signed: frozenset[str]
    verify: Verify
    note: Callable[[Incoming, str, Drop], None]


class Caller:
    """The far end of a link: one process, which speaks for one peer or for some.

    Parameters
    ----------
    user : User-Id of the link
    rules : of the host
    """

    __slots__ = ("_rules", "_voices", "user")

    def __init__(self, user: str, rules: Rules) -> None:
        self.user = user
        self._rules = rules
        # Only of those who may speak, and these are bounded: others would fill it with names.
        self._voices: dict[str, Voice] = {}

    def objection(self, envelope: Incoming, now_s: float) -> Drop | None:
        """Return why a message may not pass for who says it, or None.

        Parameters
        ----------
        envelope : that arrived over this link
        now_s : s, host time
        """
        voice = self._voices.get(envelope.src)
        if voice is None:
            heard = self._rules.introduce(self.user, envelope.src, now_s)
            if isinstance(heard, Drop):
                return self._refuse(envelope, heard)
            voice = self._voices[envelope.src] = heard
        if not voice.begins_s <= now_s <= voice.ends_s:
            return self._refuse(envelope, Drop.UNKNOWN_SENDER)
        # A kind that nobody here knows is of a later version, and counted as such further on.
        if envelope.kind not in voice.kinds and envelope.kind in self._rules.known:
            return self._refuse(envelope, Drop.FORBIDDEN)
        if not voice.bucket.take(now_s):
            return self._refuse(envelope, Drop.FLOOD)
        return None

    def vouches(self, envelope: Incoming) -> bool:
        """Return whether a message that had no objection is signed by its sender, if it has to be.

        Parameters
        ----------
        envelope : that arrived over this link
        """
        if envelope.kind not in self._rules.signed:
            return True
        key = self._voices[envelope.src].signing_key
        if self._rules.verify(key, signed_bytes(envelope), envelope.signature):
            return True
        self._refuse(envelope, Drop.BAD_SIGNATURE)
        return False

    def _refuse(self, envelope: Incoming, reason: Drop) -> Drop:
        self._rules.note(envelope, self.user, reason)
        return reason
