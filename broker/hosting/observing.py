"""What an observer shows of a cell: a line in its log for each interval, and a page over HTTP."""

from collections.abc import Callable

from peercell.agents.errors import PeercellError
from peercell.broker.hosting.heard import Ear
from peercell.broker.hosting.page import StatusPage
from peercell.broker.plans.live import RunNote
from peercell.broker.status.picture import picture
from peercell.broker.terminal.demo import HEADER, settled_line

LOOK_S = 1.0


class Observing:
    """Looks every second at what the observer of this host has heard.

    Parameters
    ----------
    ear : of the observer
    note : what the run is
    page : where it is shown; None for nowhere
    say : gets a line for each interval, and when the cell converges or does so no longer
    """

    def __init__(
        self, ear: Ear, note: RunNote, page: StatusPage | None, say: Callable[[str], None]
    ) -> None:
        self.next_s: float | None = 0.0
        self._ear = ear
        self._note = note
        self._page = page
        self._say = say
        self._settled = -1
        self._converged: bool | None = None

    def work(self, now_s: float) -> None:
        """See Chore.work."""
        if self.next_s is None or now_s < self.next_s:
            return
        self.next_s = now_s + LOOK_S
        try:
            told = self._ear.told(self._note)
        except PeercellError:
            # Its process is being started, or started again: that is the supervisor's business.
            return
        seen = picture(self._note, told, now_s)
        if self._page is not None:
            self._page.show(seen)
        if self._settled < 0 <= (-1 if seen.settled is None else seen.settled.interval):
            self._say(HEADER)
        if seen.settled is not None and seen.settled.interval > self._settled:
            self._settled = seen.settled.interval
            self._say(settled_line(seen.settled, seen.grid, told))
        if seen.converged != self._converged:
            self._converged = seen.converged
            self._say("converged" if seen.converged else f"not converged: {seen.unmet[0]}")
