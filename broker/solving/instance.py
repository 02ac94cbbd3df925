"""What a trading instance file says: stand-alone markets of one period, read and checked.

{"traders": [{"id", "load_kwh", "linear", "quadratic", "min_kwh", "max_kwh"} or {.., "blocks"}],
 "links": [{"from", "to", "linear", "quadratic", "capacity_kwh"}], "cells": [[ids]],
 "voll_eur_per_kwh"}; energy in kWh, cost(x) = linear x + quadratic x^2 in EUR, `from` sells.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from peercell.agents.errors import PeercellError
from peercell.agents.trading.blocks import Block, Offer
from peercell.agents.trading.links import Link
from peercell.agents.trading.settings import MarketCell
from peercell.agents.units import UNLIMITED_KWH, EnergyKwh, PeerName

Coefficient = Annotated[float, Meta(ge=0.0, le=1e6)]
# EUR/kWh; a usual value of lost load, taken when no block costs more than a tenth of it.
USUAL_VOLL = 3.0
# A link without quadratic cost gets this slope, in units of VOLL per kWh of the largest load: it
# makes flows unique and changes no price by more than a few millionths of a percent of VOLL.
LEAST_SLOPE = 3e-8

# A cell costs each member a system of equations of its size.
LOOP_MAX = 60


class InstanceError(PeercellError):
    """An instance file that cannot be read or contradicts itself."""


class TraderEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """One trader; without any cost, limit or block it has a load only."""

    id: PeerName
    load_kwh: EnergyKwh
    linear: Coefficient | None = None
    quadratic: Coefficient | None = None
    min_kwh: EnergyKwh | None = None
    max_kwh: EnergyKwh | None = None
    blocks: Annotated[tuple[Block, ...], Meta(max_length=1000)] | None = None


class LinkEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """One direction of a link."""

    seller: PeerName = field(name="from")
    buyer: PeerName = field(name="to")
    linear: Coefficient = 0.0
    quadratic: Coefficient = 0.0
    capacity_kwh: EnergyKwh = UNLIMITED_KWH


class Instance(Struct, frozen=True, forbid_unknown_fields=True):
    """A market of one period as it stands in its file."""

    traders: Annotated[tuple[TraderEntry, ...], Meta(min_length=1)]
    links: tuple[LinkEntry, ...] = ()
    cells: tuple[tuple[PeerName, ...], ...] = ()
    voll_eur_per_kwh: Annotated[float, Meta(gt=0.0, le=1e6)] | None = None


class Market(Struct, frozen=True):
    """An instance in the terms of the traders."""

    offers: dict[str, Offer]
    links: tuple[Link, ...]
    cells: tuple[MarketCell, ...]
    voll_eur_per_kwh: float


def read_instance(data: bytes, origin: str = "instance") -> Instance:
    """Return the instance in the bytes of a JSON file.

    Raises
    ------
    InstanceError : no JSON, an unknown field, a value out of range, or a contradiction; it names
        the path of the value (`$.links[2].from`) and `origin`.
    """
    try:
        instance = msgspec.json.decode(data, type=Instance)
    except msgspec.MsgspecError as error:
        raise InstanceError(
            f"{origin} is not a trading instance",
            str(error),
            'an example: {"traders": [{"id": "a", "load_kwh": 4, "linear": 0.1, "quadratic": 0.01}'
            ', {"id": "b", "load_kwh": 6}], "links": [{"from": "a", "to": "b", "linear": 0.02}]}',
        ) from None
    for problem in _contradictions(instance):
        raise InstanceError(f"{origin} contradicts itself", problem)
    return instance


def _contradictions(instance: Instance) -> Iterator[str]:
    """Yield what is wrong between the fields of an instance."""
    ids = [trader.id for trader in instance.traders]
    for name, count in Counter(ids).items():
        if count > 1:
            yield f'{count} traders have the id "{name}"'
    for k, trader in enumerate(instance.traders):
        yield from _trader_contradictions(f"$.traders[{k}]", trader)
    yield from _link_contradictions(instance.links, set(ids))
    for k, members in enumerate(instance.cells):
        if len(set(members)) != len(members) or len(members) < 2:
            yield f"$.cells[{k}] needs at least two traders, each once"
        if strangers := set(members) - set(ids):
            yield f'$.cells[{k}] names "{min(strangers)}", which is no trader'


def _link_contradictions(links: tuple[LinkEntry, ...], known: set[str]) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    for k, link in enumerate(links):
        for name in (link.seller, link.buyer):
            if name not in known:
                yield f'$.links[{k}] names "{name}", which is no trader'
        if link.seller == link.buyer:
            yield f'$.links[{k}] goes from "{link.seller}" to itself'
        if (link.seller, link.buyer) in seen:
            yield f'$.links[{k}] is the second one from "{link.seller}" to "{link.buyer}"'
        seen.add((link.seller, link.buyer))


def _trader_contradictions(where: str, trader: TraderEntry) -> Iterator[str]:
    limits = (trader.linear, trader.quadratic, trader.min_kwh, trader.max_kwh)
    if trader.blocks is not None and any(value is not None for value in limits):
        yield f'{where} ("{trader.id}") has blocks and a cost or limit of its own: use one of them'
    least, most = trader.min_kwh or 0.0, trader.max_kwh
    if most is not None and least > most:
        yield f'{where} ("{trader.id}"): min_kwh {least:g} is above max_kwh {most:g}'


def to_market(instance: Instance) -> Market:
    """Return an instance as offers, links and cells; links outside of cells are bilateral."""
    offers = {trader.id: to_offer(trader) for trader in instance.traders}
    voll = instance.voll_eur_per_kwh
    if voll is None:
        voll = usual_voll(offers, instance.links)
    largest = max(offer.load_kwh for offer in offers.values())
    least_slope = LEAST_SLOPE * voll / (largest or 1.0)
    links = tuple(
        Link(
            entry.seller,
            entry.buyer,
            entry.linear,
            max(2.0 * entry.quadratic, least_slope),
            entry.capacity_kwh,
        )
        for entry in instance.links
    )
    groups = (*instance.cells, *_loops(instance.links))
    return Market(offers, links, tuple(market_cells(links, groups)), voll)


def to_offer(trader: TraderEntry) -> Offer:
    """Return a trader's offer.

    Energy below `min_kwh` is made whatever is traded: its cost is fixed and it is there for
    nothing, to be used or spilled. Above it marginal cost goes on from where it stands.
    """
    if trader.blocks is not None:
        return Offer(trader.load_kwh, trader.blocks)
    given = (trader.linear, trader.quadratic, trader.min_kwh, trader.max_kwh)
    if all(value is None for value in given):
        return Offer(trader.load_kwh)
    linear, quadratic, least = trader.linear or 0.0, trader.quadratic or 0.0, trader.min_kwh or 0.0
    most = UNLIMITED_KWH if trader.max_kwh is None else trader.max_kwh
    upper = Block(linear + 2.0 * quadratic * least, 2.0 * quadratic, most - least)
    if not least:
        return Offer(trader.load_kwh, (upper,))
    fixed = linear * least + quadratic * least * least
    return Offer(trader.load_kwh, (Block(0.0, 0.0, least), upper), fixed)


def usual_voll(offers: dict[str, Offer], links: tuple[LinkEntry, ...]) -> float:
    """Return the value of lost load for a file that names none, EUR/kWh.

    Ten times what the dearest block and the dearest link cost at the margin when they serve the
    whole load, at least USUAL_VOLL: nobody is shed while anybody could generate.
    """
    load = sum(offer.load_kwh for offer in offers.values())
    blocks = (block for offer in offers.values() for block in offer.blocks)
    made = [
        block.price_eur_per_kwh + block.slope_eur_per_kwh2 * min(block.width_kwh, load)
        for block in blocks
    ]
    carried = [link.linear + 2.0 * link.quadratic * min(link.capacity_kwh, load) for link in links]
    return max(USUAL_VOLL, 10.0 * (max(made, default=0.0) + max(carried, default=0.0)))


def _loops(links: tuple[LinkEntry, ...]) -> Iterator[tuple[str, ...]]:
    """Yield groups of traders joined by loops of links without quadratic cost.

    Around such a loop prices say next to nothing about flows, and bilateral curves take thousands
    of rounds; cleared as one cell it takes a handful. A loop of many traders is left as it is.
    """
    near: dict[str, set[str]] = {}
    for link in links:
        if not link.quadratic and link.capacity_kwh:
            near.setdefault(link.seller, set()).add(link.buyer)
            near.setdefault(link.buyer, set()).add(link.seller)
    ends = [name for name, others in near.items() if len(others) == 1]
    while ends:
        end = ends.pop()
        for other in near.pop(end):
            near[other].discard(end)
            if len(near[other]) == 1:
                ends.append(other)
    while near:
        group, reached = [], [next(iter(near))]
        while reached:
            name = reached.pop()
            if name in near:
                group.append(name)
                reached += sorted(near.pop(name))
        if 2 < len(group) <= LOOP_MAX:
            yield tuple(group)


def market_cells(
    links: tuple[Link, ...], groups: tuple[tuple[str, ...], ...] = ()
) -> Iterator[MarketCell]:
    """Yield cells with their links: each link goes to the first group that has both of its ends.

    Links in no group make a cell for each pair of traders.
    """
    group_of: dict[tuple[str, str], int] = {}
    for k, members in enumerate(groups):
        for pair in combinations(sorted(members), 2):
            group_of.setdefault((pair[0], pair[1]), k)
    grouped: dict[int, list[Link]] = {}
    bilateral: dict[tuple[str, str], list[Link]] = {}
    for link in links:
        first, second = sorted((link.seller, link.buyer))
        if (first, second) in group_of:
            grouped.setdefault(group_of[first, second], []).append(link)
        else:
            bilateral.setdefault((first, second), []).append(link)
    for k, members in enumerate(groups):
        if k in grouped:
            yield MarketCell(f"cell{k}", members, tuple(grouped[k]))
    for pair, both in bilateral.items():
        yield MarketCell(f"{pair[0]}|{pair[1]}", pair, tuple(both))
