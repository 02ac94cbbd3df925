"""How a peer gets what it asks of the grid service over links that lose messages.

Each request is numbered and sent again until its reply is in; of two requests of one type the newer
one counts. The first of all is a hello, whose reply says from which number to go on, so that a
restarted peer is not taken for a late message of its earlier life.
"""

import msgspec

from peercell.agents.grid_messages import (
    GridHello,
    GridRefusal,
    GridReply,
    GridRequest,
    GridWelcome,
)
from peercell.agents.grid_parts import RefusalCode
from peercell.agents.protocol import Send


class GridAccess:
    """One peer's requests that the grid service has not yet answered, at most one of each type.

    Parameters
    ----------
    grid : name of the grid service
    """

    def __init__(self, grid: str) -> None:
        self.grid = grid
        self._known = False
        self._seq = 0
        self._open: dict[type[GridRequest], GridRequest] = {}

    @property
    def waits(self) -> bool:
        """True while a reply is missing."""
        return bool(self._open)

    def ask(self, request: GridRequest) -> list[Send]:
        """Number a request and return what must be sent now: only hellos go out before a reply."""
        self._open[type(request)] = self._numbered(request)
        return [Send(self.grid, self._open[type(request)])] if self._may_send(request) else []

    def repeat(self) -> list[Send]:
        """Return all requests that wait for a reply."""
        return [Send(self.grid, asked) for asked in self._open.values() if self._may_send(asked)]

    def hear(self, reply: GridReply) -> GridRequest | None:
        """Return the request that a reply answers; None for an old or repeated reply.

        A refusal answers too, except where trying again may help.
        """
        request = next((asked for asked in self._open.values() if asked.seq == reply.seq), None)
        if request is None:
            return None
        if isinstance(reply, GridRefusal) and reply.code is RefusalCode.BUSY:
            return None
        if isinstance(reply, GridRefusal) and reply.code is RefusalCode.STALE_SEQ:
            self._count_from(reply.facts.seq_newest or 0)
            return None
        del self._open[type(request)]
        if isinstance(reply, GridWelcome) and not self._known:
            self._known = True
            self._count_from(reply.seq_newest)
        return request

    def _may_send(self, request: GridRequest) -> bool:
        return self._known or isinstance(request, GridHello)

    def _count_from(self, seq: int) -> None:
        self._seq = max(self._seq, seq)
        for kind, request in self._open.items():
            self._open[kind] = self._numbered(request)

    def _numbered(self, request: GridRequest) -> GridRequest:
        self._seq += 1
        return msgspec.structs.replace(request, seq=self._seq)
