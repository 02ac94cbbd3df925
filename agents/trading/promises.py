"""What a trader must know again when it comes back: all that its neighbours may rely on.

A trader that has frozen a price, voted for a plan or confirmed a trade must never say otherwise in
that epoch. So all of it is remembered before it is said, and the next life goes on from there.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder

from peercell.agents.protocol import Remember
from peercell.agents.trading.blocks import Offer
from peercell.agents.trading.certificate import Position
from peercell.agents.trading.messages import TraderSettled

MEMORY = "trader"

Vector = tuple[float, ...]


class GatePlan(Struct, frozen=True):
    """What was told at the gate: own prices, EUR/kWh, and imports from each neighbour, kWh."""

    prices: Vector
    imports: dict[str, Vector]


class Promises(Struct, frozen=True, kw_only=True):
    """What one trader has promised in an epoch.

    Parameters
    ----------
    session : of the life that has promised
    epoch : the newest one
    offers : in it
    spoken : last attempt in which a price was frozen, -1 for none
    pledges : the plans that it has voted for, by attempt
    gate : what it has told at the gate, if it has come to that
    closed : attempt and plan that it confirms to its neighbours, and with whom trades are void
    settled : what came of that
    """

    session: int
    epoch: int = 0
    offers: tuple[Offer, ...] = ()
    spoken: int = -1
    pledges: dict[int, Position] = {}
    gate: GatePlan | None = None
    closed: tuple[int, Position, tuple[str, ...]] | None = None
    settled: TraderSettled | None = None


def remembered(memory: Mapping[str, bytes]) -> Promises | None:
    """Return what an earlier life has promised; None when there was none, as far as is known."""
    what = memory.get(MEMORY)
    return None if what is None else _decode(what)


def remember(promises: Promises) -> Remember:
    """Return what a trader asks its host for before it promises something."""
    return Remember(MEMORY, _encode(promises))


_encode = Encoder().encode
_decode = Decoder(Promises).decode
