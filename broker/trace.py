"""A running digest of all that happens in a run: two runs are the same if their digests are."""

from hashlib import blake2b
from struct import Struct as Packing

DIGEST_BYTES = 16
_TOGETHER = 2048


class Trace:
    """Takes in bytes, most often a few at a time, in the order in which things happen."""

    def __init__(self) -> None:
        self._digest = blake2b(digest_size=DIGEST_BYTES)
        self._parts: list[bytes] = []
        # A list takes in what comes cheaper than any method of ours.
        self.note = self._parts.append

    def event(self, now_s: float, peer: bytes, what: bytes) -> None:
        """Note that something happened to a peer at a time."""
        parts = self._parts
        parts.append(_pack(now_s, len(peer), len(what)))
        parts.append(peer)
        parts.append(what)
        if len(parts) > _TOGETHER:
            self._take_in()

    def hexdigest(self) -> str:
        """Return the digest of all up to now."""
        self._take_in()
        return self._digest.hexdigest()

    def _take_in(self) -> None:
        self._digest.update(b"".join(self._parts))
        self._parts.clear()


_pack = Packing("<dII").pack
