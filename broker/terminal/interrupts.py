"""When to end because somebody asked for it: at a point where nothing is half done."""

import signal
import time
from types import FrameType
from typing import Self

# s; how long a signal waits at most for somebody who pauses.
SLICE_S = 0.05


class Interrupts:
    """Notes SIGINT and SIGTERM inside a `with` block, for `check` to act on them.

    An exception out of a handler can leave a socket half open, and with it a process that does not
    end.
    """

    def __init__(self) -> None:
        self._number = 0

    def __enter__(self) -> Self:
        """Take the signals over."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt or SystemExit when a signal has come."""
        if self._number == signal.SIGINT:
            raise KeyboardInterrupt
        if self._number:
            raise SystemExit(128 + self._number)

    def pause(self, duration_s: float) -> None:
        """Return after some s, or raise as `check` does as soon as a signal has come."""
        until_s = time.monotonic() + duration_s
        while True:
            self.check()
            left_s = until_s - time.monotonic()
            if left_s <= 0.0:
                return
            time.sleep(min(SLICE_S, left_s))

    def _note(self, number: int, _: FrameType | None) -> None:
        self._number = number
