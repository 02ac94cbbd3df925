"""How a host reaches other peers: who is where, and one PUSH socket a process it talks to."""

from typing import NamedTuple

import zmq

from peercell.agents.messages import Message
from peercell.broker.faults.failpoints import Reach, go_on
from peercell.broker.faults.kinds import Failpoint
from peercell.broker.outbox import Outbox, Stream
from peercell.broker.sockets import (
    LinkKeys,
    Socket,
    check_numeric,
    connect,
    is_tcp,
    make,
    unlock,
)
from peercell.broker.wire import Codec, Drop

# A message that waited longer than this is of no use to any protocol here.
LIFETIME_S = 30.0
# Gossip partners come and go; a link that carried nothing for this long is closed.
IDLE_S = 120.0
# libzmq has 1,023 sockets and a process 1,024 descriptors; a link takes one and two of these.
LINKS_MAX = 256
# How long the last messages of a process have to leave it.
FAREWELL_MS = 200


class Address(NamedTuple):
    """Where a process listens, and the key of its links; b"" where they have none.

    With its key an address is of that process alone: who listens there in its place is not heard.
    """

    endpoint: str
    key: bytes = b""


class _Link:
    """A socket to one process, what waits for it, whether it is full and has news in this turn."""

    def __init__(self, push: Socket, outbox: Outbox, now_s: float) -> None:
        self.push = push
        self.outbox = outbox
        self.used_s = now_s
        self.blocked = False
        self.fresh = False

    def send(self, frame: bytes) -> bool:
        """Hand a frame to the socket; False when it takes none now."""
        try:
            self.push.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True


