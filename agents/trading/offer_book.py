"""Whose offers make up a trader's offer, and who gets what of its plan.

Block lists are joined, so the cheapest block of the microgrid is used first, whoever it belongs to.
Load that cannot be served is shared out in proportion to the load that no block leaves out.
"""

from collections.abc import Sequence

from msgspec import Struct

from peercell.agents.trading.blocks import Offer, Supply, concatenate
from peercell.agents.trading.contract_messages import (
    LateOffer,
    ProsumerOffer,
    Share,
    Shortage,
)
from peercell.agents.trading.messages import TraderSettled


class Member(Struct, frozen=True):
    """Who takes part in an interval, with an offer and a firm load for each market period."""

    peer: str
    offers: tuple[Offer, ...]
    firm_kwh: tuple[float, ...]


def own_member(trader: str, offers: tuple[Offer, ...]) -> Member:
    """Return the trader as a member: none of its own load can be left out."""
    return Member(trader, offers, tuple(offer.load_kwh for offer in offers))


class OfferBook:
    """The newest offer of each prosumer under contract.

    Parameters
    ----------
    prosumers : under contract, in the order in which their blocks are joined
    period_count : market periods of the horizon; offers of another length are not taken
    """

    def __init__(self, prosumers: tuple[str, ...], period_count: int) -> None:
        self.prosumers = prosumers
        self._period_count = period_count
        self._newest: dict[str, ProsumerOffer] = {}

    def hear(self, sender: str, offer: ProsumerOffer) -> None:
        """Take an offer in, unless one for a later interval is here."""
        if sender not in self.prosumers:
            return
        if len(offer.offers) != self._period_count or len(offer.firm_kwh) != self._period_count:
            return
        known = self._newest.get(sender)
        if known is None or offer.interval >= known.interval:
            self._newest[sender] = offer

    def missing(self, interval: int) -> list[str]:
        """Return the prosumers whose offer for an interval is not here."""
        return [
            peer
            for peer in self.prosumers
            if peer not in self._newest or self._newest[peer].interval != interval
        ]

    def close(self, interval: int) -> tuple[list[Member], list[LateOffer]]:
        """Return who takes part in an interval, and whose offer is late.

        Who is late counts with its newest offer: from one quarter of an hour to the next, load and
        sun are mostly as before. Who has never offered does not take part.
        """
        members, late = [], []
        for peer in self.prosumers:
            newest = self._newest.get(peer)
            if newest is None or newest.interval != interval:
                late.append(LateOffer(interval, peer, None if newest is None else newest.interval))
            if newest is not None:
                members.append(Member(peer, newest.offers, newest.firm_kwh))
        return members, late


def total(members: Sequence[Member]) -> tuple[Offer, ...]:
    """Return the offer of all members together in each period."""
    return tuple(concatenate(offers) for offers in zip(*(m.offers for m in members), strict=True))


def shares(
    members: Sequence[Member], plan: TraderSettled, voll_eur_per_kwh: float
) -> dict[str, tuple[Share, ...]]:
    """Return each member's part of the trader's plan, one `Share` a period.

    The first member is the trader: what it has sold and does not get beyond all members' firm load
    is its shortage.
    """
    parts: dict[str, tuple[Share, ...]] = {member.peer: () for member in members}
    for period, offer in enumerate(total(members)):
        need_kwh = offer.load_kwh
        for trade in plan.trades:
            need_kwh += trade.sold_kwh[period] - trade.bought_kwh[period]
        made = Supply(offer, voll_eur_per_kwh).dispatch(need_kwh)
        unserved = _pro_rata(made.unserved_kwh, [m.firm_kwh[period] for m in members])
        first = 0
        for member, unserved_kwh in zip(members, unserved, strict=True):
            last = first + len(member.offers[period].blocks)
            share = Share(
                plan.price_eur_per_kwh[period],
                member.offers[period].load_kwh,
                made.blocks_kwh[first:last],
                unserved_kwh,
            )
            parts[member.peer] += (share,)
            first = last
    return parts


def shortages(parts: dict[str, tuple[Share, ...]]) -> tuple[Shortage, ...]:
    """Return who is short in any period, and by how much."""
    listed = (
        Shortage(peer, tuple(share.unserved_kwh for share in part)) for peer, part in parts.items()
    )
    return tuple(shortage for shortage in listed if any(shortage.unserved_kwh))


def _pro_rata(energy_kwh: float, firm_kwh: list[float]) -> list[float]:
    """Return an energy shared out in proportion to firm loads; the first takes what is too much."""
    firm_sum = sum(firm_kwh)
    served = min(energy_kwh / firm_sum, 1.0) if firm_sum > 0.0 else 0.0
    parts = [served * firm for firm in firm_kwh]
    parts[0] += max(energy_kwh - firm_sum, 0.0)
    return parts
