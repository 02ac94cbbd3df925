"""How often, and how soon, a process that failed is started again."""

from collections import deque

LIMIT = 5
WITHIN_S = 60.0
FIRST_DELAY_S = 0.25


class RestartBudget:
    """The restarts of one process: at once, then ever later, after the fifth in a minute never."""

    def __init__(self) -> None:
        self._failed_s: deque[float] = deque()

    def delay_s(self, now_s: float) -> float | None:
        """Note a failure; return after how long to start again, or None to give up.

        The first failure in a minute is answered at once, the next ones after 0.25, 0.5, 1 and 2 s.
        """
        while self._failed_s and self._failed_s[0] <= now_s - WITHIN_S:
            self._failed_s.popleft()
        if len(self._failed_s) == LIMIT:
            return None
        self._failed_s.append(now_s)
        again = len(self._failed_s) - 1
        return FIRST_DELAY_S * 2.0 ** (again - 1) if again else 0.0
