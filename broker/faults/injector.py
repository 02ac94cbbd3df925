"""What is wrong on purpose with one host: faults that it is told of, and takes back by itself."""

import errno
import logging
import os
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from peercell.agents.grid_messages import GridRefusal
from peercell.agents.messages import Message
from peercell.broker.faults.detour import Detour
from peercell.broker.faults.failpoints import Reach, end_at, go_on
from peercell.broker.faults.kinds import Clock, DiskFull, Kill
from peercell.broker.faults.orders import Order
from peercell.broker.outbound import Outbound
from peercell.broker.outbox import Stream
from peercell.broker.seat import Seat
from peercell.broker.wire import Codec

Put = Callable[[Stream, Message, float], None]
"""Queues a message of a stream at a host time."""
NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Command(Protocol):
    """Lets a role do what a fault wants, or wants no more."""

    def __call__(self, order: Order, *, begins: bool) -> None:
        """Tell it of a fault that begins or ends."""
        ...


log = logging.getLogger(__name__)


class Injector:
    """The faults of one host.

    Parameters
    ----------
    outbound : links of the host
    codec : of the messages between peers
    command : is told of each fault that begins or ends here

    Attributes
    ----------
    hits : how often each fault has done something, by its id; what is over is still there
    refusals : why a fault of the grid has no effect, by its id
    put : queues messages; goes through no fault while none of links is on
    """

    def __init__(self, outbound: Outbound, codec: Codec, command: Command) -> None:
        self._command = command
        self.put: Put = outbound.put
        self._outbound = outbound
        self._detour = Detour(outbound, codec)
        self.hits = self._detour.shim.hits
        self.refusals = self._detour.shim.refusals
        # What the grid service was asked and has not answered yet, under numbers below 0.
        self._asked: dict[int, tuple[Order, bool]] = {}
        self._asked_count = 0
        self._orders: dict[str, Order] = {}
        self._since_s: dict[str, float] = {}

    @property
    def is_idle(self) -> bool:
        """Whether nothing is wrong, and nothing is held any more."""
        return not self._orders and self._detour.next_s is None

    @property
    def orders(self) -> tuple[Order, ...]:
        """The faults that are on."""
        return tuple(self._orders.values())

    def take(self, order: Order, now_s: float) -> None:
        """Let a fault begin, unless it is over or known."""
        if order.is_over(now_s) or order.id in self._orders:
            return
        self._orders[order.id] = order
        self._since_s[order.id] = now_s
        self.hits.setdefault(order.id, 0)
        log.warning("fault %s is on: %s", order.id, order.fault)
        self._detour.begin(order)
        self._choose_way()
        self._command(order, begins=True)

    def withdraw(self, fault_id: str) -> None:
        """Let a fault end, if it is on."""
        if (order := self._orders.pop(fault_id, None)) is not None:
            log.warning("fault %s is over", fault_id)
            self._detour.end(fault_id)
            self._choose_way()
            self._command(order, begins=False)

    def expire(self, now_s: float) -> None:
        """Let faults end whose time is over."""
        for order in [each for each in self._orders.values() if each.is_over(now_s)]:
            self.withdraw(order.id)

    def ask(self, order: Order, *, begins: bool) -> int:
        """Return the id of a request to the grid service on behalf of a fault; it is below 0."""
        self._asked_count += 1
        self._asked[-self._asked_count] = (order, begins)
        return -self._asked_count

    def answered(self, request_id: int, answer: Message) -> None:
        """Note what the grid service says to a request on behalf of a fault."""
        order, begins = self._asked.pop(request_id)
        if isinstance(answer, GridRefusal):
            log.error("fault %s has no effect: %s (%s)", order.id, answer.what, answer.why)
        if begins:
            self._detour.shim.answered(order, answer)

    def release(self, now_s: float) -> None:
        """Send what was held long enough."""
        self._detour.release(now_s)

    def next_s(self, ahead_s: float) -> float | None:
        """Return when something is to be done here; `ahead_s` is by how much roles' clock is."""
        ends = [order.until_s for order in self._orders.values() if order.until_s is not None]
        held_s = self._detour.next_s
        return min([*ends, *([] if held_s is None else [held_s - ahead_s])], default=None)

    def ahead_s(self, now_s: float, peers: Collection[str]) -> float:
        """Return by how much the clock is wrong that the roles of some peers here see, s.

        Peers of one process have one clock.
        """
        ahead_s = 0.0
        for order in self._orders.values():
            hit = sum(peer in peers for peer in order.peers)
            if isinstance(order.fault, Clock) and hit:
                wrong_s = now_s - self._since_s[order.id]
                ahead_s += order.fault.ahead_s + order.fault.drift_ppm * 1e-6 * wrong_s
                self.hits[order.id] = hit
        return ahead_s

    def trouble(self, seats: Iterable[Seat]) -> None:
        """Let disks be full, and points of the work be the last, for those whose are to be so."""
        self._outbound.reach = go_on
        full = [order for order in self._orders.values() if isinstance(order.fault, DiskFull)]
        stopped = set()
        for seat in seats:
            trouble = NO_SPACE if any(seat.peer in order.peers for order in full) else None
            reach = self._reach(seat.peer)
            if reach is not go_on:
                self._outbound.reach = reach
            if seat.memory is not None:
                seat.memory.trouble, seat.memory.reach = trouble, reach
            if seat.journal is not None:
                seat.journal.trouble, seat.journal.reach = trouble, reach
                stopped |= {seat.peer} if seat.journal.stopped else set()
        for order in full:
            self.hits[order.id] = len(stopped.intersection(order.peers))

    def _reach(self, peer: str) -> Reach:
        """Return what becomes of a peer at each point of its work."""
        for order in self._orders.values():
            if isinstance(order.fault, Kill) and order.fault.point and peer in order.peers:
                return end_at(order.fault.point)
        return go_on

    def _choose_way(self) -> None:
        self.put = self._detour.put if self._detour.is_open else self._outbound.put
