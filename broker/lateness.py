"""How late the timers of a host fire: the first sign that it is overloaded."""

# Bucket k counts what took at most 0.1 ms * 2^k; the last one takes the rest (above 25 s). A tenth
# of a second, which is the goal, is the edge of a bucket, so that the histogram can tell.
BUCKETS = 19
SMALLEST_S = 0.1 / 1024


class Lateness:
    """How late the timers fired: a histogram of fixed size."""

    def __init__(self) -> None:
        self.count = 0
        self.max_s = 0.0
        self._buckets = [0] * BUCKETS

    def note(self, late_s: float) -> None:
        """Count a timer that fired so many seconds after it was due."""
        self.count += 1
        self.max_s = max(self.max_s, late_s)
        bucket = 0
        while late_s > SMALLEST_S * (1 << bucket) and bucket < BUCKETS - 1:
            bucket += 1
        self._buckets[bucket] += 1

    def quantile_s(self, share: float) -> float:
        """Return what a share of the timers did not exceed, rounded up to a bucket; 0 for none.

        Parameters
        ----------
        share : within 0 … 1
        """
        wanted = share * self.count
        reached = 0
        for bucket, count in enumerate(self._buckets[:-1]):
            reached += count
            if reached >= wanted and reached:
                return min(SMALLEST_S * (1 << bucket), self.max_s)
        return self.max_s