class Outbound:
    """All outgoing links of a host.

    Parameters
    ----------
    context : ZeroMQ context of this process
    codec : of the messages between peers
    poller : told of links that are full, and only of these: polling costs by the socket
    keys : of this process; None where links have none

    Attributes
    ----------
    reach : is told of the points before and after something is sent
    """

    def __init__(
        self,
        context: zmq.Context[Socket],
        codec: Codec,
        poller: zmq.Poller,
        keys: LinkKeys | None = None,
    ) -> None:
        self._context = context
        self._codec = codec
        self._poller = poller
        self.reach: Reach = go_on
        self._keys = keys
        self._addresses: dict[str, Address] = {}
        self._links: dict[Address, _Link] = {}
        self._by_peer: dict[str, _Link] = {}
        self._fresh: list[_Link] = []

    def __len__(self) -> int:
        return len(self._links)

    @property
    def waiting(self) -> int:
        """Messages that are handed over but not sent."""
        return sum(len(link.outbox) for link in self._links.values())

    @property
    def has_news(self) -> bool:
        """Whether messages were handed over since the last flush."""
        return bool(self._fresh)

    def route(self, peer: str, address: Address, now_s: float) -> None:
        """Learn where a peer listens; what waits for it follows it there.

        Where links have keys, a peer without one has no address.

        Raises
        ------
        PeercellError : the endpoint names a host.
        """
        address = self._as_used(address)
        before = self._addresses.get(peer)
        if address == before or (self._is_locked(address) and not address.key):
            return
        check_numeric(address.endpoint)
        self._addresses[peer] = address
        if before is None:
            return
        self._by_peer.pop(peer, None)
        if before in self._links:
            link = self._link(address, now_s)
            self._links[before].outbox.move(peer, link.outbox)
            self._refresh(link)

    def put(self, stream: Stream, message: Message, now_s: float) -> None:
        """Queue a message until the turn ends, or count why not."""
        link = self._by_peer.get(stream.dst)
        if link is None:
            address = self._addresses.get(stream.dst)
            if address is None:
                stream.handed += 1
                stream.unsent[Drop.NO_ROUTE] += 1
                return
            link = self._by_peer[stream.dst] = self._link(address, now_s)
        link.outbox.put(stream, message, now_s + LIFETIME_S)
        if not link.fresh:
            self._refresh(link)

    def knows(self, peer: str) -> bool:
        """Return whether it is known where a peer listens."""
        return peer in self._addresses

    def post(self, peer: str, frame: bytes, now_s: float) -> bool:
        """Send a frame to a known peer past all that waits; False when its link takes none now."""
        link = self._link(self._addresses[peer], now_s)
        link.used_s = now_s
        return link.send(frame)

    def flush(self, now_s: float) -> None:
        """Send what was queued in this turn, as far as the links take it."""
        for link in self._fresh:
            link.fresh = False
            if not link.blocked:
                self._flush(link, now_s)
        self._fresh.clear()

    def writable(self, push: Socket, now_s: float) -> None:
        """Go on with a link that was full, when the poller says that it takes more."""
        for link in self._links.values():
            if link.push is push:
                self._flush(link, now_s)
                return

    def tidy(self, now_s: float) -> None:
        """Drop what has expired; close links that carried nothing for two minutes, or renew them.

        One with something to carry is renewed: who was refused for good would else not ask again.
        """
        for address, link in list(self._links.items()):
            link.outbox.expire(now_s)
            if link.used_s >= now_s - IDLE_S:
                continue
            if not link.outbox:
                self._close(address)
            elif link.blocked and address.key:
                link.used_s = now_s
                self._renew(address, link)

    def relink(self, keys: LinkKeys) -> None:
        """Use other keys from now on, on open links as well; nothing that waits is lost."""
        self._keys = keys
        used = set(self._addresses.values())
        for address, link in list(self._links.items()):
            if address not in used and not link.outbox:
                self._close(address, FAREWELL_MS)
            elif self._is_locked(address):
                self._renew(address, link, FAREWELL_MS)

    def close(self) -> None:
        """Close all links: what was sent has a moment to leave, what waits is dropped."""
        for address in list(self._links):
            self._close(address, FAREWELL_MS)

    def _is_locked(self, address: Address) -> bool:
        return self._keys is not None and is_tcp(address.endpoint)

    def _as_used(self, address: Address) -> Address:
        """Return an address without its key where links have none: it may then change unheeded."""
        return address if self._is_locked(address) else Address(address.endpoint)

    def _link(self, address: Address, now_s: float) -> _Link:
        link = self._links.get(address)
        if link is None:
            if len(self._links) >= LINKS_MAX:
                self._close(min(self._links, key=lambda each: self._links[each].used_s))
            push = self._connected(address)
            link = self._links[address] = _Link(push, Outbox(self._codec), now_s)
        return link

    def _connected(self, address: Address) -> Socket:
        push = make(self._context, zmq.PUSH)
        if self._keys is not None and self._is_locked(address):
            unlock(push, self._keys, address.key)
        connect(push, address.endpoint)
        return push

    def _renew(self, address: Address, link: _Link, linger_ms: int = 0) -> None:
        """Connect a link anew."""
        if link.blocked:
            self._poller.unregister(link.push)
        link.push.close(linger=linger_ms)
        link.push = self._connected(address)
        if link.blocked:
            self._poller.register(link.push, zmq.POLLOUT)

    def _refresh(self, link: _Link) -> None:
        link.fresh = True
        self._fresh.append(link)

    def _flush(self, link: _Link, now_s: float) -> None:
        self.reach(Failpoint.BEFORE_SEND)
        if link.outbox.flush(link.send, now_s):
            self.reach(Failpoint.AFTER_SEND)
            link.used_s = now_s
            if link.blocked:
                self._poller.unregister(link.push)
                link.blocked = False
        elif not link.blocked:
            self._poller.register(link.push, zmq.POLLOUT)
            link.blocked = True

    def _close(self, address: Address, linger_ms: int = 0) -> None:
        link = self._links.pop(address)
        self._by_peer = {peer: each for peer, each in self._by_peer.items() if each is not link}
        if link.fresh:
            self._fresh.remove(link)
        link.outbox.clear()
        if link.blocked:
            self._poller.unregister(link.push)
        link.push.close(linger=linger_ms)
