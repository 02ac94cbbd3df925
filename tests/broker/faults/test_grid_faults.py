"""Which lines a fault opens, and what the grid service is asked for."""

import pytest
from tests.broker.village import make_village

from peercell.agents.errors import PeercellError
from peercell.agents.grid_messages import SwitchingOrder
from peercell.agents.grid_parts import Outage, Switching
from peercell.broker.faults.grid_faults import branches_of, grid_request
from peercell.broker.faults.kinds import AnyFault, Islanding, LineOpen, LoadStep, Loss
from peercell.broker.faults.orders import Order

VILLAGE = make_village()


@pytest.mark.parametrize(
    ("fault", "branches"),
    [
        (LineOpen(line="line-2"), ("line-2",)),
        (LineOpen(line="2-3"), ("line-3",)),
        (LineOpen(line="3-2"), ("line-3",)),
        (LineOpen(line="trafo-0"), ("trafo-0",)),
        (Islanding(microgrid="mg-1"), ("line-1",)),
        (Islanding(microgrid="mg-2"), ("line-1", "trafo-0")),
        (Loss(share=0.3), ()),
    ],
)
def test_lines_are_found_by_name_by_buses_and_around_a_microgrid(
    fault: AnyFault, branches: tuple[str, ...]
) -> None:
    assert branches_of(fault, VILLAGE) == branches


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (LineOpen(line="line-9"), 'there is no line "line-9"'),
        (LineOpen(line="1-6"), 'there is no line "1-6"'),
        (Islanding(microgrid="mg-3"), 'there is no microgrid "mg-3"'),
        (LoadStep(by_kw=5.0, on="load-*"), "processes have no load-step yet"),
    ],
)
def test_what_is_not_there_is_an_error(fault: AnyFault, what: str) -> None:
    with pytest.raises(PeercellError) as error:
        branches_of(fault, VILLAGE)
    assert error.value.what == what


def test_lines_open_at_the_beginning_and_close_at_the_end() -> None:
    order = Order(id="f1", fault=LineOpen(line="line-2"), peers=("grid",), branches=("line-2",))
    begin, end = (grid_request(order, 10.0, begins=begins) for begins in (True, False))
    assert begin == SwitchingOrder(10_000, Switching(outages=(Outage("line-2", out=True),)))
    assert end == SwitchingOrder(10_000, Switching(outages=(Outage("line-2", out=False),)))
    assert grid_request(Order(id="f1", fault=Loss(share=0.1)), 1.0, begins=True) is None
