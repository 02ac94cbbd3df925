"""What an order to a soft open point sets the assets to that stand for its sides."""

from collections.abc import Mapping
from math import hypot

from peercell.agents.grid_messages import SoftOpenPointOrder
from peercell.agents.grid_parts import SetPoint
from peercell.grid.devices.soft_open_point import SoftOpenPoint
from peercell.grid.nearest import unknown
from peercell.grid.service_errors import ROUNDING, refusal, too_much
from peercell.grid.service_rights import Caller, Rights, SoftOpenPointSides

_UNLIMITED_KVA = 1e12


def sides_of(
    order: SoftOpenPointOrder,
    points: Mapping[str, SoftOpenPointSides],
    rating_kva: Mapping[str, float | None],
    rights: Rights,
    caller: Caller,
) -> tuple[SetPoint, SetPoint]:
    """Return the set-points of both sides of a soft open point.

    Parameters
    ----------
    order : of the caller
    points : that there are, by their names
    rating_kva : of every asset; None for one without a rating
    rights : who may set what
    caller : who must own both sides

    Raises
    ------
    RefusedError : unknown_element, not_owner, or out_of_range of a rating.
    """
    name = order.soft_open_point
    if name not in points:
        raise refusal(unknown("soft open point", name, points))
    sides = points[name]
    first, second = sides.first_asset, sides.second_asset
    rights.check_owner(caller, first)
    rights.check_owner(caller, second)
    device = SoftOpenPoint(_UNLIMITED_KVA, sides.loss_share)
    power = device.give(order.first_kw, order.first_kvar, order.second_kvar)
    second_kw = float(power.p2_kw)
    for asset, p_kw, q_kvar in (
        (first, order.first_kw, order.first_kvar),
        (second, second_kw, order.second_kvar),
    ):
        rating = rating_kva[asset]
        if rating is not None and hypot(p_kw, q_kvar) > rating * ROUNDING:
            thing = f'side "{asset}" of the soft open point "{name}"'
            raise too_much(thing, asset, hypot(p_kw, q_kvar), rating)
    return (
        SetPoint(first, order.first_kw, order.first_kvar),
        SetPoint(second, second_kw, order.second_kvar),
    )
