"""How a signal ends a turn at once instead of after the wait."""

import signal
import socket
from types import FrameType, TracebackType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Turns SIGTERM and SIGINT into a readable descriptor while it is entered; main thread only.

    A handler alone would not do: ZeroMQ's poll runs on to its end after one.
    """

    def __enter__(self) -> "StopSignals":
        self._readable, self._writable = socket.socketpair()
        self._readable.settimeout(0)
        self._writable.settimeout(0)
        self._descriptor_before = signal.set_wakeup_fd(self._writable.fileno())
        self._handlers_before = {each: signal.signal(each, _heard) for each in STOP_SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each, handler in self._handlers_before.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(self._descriptor_before)
        self._readable.close()
        self._writable.close()

    @property
    def descriptor(self) -> int:
        """File descriptor that is readable once a signal has come."""
        return self._readable.fileno()

    def read(self) -> str | None:
        """Return the name of a stop signal that has come, or None when it was another one."""
        for number in self._readable.recv(64):
            if number in STOP_SIGNALS:
                return signal.Signals(number).name
        return None


def _heard(number: int, frame: FrameType | None) -> None:
    """Keep Python from ending the process; the descriptor does the rest."""
