"""Which branches may be overloaded, what they carry at most, and from where they are watched."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from math import hypot

from msgspec import Struct

from peercell.agents.control.paths import Path
from peercell.agents.control.station import BranchLimit
from peercell.grid.model import Asset, AssetKind, Branch, Cell, Transformer

_SQRT3 = 3.0**0.5


class RatedBranch(Struct, frozen=True):
    """A branch with its limit, the buses right behind it, and their way to the grid above."""

    limit: BranchLimit
    buses: tuple[str, ...]
    path: Path


def rated_branch(
    cell: Cell, branch: str, loading_percent_max: float, paths: Mapping[str, Path]
) -> RatedBranch | None:
    """Return a line or transformer as whoever sits behind it watches it.

    None where it has no rating, or lies on the way to no bus.

    Parameters
    ----------
    branch : id of a line or transformer of the cell
    loading_percent_max : where it is to stay
    paths : of all live buses, as `path_lists` gives them
    """
    elements: tuple[Branch | Transformer, ...] = (*cell.branches, *cell.transformers)
    element = next(each for each in elements if each.id == branch)
    rating_kva = _rating_kva(cell, element)
    behind = [bus for bus, path in paths.items() if path and path[-1].branch == branch]
    if rating_kva is None or not behind:
        return None
    first = element.from_bus if isinstance(element, Branch) else element.hv_bus
    limit = BranchLimit(
        branch=branch,
        rating_kva=rating_kva,
        loading_percent_max=loading_percent_max,
        points_up=first in behind,
    )
    return RatedBranch(limit, tuple(behind), paths[behind[0]])


def overloadable_lines(cell: Cell, paths: Mapping[str, Path]) -> Iterator[str]:
    """Yield the lines that carry less than what all behind them can feed in, or draw, together."""
    feeds: dict[str, float] = defaultdict(float)
    draws: dict[str, float] = defaultdict(float)
    for customer in cell.customers:
        feed = sum(_most_kva(asset) for asset in customer.assets if _may_feed(asset))
        draw = sum(_most_kva(asset) for asset in customer.assets if _may_draw(asset))
        for span in paths.get(customer.bus, ()):
            feeds[span.branch] += feed
            draws[span.branch] += draw
    for line in cell.branches:
        rating_kva = _rating_kva(cell, line)
        if rating_kva is not None:
            most_kva = rating_kva * cell.limits.loading_percent_max / 100.0
            if max(feeds[line.id], draws[line.id]) > most_kva:
                yield line.id


def _rating_kva(cell: Cell, element: Branch | Transformer) -> float | None:
    if isinstance(element, Transformer):
        return element.rating_kva
    if element.rating_a is None:
        return None
    kv = next(bus.kv for bus in cell.buses if bus.id == element.from_bus)
    return _SQRT3 * kv * element.rating_a


def _most_kva(asset: Asset) -> float:
    return max(asset.rating_kva or 0.0, hypot(asset.p_kw, asset.q_kvar), abs(asset.p_base_kw))


def _may_feed(asset: Asset) -> bool:
    return asset.kind is AssetKind.BATTERY or asset.p_base_kw > 0.0


def _may_draw(asset: Asset) -> bool:
    return asset.kind is AssetKind.BATTERY or asset.p_base_kw < 0.0
