"""One agent's meter and devices: what is told again, and when."""

import pytest

from peercell.agents.control.device import DeviceSettings, Weights
from peercell.agents.control.station import Place, Station
from peercell.agents.grid_messages import Corrections, GridHello, GridWelcome, StateReport
from peercell.agents.grid_parts import AssetReading, Reading, Stamp
from peercell.agents.protocol import Action, Send

PV = DeviceSettings(
    asset="pv",
    rating_kva=10.0,
    q_kvar_max=4.4,
    floor_kw=0.0,
    weights=Weights(linear=1.0, active=0.1, reactive=0.005),
)


def seen(station: Station, rev: int, planned_kw: float) -> None:
    """Let the station see a plan of its device."""
    asset = AssetReading("pv", planned_kw, 0.0, planned_kw, 0.0)
    reading = Reading(0.0, 0.0, 0.0, 1.0, 1.0, None, 5, (1.0,), assets=(asset,))
    station.hear(StateReport(rev, Stamp(rev, 0), reading))


def told(actions: list[Action]) -> list[Corrections]:
    """Return the corrections among some actions."""
    messages = [action.message for action in actions if isinstance(action, Send)]
    return [message for message in messages if isinstance(message, Corrections)]


@pytest.fixture
def station() -> Station:
    """Return a station whose device is about to give 8 kW, and that may speak to the grid."""
    station = Station("grid", Place(bus="1", devices=(PV,)), 3.0)
    (hello, *_) = station.start()
    assert isinstance(hello, Send)
    assert isinstance(hello.message, GridHello)
    welcome = GridWelcome(
        seq=hello.message.seq,
        stamp=Stamp(0, 0),
        cell="test",
        digest="0" * 64,
        seq_newest=0,
        assets=(),
        buses=(),
        microgrids=(),
        sees_all=False,
        operates=False,
    )
    station.hear(welcome)
    seen(station, 1, 8.0)
    return station


def test_at_rest_a_device_is_reminded_now_and_then(station: Station) -> None:
    first = told(station.follow(1.2, 0.0, 0.0))
    assert first[0].corrections[0].p_kw == pytest.approx(-2.0)
    assert told(station.follow(1.2, 0.0, 1.0)) == []
    again = told(station.follow(1.2, 0.0, 3.0))
    assert again[0].corrections == first[0].corrections


def test_new_prices_and_new_plans_are_followed_at_once(station: Station) -> None:
    station.follow(1.2, 0.0, 0.0)
    dearer = told(station.follow(1.4, 0.0, 0.1))
    assert dearer[0].corrections[0].p_kw == pytest.approx(-4.0)
    seen(station, 2, 3.0)
    less = told(station.follow(1.4, 0.0, 0.2))
    assert less[0].corrections[0].p_kw == pytest.approx(-3.0)
