"""How far a sweep has come: a line on a terminal, or one every few seconds elsewhere."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

# s between two lines where stderr is no terminal.
LINE_S = 5.0


@dataclass
class Tally:
    """How many runs of a sweep are done.

    Parameters
    ----------
    total : of the sweep
    done : finished, now or in earlier calls
    failed_path : where those that could not be finished are listed
    """

    total: int
    done: int
    failed_path: str
    failed: int = 0
    _before: int = field(init=False)

    def __post_init__(self) -> None:
        self._before = self.done

    @property
    def ended(self) -> int:
        """How many are behind us."""
        return self.done + self.failed

    def count(self, *, done: bool) -> None:
        """Count a run that has ended."""
        if done:
            self.done += 1
        else:
            self.failed += 1

    def text(self, elapsed_s: float) -> str:
        """Return how far it is, and how long it takes at the rate of this call."""
        failed = f" · {self.failed} failed ({self.failed_path})" if self.failed else ""
        count = self.ended - self._before
        pace = ""
        if count and elapsed_s > 0.0:
            rate = count / elapsed_s
            left_s = (self.total - self.ended) / rate
            pace = f" · {rate:.2g} runs/s · {_left(left_s)}"
        return f"{self.total} runs · {self.done} done{failed}{pace}"


def _left(left_s: float) -> str:
    if left_s <= 0.0:
        return "none left"
    if left_s < 100.0:
        return f"about {max(left_s, 1.0):.0f} s left"
    minutes = left_s / 60.0
    return (
        f"about {minutes:.0f} min left" if minutes < 100.0 else f"about {minutes / 60:.0f} h left"
    )


class ProgressLine:
    """Shows a tally while a sweep runs, from `with` to its end.

    Parameters
    ----------
    tally : that others keep
    say : writes a line to stderr where that is no terminal
    quiet : show nothing
    clock : tells s, from any time on
    """

    def __init__(
        self,
        tally: Tally,
        say: Callable[[str], None],
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tally = tally
        self._say = say
        self._clock = clock
        console = Console(stderr=True, quiet=quiet)
        self._bar = Progress(
            BarColumn(20), TextColumn("{task.description}"), console=console,
            disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=tally.total)
        self._began_s = self._said_s = clock()

    def __enter__(self) -> Self:
        """Begin."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        """Say the last word."""
        self.show()
        self._bar.stop()
        if self._bar.disable:
            self._say(self._text())

    def show(self) -> None:
        """Bring the line up to date."""
        self._bar.update(self._task, completed=self._tally.ended, description=self._text())
        now_s = self._clock()
        if self._bar.disable and now_s - self._said_s >= LINE_S:
            self._said_s = now_s
            self._say(self._text())

    def _text(self) -> str:
        return " " + self._tally.text(self._clock() - self._began_s)
