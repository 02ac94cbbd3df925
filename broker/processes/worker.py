"""One supervised process: how it is started, what it says, why it ended and when it comes again."""

import os
import signal
import socket
from pathlib import Path

import msgspec

from peercell.broker.home import replace_file
from peercell.broker.processes.crew import Crew, Failed, Left, Notice, Ready, State
from peercell.broker.processes.restarts import LIMIT, WITHIN_S, RestartBudget
from peercell.broker.processes.starter import Starter, StarterError
from peercell.broker.sockets import listen

NOTICE_BYTES_MAX = 1024 * 1024


class Worker:
    """A process of the cell, running or not, as its supervisor sees it.

    Parameters
    ----------
    crew : the peers in it
    crew_file : where the process reads that
    listener : socket that it serves; outlives it, so that neighbours find it after a restart
    now_s : s, host time
    """

    def __init__(self, crew: Crew, crew_file: Path, listener: socket.socket, now_s: float) -> None:
        self.crew = crew
        self.state = State.STARTING
        self.reason = ""
        self.since_s = now_s
        self.restarts = 0
        self.incarnations: dict[str, int] = {}
        self.pid = 0
        self.notices: int | None = None
        self._crew_file = crew_file
        self._listener = listener
        self._budget = RestartBudget()
        self._unread = b""
        self._last_words = ""
        self._stop_why = ""
        self._expected: tuple[str, float] | None = None

    def hosts(self, peer: str) -> bool:
        """Return whether a peer is in this process."""
        return any(spec.peer == peer for spec in self.crew.peers)

    def start(self, starter: Starter, now_s: float) -> None:
        """Start the process, which must not run; it then speaks by `notices`.

        Raises
        ------
        StarterError : it cannot be started.
        """
        if self._listener.fileno() < 0:
            address, _, port = self.crew.endpoint.removeprefix("tcp://").rpartition(":")
            self._listener = listen(address.strip("[]"), int(port))
        replace_file(self._crew_file, msgspec.json.encode(self.crew))
        self.notices, theirs = os.pipe()
        try:
            self.pid = starter.start(str(self._crew_file), self._listener.fileno(), theirs)
        finally:
            os.close(theirs)
        self._unread = b""
        self._last_words = self._stop_why = ""
        self._expected = None
        self._become(State.STARTING, self.reason if self.restarts else "", now_s)

    def hear(self, now_s: float) -> bool:
        """Take what the process says; return whether it has ended."""
        if self.notices is None:
            return False
        arrived = os.read(self.notices, NOTICE_BYTES_MAX)
        *lines, self._unread = (self._unread + arrived).split(b"\n")
        for line in lines:
            match _decode(line):
                case Ready(incarnations=incarnations):
                    self.incarnations = incarnations
                    self._become(State.UP, self.reason if self.restarts else "", now_s)
                case Left(why=why) | Failed(why=why):
                    self._last_words = why
        return not arrived

    def end(self, starter: Starter, now_s: float) -> float | None:
        """Find out why the process has ended; return after how long to start it again, or None."""
        try:
            code = starter.wait(self.pid)
        except StarterError:
            code = -signal.SIGKILL
        if self.notices is not None:
            os.close(self.notices)
        self.pid, self.notices = 0, None
        if self._stop_why or code == 0:
            self._become(State.STOPPED, self._stop_why or self._last_words, now_s)
            return None
        if self._expected is not None:
            why, delay_s = self._expected
            self.restarts += 1
            self._become(State.RESTARTING, why, now_s)
            return delay_s
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return self._after_failure(self._last_words or how, now_s)

    def expect_end(self, why: str, back_after_s: float) -> None:
        """Let the next end of the process be on purpose: it then comes again after so many s.

        It does not count among the restarts after which a process is given up.
        """
        if self.pid:
            self._expected = (why, back_after_s)

    def signal(self, starter: Starter, number: int) -> None:
        """Send a signal to the process, which runs."""
        starter.signal(self.pid, number)

    def stop(self, starter: Starter, why: str, now_s: float) -> None:
        """Ask the process to end; it is not to be started again."""
        self._stop_why = why
        if self.pid:
            starter.signal(self.pid, signal.SIGTERM)
        elif self.state is State.RESTARTING:
            self._become(State.STOPPED, why, now_s)

    def kill(self, starter: Starter) -> None:
        """End the process, whatever it does."""
        if self.pid:
            starter.signal(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Stop listening: from here on neighbours are turned away."""
        self._listener.close()

    def _after_failure(self, why: str, now_s: float) -> float | None:
        delay_s = self._budget.delay_s(now_s)
        if delay_s is None:
            reason = f"{LIMIT} restarts within {WITHIN_S:g} s did not help; last: {why}"
            self._become(State.FAILED, reason, now_s)
            self.close()
            return None
        self.restarts += 1
        self._become(State.RESTARTING, why, now_s)
        return delay_s

    def _become(self, state: State, reason: str, now_s: float) -> None:
        self.state = state
        self.reason = reason
        self.since_s = now_s


_decode = msgspec.json.Decoder(Notice).decode
