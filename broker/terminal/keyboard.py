"""Which keys somebody presses at the terminal, without waiting for them."""

import os
import select
import sys
import termios
import tty
from typing import Any, Self


class Keyboard:
    """Gives keys as they are pressed inside a `with` block, where stdin is a terminal of ours.

    A process in the background that touched the terminal would be stopped.
    """

    def __init__(self) -> None:
        self._before: list[Any] | None = None

    def __enter__(self) -> Self:
        """Let keys through without Enter; Ctrl-C stays a signal."""
        if sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp():
            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin, termios.TCSANOW)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back as it was."""
        if self._before is not None:
            termios.tcsetattr(sys.stdin, termios.TCSANOW, self._before)

    def pressed(self) -> str:
        """Return the keys that were pressed since the last call."""
        if self._before is None or not select.select([sys.stdin], [], [], 0.0)[0]:
            return ""
        return os.read(sys.stdin.fileno(), 64).decode("utf-8", "replace")
