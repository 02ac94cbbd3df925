from datetime import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.trading.calendar import MarketCalendar, MarketPhase, Moment, at_interval

CALENDAR = MarketCalendar(
    origin_s=1000.0, at_first=datetime(2016, 5, 28, 12, 0), intervals=3, interval_s=10.0
)


@pytest.mark.parametrize(
    ("now_s", "moment"),
    [
        (0.0, Moment(MarketPhase.AHEAD, None, None)),
        (989.9, Moment(MarketPhase.AHEAD, None, None)),
        (990.0, Moment(MarketPhase.OFFERS, 0, None)),
        (992.0, Moment(MarketPhase.TRADING, 0, None)),
        (997.9, Moment(MarketPhase.TRADING, 0, None)),
        (998.0, Moment(MarketPhase.CLOSED, 0, None)),
        (1000.0, Moment(MarketPhase.OFFERS, 1, 0)),
        (1019.0, Moment(MarketPhase.CLOSED, 2, 1)),
        (1025.0, Moment(MarketPhase.TRADING, None, 2)),
        (1029.9, Moment(MarketPhase.CLOSED, None, 2)),
        (1030.0, Moment(MarketPhase.OVER, None, None)),
    ],
)
def test_a_time_is_a_moment_of_the_market(now_s: float, moment: Moment) -> None:
    assert CALENDAR.moment(now_s) == moment


def test_an_interval_is_offered_traded_and_closed_before_it_is_delivered() -> None:
    times_s = (CALENDAR.due_s(2), CALENDAR.closure_s(2), CALENDAR.start_s(2))
    assert times_s == (1012.0, 1018.0, 1020.0)
    assert CALENDAR.at(2) == datetime(2016, 5, 28, 12, 30)


@given(
    origin_s=st.floats(-1e10, 1e10),
    interval_s=st.floats(0.05, 1e4),
    offset=st.floats(-3.0, 6.0),
)
def test_waiting_for_the_next_change_leads_to_every_phase_in_turn(
    origin_s: float, interval_s: float, offset: float
) -> None:
    calendar = msgspec.structs.replace(CALENDAR, origin_s=origin_s, interval_s=interval_s)
    now_s = origin_s + offset * interval_s
    moments = [calendar.moment(now_s)]
    for _ in range(100):
        until_s = calendar.until_change_s(now_s)
        if until_s is None:
            break
        assert until_s > 0.0
        now_s += until_s
        if calendar.moment(now_s) != moments[-1]:
            moments.append(calendar.moment(now_s))
    assert moments[-1].phase is MarketPhase.OVER
    order = [MarketPhase.OFFERS, MarketPhase.TRADING, MarketPhase.CLOSED]
    phases = [m.phase for m in moments if m.phase in order]
    if phases:
        first = order.index(phases[0])
        assert phases == [order[(first + k) % 3] for k in range(len(phases))]


def test_a_gate_that_closes_before_trading_opens_is_refused() -> None:
    told = {**msgspec.to_builtins(CALENDAR), "offers_due": 0.8, "closure": 0.2}
    with pytest.raises(msgspec.ValidationError, match="closure"):
        msgspec.convert(told, MarketCalendar)


def test_a_series_of_one_value_always_holds() -> None:
    assert [at_interval((7.0,), k) for k in range(3)] == [7.0, 7.0, 7.0]
    assert [at_interval((1.0, 2.0), k) for k in range(2)] == [1.0, 2.0]
    with pytest.raises(IndexError):
        at_interval((1.0, 2.0), 2)
