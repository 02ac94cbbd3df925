"""How a supervisor tells its processes of faults: a line to each, on which it waits for nothing."""

import contextlib
from collections.abc import Mapping

import zmq

from peercell.agents.messages import Message
from peercell.broker.operator_port import HostMessage, frame_of
from peercell.broker.sockets import Socket, connect, make, readable
from peercell.broker.wire import Codec

CODEC = Codec(HostMessage)


class Lines:
    """Lines to the processes of a cell, each made when it is first used.

    Parameters
    ----------
    context : ZeroMQ context of the supervisor
    endpoints : where each process answers operators, by its name
    """

    def __init__(self, context: zmq.Context[Socket], endpoints: Mapping[str, str]) -> None:
        self._context = context
        self._endpoints = endpoints
        self._dealers: dict[str, Socket] = {}

    def tell(self, process: str, request: Message) -> None:
        """Send a request to a process, which gets it when it is there again and goes on.

        What does not fit the line any more is gone: the process is told when it starts.
        """
        dealer = self._dealers.get(process)
        if dealer is None:
            dealer = self._dealers[process] = make(self._context, zmq.DEALER)
            dealer.setsockopt(zmq.IMMEDIATE, 0)
            connect(dealer, self._endpoints[process])
        while readable(dealer):
            dealer.recv()
        with contextlib.suppress(zmq.Again):
            dealer.send(frame_of(CODEC, "supervisor", process, request), zmq.NOBLOCK)

    def close(self) -> None:
        """Close all lines."""
        for dealer in self._dealers.values():
            dealer.close()
