"""Whom a host hears: who may connect, in whose name a link speaks, and what each role may say."""

from collections.abc import Iterable

from zmq.utils import z85

from peercell.agents.admission import Members, Standing
from peercell.agents.messages import Message
from peercell.agents.signing import Verify
from peercell.broker.security.audit import Audit
from peercell.broker.security.bucket import Bucket
from peercell.broker.security.caller import Caller, Rules, Voice
from peercell.broker.security.matrix import kinds_for
from peercell.broker.security.signing import SIGNED
from peercell.broker.wire import Drop, Incoming, kind_of

CALLERS_MAX = 4096
# s for which a member is not heard that did what none does by mistake.
BAN_S = 60.0


class Guard:
    """What a host knows of the others at its door.

    Parameters
    ----------
    members : who belongs to the cell; asked again whenever it has changed
    kinds : of message that this host knows
    verify : checks signatures

    Notes
    -----
    The User-Id of a link is its key in Z85, as the answer to its handshake has set it.
    """

    def __init__(self, members: Members, kinds: Iterable[type[Message]], verify: Verify) -> None:
        self._members = members
        self._kinds = tuple(kinds)
        self._audit = Audit()
        self._rules = Rules(
            self._introduce, frozenset(map(kind_of, self._kinds)), SIGNED, verify, self._note
        )
        self._callers: dict[str, Caller] = {}
        self._seen = members.hash
        # These outlive a change of the members: a flood does not get a new one by it.
        self._buckets: dict[str, Bucket] = {}
        self._banned_s: dict[str, float] = {}
        self._now_s = 0.0

    def caller(self, user: str, now_s: float) -> Caller:
        """Return the far end of a link by its User-Id.

        Parameters
        ----------
        user : of a frame
        now_s : s, host time
        """
        self._now_s = now_s
        if self._members.hash != self._seen or len(self._callers) > CALLERS_MAX:
            self._seen = self._members.hash
            self._callers.clear()
        caller = self._callers.get(user)
        if caller is None:
            caller = self._callers[user] = Caller(user, self._rules)
        return caller

    def standing(self, curve: bytes, now_s: float) -> Standing:
        """Return what the key of a link is worth that wants to be let in."""
        if self._is_banned(z85.encode(curve).decode(), now_s):
            return Standing.UNKNOWN
        return self._members.standing(curve, now_s)

    def ban(self, user: str, what: str, now_s: float) -> None:
        """Hear nothing for a minute from somebody who did what no peer does, and write it down.

        Parameters
        ----------
        user : of the link
        what : it did
        now_s : s, host time
        """
        self._now_s = now_s
        self._audit.note(Drop.BANNED, self._who(user), what, now_s)
        self._banned_s[user] = now_s + BAN_S
        self._callers.pop(user, None)

    def _is_banned(self, user: str, now_s: float) -> bool:
        if now_s < self._banned_s.get(user, 0.0):
            return True
        self._banned_s.pop(user, None)
        return False

    def turn_away(self, user: str, address: str, standing: Standing, now_s: float) -> None:
        """Write down who was not let in, by its key and the address it came from."""
        reason = Drop.REVOKED if standing is Standing.REVOKED else Drop.UNKNOWN_SENDER
        self._audit.note(reason, f"key {user} at {address}", "a link", now_s)

    def _introduce(self, user: str, peer: str, now_s: float) -> Voice | Drop:
        """Return a peer in whose name something was said over a link, or why it is not heard."""
        if self._is_banned(user, now_s):
            return Drop.BANNED
        curve = z85.decode(user)
        standing = self._members.standing(curve, now_s)
        if standing is not Standing.MEMBER:
            return Drop.REVOKED if standing is Standing.REVOKED else Drop.UNKNOWN_SENDER
        admission = self._members.get(peer)
        if admission is None:
            return Drop.SPOOFED
        for keys in admission.counts(now_s):
            if keys.curve == curve:
                return Voice(
                    admission.role,
                    kinds_for(admission.role, self._kinds),
                    self._buckets.setdefault(peer, Bucket(now_s)),
                    keys.signing,
                    keys.not_before_s,
                    keys.expires_s,
                )
        return Drop.SPOOFED

    def _note(self, envelope: Incoming, user: str, reason: Drop) -> None:
        who = self._who(user)
        what = envelope.kind
        if reason is Drop.SPOOFED:
            what = f"{what} in the name of {envelope.src!r}"
        self._audit.note(reason, who, f"{what} to {envelope.dst}", self._now_s)

    def _who(self, user: str) -> str:
        """Return the peer behind a link, as far as it is known, and its key."""
        admission = self._members.member_of(z85.decode(user), self._now_s)
        named = f"{admission.peer} ({admission.role})" if admission is not None else "somebody"
        return f"{named}, key {user}"
