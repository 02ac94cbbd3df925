from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import pytest
from tests.agents.trading.fake_grid import VOLTAGE_PU, FakeGrid

from peercell.agents.grid_messages import (
    GridHello,
    GridRefusal,
    SetPoints,
    StateReport,
)
from peercell.agents.grid_parts import RefusalCode, SetPoint, Stamp
from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    Event,
    PeerUp,
    Received,
    Record,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.agents.trading.blocks import Block, Offer
from peercell.agents.trading.calendar import MarketCalendar
from peercell.agents.trading.contract_messages import (
    Delivery,
    Fallback,
    OfferCall,
    ProsumerOffer,
    Schedule,
    ScheduleCall,
    Share,
)
from peercell.agents.trading.portfolio import ProsumerAsset
from peercell.agents.trading.prosumer import PATIENCE, Prosumer, ProsumerSettings

CALENDAR = MarketCalendar(
    origin_s=100.0, at_first=datetime(2016, 5, 28, 12, 0), intervals=2, interval_s=10.0
)
RETRY_S = 0.2
SETTINGS = ProsumerSettings(
    name="home",
    grid="grid",
    calendar=CALENDAR,
    units=(
        ProsumerAsset(asset="load", p_kw=(-4.0, -2.0), q_kvar=(-1.0, -1.0)),
        ProsumerAsset(asset="pv", p_kw=(3.0, 1.0)),
    ),
    trader="mg",
    retry_s=RETRY_S,
)
HALF_SUN = Schedule(0, (Share(0.0, 1.0, (0.375,)),), certified=True)


class Conversation:
    """One prosumer with its grid service at hand; the test is its trader."""

    def __init__(self, settings: ProsumerSettings = SETTINGS, grid: FakeGrid | None = None) -> None:
        self.grid = grid or FakeGrid({"home": ("load", "pv")})
        self.role = Prosumer(settings)
        self.facts: list[Message] = []

    def say(self, event: Message | Started | TimerFired | PeerUp, at_s: float) -> list[Message]:
        """Return what the trader hears after an event; messages are the trader's."""
        told = Received("mg", event) if isinstance(event, Message) else event
        heard: list[Message] = []
        waiting = self.role.step(told, at_s)
        while waiting:
            action = waiting.pop(0)
            if isinstance(action, Record):
                self.facts.append(action.fact)
            elif isinstance(action, Send) and action.to == "mg":
                heard.append(action.message)
            elif isinstance(action, Send):
                for reply in self.grid.step(Received("home", action.message), at_s):
                    assert isinstance(reply, Send)
                    waiting += self.role.step(Received("grid", reply.message), at_s)
        return heard

    def tick(self, at_s: float) -> list[Message]:
        """Return what the trader hears when the calendar's timer fires."""
        return self.say(TimerFired("calendar"), at_s)

    def retry(self, at_s: float) -> list[Message]:
        """Return what the trader hears when the timer for repetitions fires."""
        return self.say(TimerFired("retry"), at_s)


def sent(actions: list[Action]) -> list[Message]:
    return [action.message for action in actions if isinstance(action, Send)]


def test_an_interval_from_the_offer_to_what_was_measured() -> None:
    home = Conversation()
    home.say(Started(), 80.0)
    assert home.say(OfferCall(0), 90.0) == [
        ProsumerOffer(0, (Offer(1.0, (Block(0.0, 0.0, 0.75),)),), (1.0,))
    ]
    home.say(HALF_SUN, 95.0)
    assert home.tick(98.0) == []
    home.tick(100.0)
    assert home.grid.powers == {"load": (-4.0, -1.0), "pv": (1.5, 0.0)}
    home.grid.powers["pv"] = 1.0, 0.0
    assert home.tick(108.0) == [ScheduleCall(1)]
    (delivery,) = home.facts
    assert delivery == Delivery(0, True, -0.625, -0.75, (VOLTAGE_PU,))  # noqa: FBT003 - a fact
    assert isinstance(delivery, Delivery)
    assert delivery.deviation_kwh == -0.125


def test_an_offer_is_the_same_whenever_it_is_called_for() -> None:
    home = Conversation()
    first = home.say(OfferCall(1), 105.0)
    assert first == home.say(OfferCall(1), 106.0) == Conversation().say(OfferCall(1), 101.0)
    assert home.say(OfferCall(2), 105.0) == []


