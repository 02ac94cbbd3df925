"""Who may trade with whom in a cell, at which tariff, and which links are cleared together.

The zones of the grid give the structure: microgrids that hang below the same point form a group
with what is at that point, the microgrid above or the aggregator, and all of a group may trade.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import permutations

from peercell.agents.trading.links import Link
from peercell.agents.trading.settings import MarketCell
from peercell.agents.units import UNLIMITED_KWH
from peercell.broker.config import Config, Tariff, TradeLink
from peercell.grid.model import Zones
from peercell.grid.nearest import unknown

AGGREGATOR = "aggregator"

Group = tuple[str, tuple[str, ...]]
"""A name and the members of the market that have it in common."""


def trader_of(microgrid: str) -> str:
    """Return the id of a microgrid's trader."""
    return f"{microgrid}.trader"


def market_members(zones: Zones) -> tuple[str, ...]:
    """Return the ids of all traders, the aggregator last."""
    return (*(trader_of(microgrid.id) for microgrid in zones.microgrids), AGGREGATOR)


def market_cells(config: Config, zones: Zones) -> tuple[MarketCell, ...]:
    """Return the links of the market, each in the one cell in which it is cleared.

    The groups of the config come first, then those that the zones give; a link that is in none is
    a cell of its two ends.

    Raises
    ------
    ConfigError : a link or group that names no member of the market, or comes to nothing.
    """
    members = market_members(zones)
    groups = _groups(zones)
    left = _links(config, members, groups)
    cells: list[MarketCell] = []
    for position, group in enumerate(config.cell.market_cells):
        if group.name in {cell.name for cell in cells}:
            raise config.file.wrong(
                ("market_cells", position, "name"), f'two groups are called "{group.name}"'
            )
        for rank, member in enumerate(group.members):
            _check_member(config, ("market_cells", position, "members", rank), member, members)
        cell = _take(left, (group.name, group.members))
        if cell is None:
            raise config.file.wrong(
                ("market_cells", position),
                f'the members of "{group.name}" have no link that is not in a group before it',
            )
        cells.append(cell)
    pairs = dict.fromkeys(tuple(sorted(ends, key=members.index)) for ends in left)
    dense = [group for group in groups if len(group[1]) > 2]
    bilateral = [(f"{first} & {second}", (first, second)) for first, second in pairs]
    found = (_take(left, group) for group in (*dense, *bilateral))
    return (*cells, *(cell for cell in found if cell is not None))


def _groups(zones: Zones) -> list[Group]:
    """Return the traders below each point with what is at it.

    A microgrid that is below no point is connected to the grid above the cell.
    """
    below: dict[str, set[str]] = defaultdict(set)
    for point in zones.coupling_points:
        above = AGGREGATOR if point.upper is None else trader_of(point.upper)
        below[above].add(trader_of(point.lower))
    coupled = set().union(*below.values())
    alone = {trader_of(microgrid.id) for microgrid in zones.microgrids} - coupled
    if alone:
        below[AGGREGATOR] |= alone
    order = market_members(zones).index
    return [
        (f"below {above}", tuple(sorted({*lower, above}, key=order)))
        for above, lower in below.items()
    ]


def _links(
    config: Config, members: Sequence[str], groups: Iterable[Group]
) -> dict[tuple[str, str], Link]:
    """Return all links by seller and buyer: those of the groups, and the user's over them."""
    links = {
        (seller, buyer): _link(TradeLink(seller=seller, buyer=buyer), config.cell.tariff)
        for _, group in groups
        for seller, buyer in permutations(group, 2)
    }
    for position, own in enumerate(config.cell.links):
        for key, member in (("seller", own.seller), ("buyer", own.buyer)):
            _check_member(config, ("links", position, key), member, members)
        if own.seller == own.buyer:
            raise config.file.wrong(("links", position), f'"{own.seller}" cannot sell to itself')
        links[own.seller, own.buyer] = _link(own, config.cell.tariff)
    return links


def _link(own: TradeLink, tariff: Tariff) -> Link:
    """Return a link, on the terms of the tariff where it has none of its own."""
    fee, slope, capacity = own.fee_eur_per_kwh, own.slope_eur_per_kwh2, own.capacity_kwh
    if capacity is None:
        capacity = UNLIMITED_KWH if tariff.capacity_kwh is None else tariff.capacity_kwh
    return Link(
        own.seller,
        own.buyer,
        tariff.fee_eur_per_kwh if fee is None else fee,
        tariff.slope_eur_per_kwh2 if slope is None else slope,
        capacity,
    )


def _take(left: dict[tuple[str, str], Link], group: Group) -> MarketCell | None:
    """Return the cell of a group's links that are left, and take them away; None without any."""
    name, members = group
    inside = [ends for ends in left if set(ends) <= set(members)]
    if not inside:
        return None
    touched = {end for ends in inside for end in ends}
    return MarketCell(
        name,
        tuple(sorted(touched, key=members.index)),
        tuple(left.pop(ends) for ends in inside),
    )


def _check_member(
    config: Config, place: tuple[str | int, ...], name: str, members: Iterable[str]
) -> None:
    """Raise ConfigError for a name that no member of the market has."""
    if name not in (known := tuple(members)):
        error = unknown("member of the market", name, known)
        raise config.file.wrong(place, error.what, error.why)
