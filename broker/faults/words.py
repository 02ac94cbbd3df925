"""What is said otherwise than it was meant: by rogue peers, and by meters that are off."""

from hashlib import blake2b
from statistics import NormalDist
from typing import Any, NamedTuple

from msgspec import structs

from peercell.agents.grid_messages import StateReport
from peercell.agents.grid_parts import Reading
from peercell.agents.messages import Message
from peercell.broker.faults.fate import Active, Parcel, fate
from peercell.broker.faults.kinds import Forge, Lie, Loss, MeterNoise, Replay
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
    orders : faults of words and meters that are on; only those that hit its sender, or the meter
        that it reports of to its receiver, matter
    parcel : the message as its link sees it
    message : what its role wants to say
    """
    found = Twist(message)
    for order in orders:
        end = parcel.dst if isinstance(order.fault, MeterNoise) else parcel.src
        if end not in order.peers:
            continue
        match order.fault:
            case MeterNoise(sigma_pu=sigma_pu):
                if isinstance(message, StateReport) and message.reading is not None:
                    noisy = _noisy(message, message.reading, sigma_pu, (order.seed, parcel))
                    found = found._replace(message=noisy, by=(*found.by, order.id))
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
    return structs.replace(message, **{_PRICE: other})


def _noisy(
    report: StateReport, reading: Reading, sigma_pu: float, key: tuple[int, Parcel]
) -> StateReport:
    """Return a report whose voltages are off by chance, each by its own."""
    noise = NormalDist(0.0, sigma_pu)
    voltages_pu = tuple(
        None if v_pu is None else min(max(v_pu + noise.inv_cdf(_chance(key, place)), 0.0), 2.0)
        for place, v_pu in enumerate(reading.voltages_pu)
    )
    return structs.replace(report, reading=structs.replace(reading, voltages_pu=voltages_pu))


def _chance(key: tuple[int, Parcel], place: int) -> float:
    """Return a number between 0 and 1, neither of them."""
    seed, (src, dst, incarnation, number) = key
    said = f"{seed} {src} {dst} {incarnation} {number} meter {place}".encode()
    return (int.from_bytes(blake2b(said, digest_size=6).digest()) + 0.5) / 2**48


def _drawn(share: float, seed: int, parcel: Parcel) -> bool:
    """Return whether a message is among a share of them: by the same chance as of those lost."""
    return fate((Active(Loss(share=share), seed),), parcel).lost