def test_it_asks_for_its_schedule_after_the_gate_until_it_has_it() -> None:
    home = Conversation()
    home.say(Started(), 95.0)
    assert home.tick(98.0) == [ScheduleCall(0)]
    assert home.retry(98.2) == [ScheduleCall(0)]
    assert home.say(HALF_SUN, 98.3) == []
    assert home.retry(98.4) == []


def test_without_a_schedule_it_follows_its_profile_and_says_so_once() -> None:
    home = Conversation()
    home.say(Started(), 80.0)
    home.tick(98.0)
    assert home.tick(100.0) == [ScheduleCall(0)]
    assert home.facts == [Fallback(0)]
    assert home.grid.powers == {"load": (-4.0, -1.0), "pv": (3.0, 0.0)}
    home.retry(100.2)
    assert home.facts == [Fallback(0)]
    # Better late than never.
    home.say(HALF_SUN, 103.0)
    assert home.grid.powers["pv"] == (1.5, 0.0)
    home.tick(108.0)
    assert home.facts[1:] == [
        Delivery(0, scheduled=True, planned_kwh=-0.625, measured_kwh=-0.625, voltages_pu=(1.01,))
    ]


def test_the_first_schedule_of_an_interval_holds() -> None:
    home = Conversation()
    home.say(Started(), 80.0)
    home.tick(92.0)
    home.say(HALF_SUN, 95.0)
    home.say(Schedule(0, (Share(0.0, 1.0, (0.0,)),), certified=True), 96.0)
    home.say(Schedule(1, (Share(0.0, 1.0, (0.0,)),), certified=True), 96.0)
    home.tick(100.0)
    home.say(Schedule(0, (Share(0.0, 1.0, (0.0,)),), certified=True), 101.0)
    assert home.grid.powers["pv"] == (1.5, 0.0)
    assert home.tick(108.0) == [ScheduleCall(1)]


def test_a_restart_asks_first_and_leaves_the_set_points_of_its_earlier_life() -> None:
    first = Conversation()
    first.say(Started(), 80.0)
    first.tick(92.0)
    first.say(HALF_SUN, 95.0)
    first.tick(100.0)
    second = Conversation(grid=first.grid)
    assert second.say(Started(), 104.0) == [ScheduleCall(0)]
    assert second.retry(104.2) == [ScheduleCall(0)]
    assert second.grid.powers["pv"] == (1.5, 0.0)
    assert len(second.grid.writes) == 1
    second.say(HALF_SUN, 104.3)
    second.tick(108.0)
    assert second.grid.powers["pv"] == (1.5, 0.0)
    assert second.grid.refusals == []
    assert [type(fact) for fact in second.facts] == [Delivery]


def test_a_restart_while_the_gate_is_closed_says_the_same_delivery_again() -> None:
    first = Conversation()
    first.say(Started(), 80.0)
    first.tick(92.0)
    first.say(HALF_SUN, 95.0)
    first.tick(100.0)
    first.tick(108.0)
    second = Conversation(grid=first.grid)
    assert second.say(Started(), 108.5) == [ScheduleCall(0), ScheduleCall(1)]
    second.say(HALF_SUN, 108.6)
    second.tick(110.0)
    (said,) = first.facts
    assert second.facts[0] == said
    assert [fact for fact in second.facts if isinstance(fact, Delivery)] == [said]


@dataclass
class LateGrid(FakeGrid):
    """Keeps its reports back."""

    late: list[Message] = field(default_factory=list)

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        replies = super().step(event, now_s)
        reports = [r for r in replies if isinstance(r, Send) and isinstance(r.message, StateReport)]
        self.late += [report.message for report in reports]
        return [reply for reply in replies if reply not in reports]


def test_voltages_that_come_late_are_not_those_of_the_next_interval() -> None:
    grid = LateGrid({"home": ("load", "pv")})
    home = Conversation(grid=grid)
    home.say(Started(), 80.0)
    home.tick(92.0)
    home.say(HALF_SUN, 95.0)
    home.tick(100.0)
    home.tick(108.0)
    home.tick(110.0)
    (delivery, _) = home.facts
    assert delivery == Delivery(0, True, -0.625, -0.625, ())  # noqa: FBT003 - a fact
    said = [
        action for report in grid.late for action in home.role.step(Received("grid", report), 110.2)
    ]
    assert grid.late
    assert not [action for action in said if isinstance(action, Record)]


