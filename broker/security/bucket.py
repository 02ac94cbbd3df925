"""How many messages a sender may have heard: some thousand at once, then so many a second."""

RATE_PER_S = 2_000.0
BURST = 8_192.0


class Bucket:
    """Tokens of one sender: each message takes one, and time brings new ones.

    Parameters
    ----------
    now_s : s, host time
    rate_per_s : 1/s, tokens that time brings; more lets a misbehaving member cost more
    burst : tokens at first, and at most
    """

    __slots__ = ("_burst", "_rate_per_s", "_since_s", "_tokens")

    def __init__(self, now_s: float, rate_per_s: float = RATE_PER_S, burst: float = BURST) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._since_s = now_s

    def take(self, now_s: float) -> bool:
        """Take a token at a host time, and return whether there was one."""
        if self._tokens < 1.0:
            # A clock that was set back brings nothing.
            brought = max(0.0, now_s - self._since_s) * self._rate_per_s
            self._tokens = min(self._burst, self._tokens + brought)
            self._since_s = now_s
            if self._tokens < 1.0:
                return False
        self._tokens -= 1.0
        return True
