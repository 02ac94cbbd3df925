"""Far ends of links that need no operator, for the tests of the gate."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from peercell.agents.messages import Message
from peercell.broker.security.bucket import Bucket
from peercell.broker.security.caller import Caller, Rules, Voice
from peercell.broker.security.matrix import kinds_for
from peercell.broker.wire import Drop, Incoming, kind_of

FOREVER_S = 1e11


@dataclass
class House:
    """A host that has admitted some peers, each of which connects as the user of its own name.

    Parameters
    ----------
    roles : by peer
    kinds : that the host knows
    signed : of these, the names of those that need a signature; a good one is `good`
    burst : of each sender, with a token a second after that

    Attributes
    ----------
    revoked : peers that are members no more
    noted : refusals: (reason, user, kind)
    """

    roles: dict[str, str]
    kinds: Iterable[type[Message]]
    signed: frozenset[str] = frozenset()
    burst: float = 1000.0
    revoked: set[str] = field(default_factory=set)
    noted: list[tuple[Drop, str, str]] = field(default_factory=list)

    def caller(self, user: str) -> Caller:
        """Return the far end of a link."""
        return Caller(
            user,
            Rules(
                self._introduce,
                frozenset(map(kind_of, self.kinds)),
                self.signed,
                lambda key, _message, signature: key == signature,
                self._note,
            ),
        )

    def _introduce(self, user: str, peer: str, now_s: float) -> Voice | Drop:
        if user not in self.roles:
            return Drop.UNKNOWN_SENDER
        if user in self.revoked:
            return Drop.REVOKED
        if user != peer:
            return Drop.SPOOFED
        role = self.roles[peer]
        bucket = Bucket(now_s, 1.0, self.burst)
        return Voice(role, kinds_for(role, self.kinds), bucket, b"good", 0.0, FOREVER_S)

    def _note(self, envelope: Incoming, user: str, reason: Drop) -> None:
        self.noted.append((reason, user, envelope.kind))
