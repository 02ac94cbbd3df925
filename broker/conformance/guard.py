"""Does a role touch the outside world? A guard over clock, chance, files, sockets and threads.

It is for a process of its own: what it puts in place cannot be taken away again, and has to be in
place before the role is imported, since `from time import time` binds early.
"""

import builtins
import inspect
import os
import random  # noqa: TID251 - to see who uses it
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

from peercell.agents.protocol import Action, Event, Role

_CLOCK = (
    *("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"),
    *("process_time", "process_time_ns", "thread_time", "sleep", "localtime", "gmtime", "ctime"),
)
_AUDITED = (
    *("open", "socket.", "subprocess.", "os.", "shutil.", "tempfile.", "sqlite3."),
    *("_thread.start_new_thread", "_thread.start_joinable_thread", "signal.", "urllib."),
)
# Python itself asks for these when it imports something or shows a warning.
_HARMLESS = frozenset({"os.listdir", "os.putenv"})


class Guard:
    """Notes the first touch of each kind while a role steps."""

    def __init__(self) -> None:
        self.touches: dict[str, str] = {}
        self._inside = False

    def install(self) -> None:
        """Put the guard in place, for good."""
        for name in _CLOCK:
            self._wrap(time, name, f"time.{name}()")
        for name in random.__all__:
            if name[0].islower():
                self._wrap(random, name, f"random.{name}()")
        for name, function in vars(np.random).items():
            if isinstance(getattr(function, "__self__", None), np.random.RandomState):
                self._wrap(np.random, name, f"numpy.random.{name}()")
        for name in ("urandom", "getenv", "getpid"):
            self._wrap(os, name, f"os.{name}()")
        for name in ("print", "input"):
            self._wrap(builtins, name, f"{name}()")
        sys.addaudithook(self._audit)

    def step(self, _peer: str, role: Role, event: Event, now_s: float) -> list[Action]:
        """Let a role step, and see what it touches."""
        self._inside = True
        try:
            return role.step(event, now_s)
        finally:
            self._inside = False

    def _wrap(self, module: Any, name: str, text: str) -> None:
        original = getattr(module, name)
        if isinstance(original, Callable):  # type: ignore[arg-type] # a class of typing
            setattr(module, name, self._watched(original, text))

    def _watched(self, original: Callable[..., Any], text: str) -> Callable[..., Any]:
        def watched(*args: object, **named: object) -> Any:
            self._note(text, inspect.currentframe())
            return original(*args, **named)

        return watched

    def _audit(self, event: str, args: tuple[object, ...]) -> None:
        if self._inside and event.startswith(_AUDITED) and event not in _HARMLESS:
            what = f"{event} of {args[0]!r}" if event == "open" else event
            self._note(what, inspect.currentframe())

    def _note(self, text: str, frame: FrameType | None) -> None:
        if not self._inside or text in self.touches or _is_import(frame):
            return
        caller, place = frame.f_back if frame is not None else None, ""
        if caller is not None:
            place = f" at {caller.f_code.co_filename.rpartition('/')[2]}:{caller.f_lineno}"
        self.touches[text] = f"{text}{place}"


def _is_import(frame: FrameType | None) -> bool:
    """Return whether Python is importing: what it reads then is code."""
    while frame is not None:
        if "importlib" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False
