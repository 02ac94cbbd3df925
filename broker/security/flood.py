"""Which link fills this process with what never becomes a message, and an end to it.

libzmq keeps the frames of a message until its last one is there, and no option limits how many: a
member that never sends the last one fills the memory of another unseen. The kernel knows how much
has come over each connection, and this page how much of it was delivered.
"""

import math
import os
import socket
import stat
import struct
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

# s between two looks: at least, when the host is awake anyway, and at most, which wakes it.
LOOK_S, WAKE_S = 0.2, 1.0
# s between two looks whether descriptors are still of the connections that they were of.
RENEW_S = 2.0
# By so much the process has to have grown for connections to be looked at, and so much has to have
# come over one and not be delivered: more than an honest link can have in its queues.
GROWTH_BYTES = 24 * 1024 * 1024
UNSEEN_BYTES = 4 * 1024 * 1024
# What a frame has around it on the wire, generously: keys, padding, headers. And what heartbeats
# take in that time.
AROUND_FRAME_BYTES = 96
HEARTBEAT_BYTES = 128

_FOLDER = Path("/proc/self/fd")
_SIZE = Path("/proc/self/statm")
# Where tcpi_bytes_received is in the answer to TCP_INFO (linux/tcp.h, since 4.1).
_RECEIVED = struct.Struct("=128xQ")


class Connection(NamedTuple):
    """An open connection to the door of this process; a later one may have its descriptor."""

    descriptor: int
    inode: int


class _Flow:
    """What was delivered over a connection, and whose it is."""

    __slots__ = ("bytes", "connection", "user")

    def __init__(self, connection: Connection, user: str) -> None:
        self.connection = connection
        self.user = user
        self.bytes = 0


class FloodWatch:
    """Watches the connections to one port; where the kernel does not tell, it sees nothing.

    Parameters
    ----------
    port : that this process listens at
    accuse : is told who has flooded: users of links, more than one where it is not certain which
    """

    def __init__(self, port: int, accuse: Callable[[tuple[str, ...], int, float], None]) -> None:
        self._port = port
        self._accuse = accuse
        self._flows: dict[str, _Flow] = {}
        # Users of links that are not known yet to be of one connection, in the order they came.
        self._unplaced: dict[str, None] = {}
        self._seen: set[Connection] = set()
        # All open sockets, and whether they are connections to the port.
        self._kinds: dict[Connection, bool] = {}
        self._least_bytes = _size_bytes()
        self._look_s = self._renew_s = 0.0

    def let_in(self, user: str) -> None:
        """Note that a link of a user is being made: over the new connection, if it is one alone."""
        fresh = [each for each in self._connections() if each not in self._seen]
        if len(fresh) == 1:
            self._seen.add(fresh[0])
            self._flows[str(fresh[0].descriptor)] = _Flow(fresh[0], user)
        else:
            self._unplaced[user] = None

    def delivered(self, descriptor: str, user: str, size_bytes: int) -> None:
        """Count a frame.

        Parameters
        ----------
        descriptor : of the connection, as libzmq names it; "" where it does not: then there is
            no telling who floods, and nobody is accused
        user : of the link
        size_bytes : of the frame
        """
        flow = self._flows.get(descriptor)
        if flow is None or flow.user != user:
            if not descriptor:
                self._look_s = math.inf
                return
            flow = self._place(descriptor, user)
        flow.bytes += size_bytes + AROUND_FRAME_BYTES

    def look(self, now_s: float) -> None:
        """Cut the connections over which much came and little was delivered, if it is time to look.

        Parameters
        ----------
        now_s : s, host time
        """
        if now_s < self._look_s:
            return
        self._look_s = now_s + LOOK_S
        if now_s >= self._renew_s:
            self._renew_s = now_s + RENEW_S
            self._renew()
        size_bytes = _size_bytes()
        if size_bytes < self._least_bytes + GROWTH_BYTES:
            self._least_bytes = min(self._least_bytes, size_bytes)
            return
        self._renew()
        for connection in self._connections():
            flow = self._flows.get(str(connection.descriptor))
            if flow is None or flow.connection != connection:
                flow = _Flow(connection, "")
            unseen = _received_bytes(connection.descriptor) - flow.bytes
            if unseen > UNSEEN_BYTES:
                _cut(connection)
                self._accuse((flow.user,) if flow.user else tuple(self._unplaced), unseen, now_s)
        self._least_bytes = size_bytes

    def _renew(self) -> None:
        """Begin to count anew where a descriptor has gone over to another connection."""
        for descriptor, flow in list(self._flows.items()):
            inode = _inode(int(descriptor))
            if inode == flow.connection.inode:
                flow.bytes += HEARTBEAT_BYTES
            elif inode:
                # Most often the same peer has connected again; who has not is placed by a frame.
                self._flows[descriptor] = _Flow(Connection(int(descriptor), inode), "")
            else:
                del self._flows[descriptor]

    def _place(self, descriptor: str, user: str) -> _Flow:
        number = int(descriptor)
        flow = self._flows[descriptor] = _Flow(Connection(number, _inode(number)), user)
        self._seen.add(flow.connection)
        self._unplaced.pop(user, None)
        return flow

    def _connections(self) -> list[Connection]:
        """Return the open connections to the port."""
        kinds: dict[Connection, bool] = {}
        for path in _FOLDER.iterdir() if _FOLDER.exists() else ():
            number = int(path.name)
            with suppress(OSError):
                found = os.fstat(number)
                if stat.S_ISSOCK(found.st_mode):
                    connection = Connection(number, found.st_ino)
                    is_known = connection in self._kinds
                    kinds[connection] = (
                        self._kinds[connection] if is_known else self._is_inbound(number)
                    )
        self._kinds = kinds
        self._seen &= kinds.keys()
        return [connection for connection, is_inbound in kinds.items() if is_inbound]

    def _is_inbound(self, descriptor: int) -> bool:
        try:
            with closing(socket.socket(fileno=os.dup(descriptor))) as twin:
                if twin.family not in (socket.AF_INET, socket.AF_INET6):
                    return False
                # The listening socket itself has no peer, and raises.
                return bool(twin.getsockname()[1] == self._port and twin.getpeername())
        except OSError:
            return False


def _cut(connection: Connection) -> None:
    with suppress(OSError), closing(socket.socket(fileno=os.dup(connection.descriptor))) as twin:
        # The other end is to hear at once that this one will take no more.
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        twin.shutdown(socket.SHUT_RDWR)


def _inode(descriptor: int) -> int:
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return 0


def _received_bytes(descriptor: int) -> int:
    """Return how much the kernel has received over a connection, 0 where it does not tell."""
    with suppress(OSError, struct.error), closing(socket.socket(fileno=os.dup(descriptor))) as twin:
        told = twin.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        received: int = _RECEIVED.unpack_from(told)[0]
        return received
    return 0


def _size_bytes() -> int:
    """Return the resident size of this process, 0 where there is no telling."""
    with suppress(FileNotFoundError):
        return int(_SIZE.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