def test_a_restart_falls_back_when_nobody_answers() -> None:
    home = Conversation()
    home.say(Started(), 104.0)
    home.retry(104.0 + (PATIENCE - 0.5) * RETRY_S)
    assert home.facts == []
    home.retry(104.0 + (PATIENCE + 0.5) * RETRY_S)
    assert home.facts == [Fallback(0)]


def test_a_grid_service_that_comes_back_gets_the_set_points_again() -> None:
    home = Conversation()
    home.say(Started(), 80.0)
    home.tick(92.0)
    home.say(HALF_SUN, 95.0)
    home.say(PeerUp("grid", 1), 96.0)
    home.tick(100.0)
    home.grid.powers.clear()
    home.say(PeerUp("mg", 2), 102.0)
    assert home.grid.powers == {}
    home.say(PeerUp("grid", 2), 102.0)
    assert home.grid.powers == {"load": (-4.0, -1.0), "pv": (1.5, 0.0)}


def test_without_a_contract_it_only_looks() -> None:
    home = Conversation(msgspec.structs.replace(SETTINGS, trader=None))
    home.say(Started(), 80.0)
    for at_s in (92.0, 98.0, 100.0, 108.0):
        assert home.tick(at_s) == []
    assert home.grid.writes == []
    assert [type(fact) for fact in home.facts] == [Delivery]
    assert home.say(OfferCall(1), 109.0) == []


def test_what_nobody_measured_is_said_when_the_interval_is_over() -> None:
    role = Prosumer(SETTINGS)
    facts: list[Message] = []
    for at_s in (80.0, 100.0, 108.0, 110.0):
        event = Started() if at_s == 80.0 else TimerFired("calendar")
        facts += [a.fact for a in role.step(event, at_s) if isinstance(a, Record)]
    assert (
        Delivery(0, scheduled=False, planned_kwh=-0.25, measured_kwh=None, voltages_pu=()) in facts
    )


def test_a_refused_set_point_is_a_fact() -> None:
    home = Conversation(grid=FakeGrid({"home": ("load",)}))
    home.say(Started(), 80.0)
    home.tick(100.0)
    refusals = [fact for fact in home.facts if isinstance(fact, GridRefusal)]
    assert [refusal.code for refusal in refusals] == [RefusalCode.NOT_OWNER]
    home.tick(108.0)
    (delivery,) = [fact for fact in home.facts if isinstance(fact, Delivery)]
    assert delivery.measured_kwh is None


def test_unanswered_requests_are_sent_again() -> None:
    role = Prosumer(SETTINGS)
    started = role.step(Started(), 95.0)
    assert sent(started) == [GridHello(1)]
    assert SetTimer("retry", RETRY_S) in started
    assert sent(role.step(TimerFired("retry"), 95.2)) == [GridHello(1)]


def test_a_stranger_is_not_heard() -> None:
    role = Prosumer(SETTINGS)
    role.step(Started(), 95.0)
    assert sent(role.step(Received("stranger", OfferCall(0)), 95.0)) == []
    refusal = GridRefusal(1, Stamp(0, 0), RefusalCode.BAD_REQUEST, "no")
    assert role.step(Received("stranger", refusal), 95.0)[:-1] == []


def test_series_of_another_length_than_the_market_are_refused() -> None:
    told = msgspec.to_builtins(SETTINGS)
    told["units"][0]["p_kw"] = [1.0, 2.0, 3.0]
    with pytest.raises(msgspec.ValidationError, match="load has 3 values of power"):
        msgspec.convert(told, ProsumerSettings)


def test_set_points_name_each_asset_once() -> None:
    home = Conversation()
    home.say(Started(), 80.0)
    home.tick(100.0)
    ((_, _, write),) = home.grid.writes
    assert write == SetPoints(2, (SetPoint("load", -4.0, -1.0), SetPoint("pv", 3.0, 0.0)))
