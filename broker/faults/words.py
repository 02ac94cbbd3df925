"""What a rogue peer does to its own words: prices that are not its own, replays, forged names."""

from typing import Any, NamedTuple

import msgspec

from peercell.agents.messages import Message
from peercell.broker.faults.fate import Active, Parcel, fate
from peercell.broker.faults.kinds import Forge, Lie, Loss, Replay
from peercell.broker.faults.orders import Order

_PRICE = "price_eur_per_kwh"


class Twist(NamedTuple):
    """What becomes of a message before it leaves.

    Parameters
    ----------
    message : what is said instead
    again_s : s after which it is said once more as it was, for each time
    names : in whose name it is said besides
    by : ids of the faults that did something
    """

    message: Message
    again_s: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    by: tuple[str, ...] = ()


def twist(orders: tuple[Order, ...], parcel: Parcel, message: Message) -> Twist:
    """Return what a rogue makes of a message.

    Parameters
    ----------
    orders : faults of words that are on; only those that hit its sender matter
    parcel : the message as its link sees it
    message : what its role wants to say
    """
    found = Twist(message)
    for order in orders:
        if parcel.src not in order.peers:
            continue
        match order.fault:
            case Lie(price_eur_per_kwh=price) if hasattr(message, _PRICE):
                told = _priced(found.message, price)
                found = found._replace(message=told, by=(*found.by, order.id))
            case Replay(share=share, after_s=after_s) if _drawn(share, order.seed, parcel):
                again_s = (*found.again_s, after_s)
                found = found._replace(again_s=again_s, by=(*found.by, order.id))
            case Forge(share=share, name=name) if _drawn(share, order.seed, parcel):
                names = (*found.names, name)
                found = found._replace(names=names, by=(*found.by, order.id))
            case _:
                pass
    return found


def _priced(message: Message, price_eur_per_kwh: float) -> Message:
    """Return a message with another price in place of all of its own."""
    own: Any = getattr(message, _PRICE)
    if own is None:
        return message
    other = price_eur_per_kwh if isinstance(own, float) else (price_eur_per_kwh,) * len(own)
    return msgspec.structs.replace(message, **{_PRICE: other})


def _drawn(share: float, seed: int, parcel: Parcel) -> bool:
    """Return whether a message is among a share of them: by the same chance as of those lost."""
    return fate((Active(Loss(share=share), seed),), parcel).lost
