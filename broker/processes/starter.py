"""How a process of a cell comes into being: forked from one that has loaded everything, or anew.

A fork server is a process that imports what all peers need and then does nothing but fork. A new
peer so takes milliseconds instead of a cold start, and shares with all others what it does not
change. It is our own because the one of the standard library costs each peer two more megabytes and
the cell one more process. It speaks over a plain socket: neither threads nor ZeroMQ survive a fork.
"""

import contextlib
import gc
import importlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol

from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder

from peercell.agents.errors import PeercellError
from peercell.agents.messages import Message
from peercell.broker.agent import work
from peercell.broker.processes.parent import die_with
from peercell.broker.wire import body_decoder

REQUEST_BYTES_MAX = 8192

log = logging.getLogger(__name__)


class StarterError(PeercellError):
    """Processes cannot be started any more, and those that were have ended."""


class Starter(Protocol):
    """Starts processes, signals to them and waits for their ends."""

    def start(self, crew_file: str, listener: int, notices: int) -> int:
        """Return the pid of a new process, which does `agent.work`.

        Parameters
        ----------
        crew_file : who is to run in it
        listener : descriptor of the socket that it is to serve
        notices : descriptor that it writes to, and that closes when it ends

        Raises
        ------
        StarterError : it cannot be started.
        """
        ...

    def wait(self, pid: int) -> int:
        """Return the exit code of a process that ends or has ended, below 0 for a signal.

        Raises
        ------
        StarterError : nobody knows it any more.
        """
        ...

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to a process that was not waited for yet."""
        ...

    def close(self) -> None:
        """Let go of what is needed to start more."""
        ...


class _Start(Struct, frozen=True, tag=True):
    crew_file: str


class _Wait(Struct, frozen=True, tag=True):
    pid: int


class ForkServer:
    """Starts processes by forking one that has loaded all that they need; Linux.

    Parameters
    ----------
    modules : what to load
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        arguments = f"{theirs.fileno()}, {os.getpid()}, {list(modules)!r}"
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                [sys.executable, "-c", f"from {__name__} import serve; serve({arguments})"],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def start(self, crew_file: str, listener: int, notices: int) -> int:
        """See Starter.start."""
        return self._ask(_Start(crew_file), [listener, notices])

    def wait(self, pid: int) -> int:
        """See Starter.wait."""
        return self._ask(_Wait(pid), [])

    def signal(self, pid: int, number: int) -> None:
        """See Starter.signal."""
        # The server waits for a process only when asked to, so the pid belongs to nobody else.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def close(self) -> None:
        """See Starter.close."""
        self._socket.close()
        self._process.wait()

    def _ask(self, request: _Start | _Wait, descriptors: list[int]) -> int:
        try:
            socket.send_fds(self._socket, [_encode(request)], descriptors)
            return int(self._socket.recv(REQUEST_BYTES_MAX))
        except (OSError, ValueError) as error:
            raise StarterError("the fork server has ended", str(error)) from error


class Spawner:
    """Starts processes from nothing: where there is no fork server to be had."""

    def __init__(self) -> None:
        self._alive, self._mine = os.pipe()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, crew_file: str, listener: int, notices: int) -> int:
        """See Starter.start."""
        arguments = f"{crew_file!r}, {listener}, {notices}, {self._alive}"
        code = f"import sys; from {work.__module__} import work; sys.exit(work({arguments}))"
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            pass_fds=[listener, notices, self._alive],
        )
        self._processes[process.pid] = process
        return process.pid

    def wait(self, pid: int) -> int:
        """See Starter.wait."""
        if pid not in self._processes:
            raise StarterError(f"process {pid} is none of ours")
        return self._processes.pop(pid).wait()

    def signal(self, pid: int, number: int) -> None:
        """See Starter.signal."""
        self._processes[pid].send_signal(number)

    def close(self) -> None:
        """See Starter.close."""
        os.close(self._alive)
        os.close(self._mine)


def serve(descriptor: int, parent_pid: int, modules: Sequence[str]) -> None:
    """Be a fork server until the supervisor has ended.

    Parameters
    ----------
    descriptor : of the socket to the supervisor
    parent_pid : of the supervisor
    modules : what to load
    """
    die_with(parent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:
            log.exception("the fork server cannot load %s; whoever needs it will say so", module)
    for message in Message.__subclasses__():
        body_decoder(message)
    # What is loaded does not move from here on: otherwise one garbage collection in a child would
    # copy all that it shares with the others.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=descriptor) as supervisor:
        while (answer := _serve_one(supervisor)) is not None:
            supervisor.send(str(answer).encode())


def _serve_one(supervisor: socket.socket) -> int | None:
    """Do what the supervisor asks next and return the answer, or None when it has ended."""
    packet, descriptors, _, _ = socket.recv_fds(supervisor, REQUEST_BYTES_MAX, 2)
    if not packet:
        return None
    request: _Start | _Wait = _decode(packet)
    if isinstance(request, _Wait):
        return _exit_code(request.pid)
    own_pid = os.getpid()
    pid = os.fork()
    if pid == 0:
        supervisor.close()
        _be_child(own_pid, request.crew_file, *descriptors)
    for each in descriptors:
        os.close(each)
    return pid


def _exit_code(pid: int) -> int:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        # A child of the fork server before this one, which took it along.
        return -signal.SIGKILL


def _be_child(parent_pid: int, crew_file: str, listener: int, notices: int) -> NoReturn:
    """Do the work of a peer, and end: the loop of the server is not for the child."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        die_with(parent_pid)
        code = work(crew_file, listener, notices, None)
    finally:
        logging.shutdown()
        os._exit(code)


_encode = Encoder().encode
_decode = Decoder(_Start | _Wait).decode
