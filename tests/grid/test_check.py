"""What contradicts itself is refused, what looks like a slip is remarked on."""

import re
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from tests.grid.builders import chain

from peercell.agents.errors import PeercellError
from peercell.grid.check import check_cell, remarks
from peercell.grid.model import (
    Asset,
    AssetKind,
    Cell,
    CouplingPoint,
    Customer,
    Level,
    Microgrid,
    Phase,
    Switch,
    Tie,
    Zones,
)


def _zones(*microgrids: Microgrid, **parts: object) -> Callable[[Cell], Cell]:
    return lambda cell: replace(cell, zones=replace(Zones(microgrids=microgrids), **parts))


def _with_asset(asset: Asset) -> Callable[[Cell], Cell]:
    return lambda cell: replace(
        cell, customers=(*cell.customers, Customer(id="new", bus="1", assets=(asset,)))
    )


def _asset(p_kw: float = -1.0, phase: Phase = Phase.ABC) -> Asset:
    return Asset(id="a-new", kind=AssetKind.LOAD, p_kw=p_kw, phase=phase)


FIRST = Microgrid(id="mg1", level=Level.LV, buses=("1",))
SECOND = Microgrid(id="mg2", level=Level.LV, buses=("2", "1"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cell: replace(cell, phases=2), "has 2 phases"),
        (lambda cell: replace(cell, switches=(Switch(id="s", bus="1"),)), "must join either"),
        (
            lambda cell: replace(cell, switches=(Switch(id="s", bus="1", branch="line-11"),)),
            'no branch "line-11".*line-1',
        ),
        (_with_asset(_asset(phase=Phase.A)), "on phase a of a balanced cell"),
        (_with_asset(replace(_asset(), id="a-1")), 'asset "a-1" is there twice'),
        (_zones(FIRST, SECOND), 'bus "1" is in mg1 and in mg2'),
        (
            _zones(FIRST, ties=(Tie(id="t", element="line-1", microgrids=("mg1", "mg7")),)),
            'no microgrid "mg7"',
        ),
        (
            _zones(FIRST, coupling_points=(CouplingPoint(id="p", branch="trafo-0", lower="mg1"),)),
            'no branch "trafo-0"',
        ),
    ],
)
def test_a_contradiction_is_refused(change: Callable[[Cell], Cell], message: str) -> None:
    with pytest.raises(PeercellError) as error:
        check_cell(change(chain(3)))
    assert re.search(message, str(error.value))


@pytest.mark.parametrize(
    ("change", "element", "text"),
    [
        (_with_asset(_asset(p_kw=-40_000.0)), "a-new", r"40000 kW behind 0.4 kV: is it 40 kW\?"),
        (lambda cell: cell, "0", "no coordinates"),
        (
            lambda cell: replace(
                cell, buses=(replace(cell.buses[0], v_min_pu=1.1), *cell.buses[1:])
            ),
            "0",
            "leave no room",
        ),
    ],
)
def test_a_slip_is_remarked_on(change: Callable[[Cell], Cell], element: str, text: str) -> None:
    cell = change(chain(3))
    check_cell(cell)
    assert any(
        remark.element == element and re.search(text, remark.text) for remark in remarks(cell)
    )


def test_an_ordinary_household_is_not_remarked_on() -> None:
    cell = chain(3)
    assert {remark.element for remark in remarks(cell)} == {bus.id for bus in cell.buses}
