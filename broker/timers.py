"""Which named timers are due, and when the next one is."""

import heapq
import sys
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """Named timers, each set at most once: setting it again replaces it."""

    def __init__(self) -> None:
        self._due_s: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._due_s)

    def set(self, key: K, due_s: float) -> None:
        """Let a timer run out at a host time in seconds."""
        self._count += 1
        self._due_s[key] = (due_s, self._count)
        heapq.heappush(self._heap, (due_s, self._count, key))
        # Replaced and cancelled timers stay in the heap; without this a busy peer's would grow.
        if len(self._heap) > 2 * len(self._due_s) + 64:
            self._heap = [(due, count, key) for key, (due, count) in self._due_s.items()]
            heapq.heapify(self._heap)

    def cancel(self, key: K) -> None:
        """Forget a timer, running or not."""
        self._due_s.pop(key, None)

    def next_s(self) -> float | None:
        """Return when the next timer runs out, or None when none runs."""
        while self._heap:
            due_s, count, key = self._heap[0]
            if self._due_s.get(key) == (due_s, count):
                return due_s
            heapq.heappop(self._heap)
        return None

    def pop_due(self, now_s: float, count_max: int = sys.maxsize) -> list[tuple[K, float]]:
        """Take out the timers that have run out, the earliest first, each with its due time.

        A timer that is set while the returned ones are worked on waits for the next call, however
        short: a timer of delay 0 cannot hold up a turn.
        """
        due: list[tuple[K, float]] = []
        while self._heap and self._heap[0][0] <= now_s and len(due) < count_max:
            due_s, count, key = heapq.heappop(self._heap)
            if self._due_s.get(key) == (due_s, count):
                del self._due_s[key]
                due.append((key, due_s))
        return due
