"""Which lines a fault opens, and what the grid service is asked for."""

import pytest
from tests.broker.village import make_village

from peercell.agents.errors import PeercellError
from peercell.agents.grid_messages import DisturbanceOrder, SwitchingOrder
from peercell.agents.grid_parts import Disturbance, Disturbed, Outage, Switching
from peercell.broker.faults.grid_faults import assets_of, branches_of, grid_request
from peercell.broker.faults.kinds import AnyFault, Islanding, LineOpen, LoadStep, Loss, PvTrip
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
    ("fault", "assets"),
    [
        (LoadStep(by_kw=5.0, on="load-2"), ("load-2",)),
        (LoadStep(by_kw=5.0, on="home-5, 6"), ("load-5", "load-6")),
        (PvTrip(on="pv-[12]"), ("pv-1", "pv-2")),
        (PvTrip(on="mg-1.home-[34]"), ("pv-3", "pv-4")),
        (PvTrip(on="mg-1.home-3"), ("pv-3",)),
        (PvTrip(on="*"), ("pv-1", "pv-2", "pv-3", "pv-4")),
        (LineOpen(line="line-2"), ()),
    ],
)
def test_assets_are_found_by_name_customer_prosumer_and_bus(
    fault: AnyFault, assets: tuple[str, ...]
) -> None:
    assert assets_of(fault, VILLAGE) == assets


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (LineOpen(line="line-9"), 'there is no line "line-9"'),
        (LineOpen(line="1-6"), 'there is no line "1-6"'),
        (Islanding(microgrid="mg-3"), 'there is no microgrid "mg-3"'),
        (LoadStep(by_kw=5.0, on="pv-1"), 'there is no load "pv-1"'),
        (PvTrip(on="pv-1,mg-3.*"), 'there is no generator "mg-3.*"'),
    ],
)
def test_what_is_not_there_is_an_error(fault: AnyFault, what: str) -> None:
    with pytest.raises(PeercellError) as error:
        _ = branches_of(fault, VILLAGE) or assets_of(fault, VILLAGE)
    assert error.value.what == what


def test_lines_open_at_the_beginning_and_close_at_the_end() -> None:
    order = Order(id="f1", fault=LineOpen(line="line-2"), peers=("grid",), branches=("line-2",))
    begin, end = (grid_request(order, 10.0, begins=begins) for begins in (True, False))
    assert begin == SwitchingOrder(10_000, Switching(outages=(Outage("line-2", out=True),)))
    assert end == SwitchingOrder(10_000, Switching(outages=(Outage("line-2", out=False),)))
    assert grid_request(Order(id="f1", fault=Loss(share=0.1)), 1.0, begins=True) is None


@pytest.mark.parametrize(
    ("fault", "disturbed"),
    [
        (LoadStep(by_kw=5.0, on="a"), Disturbed("a", by_kw=-5.0)),
        (LoadStep(by_kw=-5.0, on="a"), Disturbed("a", by_kw=5.0)),
        (PvTrip(on="a"), Disturbed("a", tripped=True)),
    ],
)
def test_assets_are_disturbed_at_the_beginning_and_not_after_the_end(
    fault: AnyFault, disturbed: Disturbed
) -> None:
    order = Order(id="f1", fault=fault, peers=("grid",), assets=("a",))
    begin, end = (grid_request(order, at_s, begins=at_s < 11.0) for at_s in (10.0, 12.0))
    assert begin == DisturbanceOrder(10_000, Disturbance("f1", (disturbed,)))
    assert end == DisturbanceOrder(12_000, Disturbance("f1"))
