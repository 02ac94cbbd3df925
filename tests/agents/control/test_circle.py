"""What agents of any algorithm do alike: a law says what is special, the circle does the rest."""

from peercell.agents.control.circle import Circle
from peercell.agents.control.paths import Span
from peercell.agents.control.rhythm import Rhythm, stamp_of
from peercell.agents.control.state_codec import pack
from peercell.agents.control.station import Place
from peercell.agents.control.voltage_messages import State, StateEntry, VoltageFact, VoltageGossip
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.agents.grid_messages import GridHello
from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    Event,
    PeerDown,
    PeerUp,
    Received,
    Send,
    SetTimer,
    Started,
    TimerFired,
)

NAMES = ("a", "b", "c")
METER = Place(bus="1")


class Says:
    """A law of its own: say 1 pu in each epoch, act on nothing."""

    quiet = b""

    def __init__(self, settings: VoltageSettings) -> None:
        self.circle = Circle(settings)
        self.turned: list[int] = []
        self.heard: list[VoltageFact] = []

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        return self.circle.step(event, now_s, self)

    def begin(self, now_s: float) -> None:
        """See Law.begin."""

    def turn(self, ended: int, now_s: float) -> list[Action]:
        """Note that an epoch has ended."""
        del now_s
        self.turned.append(ended)
        return []

    def speak(self) -> bool:
        """State a voltage."""
        circle = self.circle
        stamp = stamp_of(circle.epoch, 0)
        circle.map.put(StateEntry(circle.settings.name, stamp, 0, pack(State(1.0))))
        return True

    def tick(self, now_s: float) -> list[Action]:
        """See Law.tick."""
        del now_s
        return []

    def hear(
        self, sender: str, message: Message, news: list[VoltageFact], now_s: float
    ) -> list[Action]:
        """Note what is news."""
        del sender, message, now_s
        self.heard += news
        return []

    def look(self, now_s: float) -> list[Action]:
        """See Law.look."""
        del now_s
        return []


def says(name: str, place: Place = METER) -> Says:
    """Return one of three agents."""
    settings = VoltageSettings(
        name=name,
        grid="grid",
        members=NAMES,
        place=place,
        path=(Span(f"line {name}", 1e-3, 1e-3),),
        rhythm=Rhythm(epoch_ticks=4, guard_ticks=2),
    )
    return Says(settings)


def sent(actions: list[Action]) -> dict[str, VoltageGossip]:
    """Return the gossip among some actions by receiver."""
    return {
        action.to: action.message
        for action in actions
        if isinstance(action, Send) and isinstance(action.message, VoltageGossip)
    }


def test_agents_announce_where_they_are() -> None:
    agents = {name: says(name) for name in NAMES}
    for agent in agents.values():
        agent.step(Started(), 0.0)
    for tick in (1.0, 2.0):
        for name, agent in agents.items():
            for to, message in sent(agent.step(TimerFired("tick"), tick)).items():
                agents[to].step(Received(name, message), tick)
    assert all(agent.circle.knows_all for agent in agents.values())
    here, there = agents["a"].circle.places.tracks[1], agents["b"].circle.track
    assert here.branches == there.branches == ("line b",)


def test_a_tick_ends_with_the_next_one() -> None:
    agent = says("a")
    assert agent.step(Started(), 0.0)[-1] == SetTimer("tick", 1.0)
    assert agent.step(TimerFired("tick"), 1.0)[-1] == SetTimer("tick", 1.0)


def test_a_law_learns_when_an_epoch_ends() -> None:
    agent = says("a")
    agent.step(Started(), 0.0)
    for tick in range(1, 10):
        agent.step(TimerFired("tick"), float(tick))
    assert agent.turned == [-1, 0, 1]


def test_nobody_speaks_who_sees_nothing() -> None:
    agent = says("a")
    agent.step(Started(), 0.0)
    for tick in range(1, 10):
        agent.step(TimerFired("tick"), float(tick))
    assert agent.circle.stamped == -1
    assert agent.circle.map.get(StateEntry, "a") is None


def test_who_has_nothing_to_look_at_speaks_and_asks_the_grid_nothing() -> None:
    agent = says("a", Place())
    assert agent.step(Started(), 0.0) == [SetTimer("tick", 1.0)]
    for tick in range(1, 4):
        agent.step(TimerFired("tick"), float(tick))
    assert agent.circle.map.get(StateEntry, "a") is not None


def test_strangers_are_not_heard() -> None:
    agent, other = says("a"), says("b")
    other.step(Started(), 0.0)
    agent.step(Started(), 0.0)
    message = sent(other.step(TimerFired("tick"), 1.0))["a"]
    agent.step(Received("stranger", message), 1.0)
    assert agent.heard == []
    agent.step(Received("b", message), 1.0)
    assert [entry.owner for entry in agent.heard] == ["b"]


def test_the_grid_service_is_asked_again_when_it_comes_back() -> None:
    agent = says("a")
    agent.step(Started(), 0.0)
    agent.step(PeerDown("grid", 1), 1.0)
    asked = agent.step(PeerUp("grid", 2), 2.0)
    assert any(isinstance(a, Send) and isinstance(a.message, GridHello) for a in asked)
    assert set(agent.circle.links) == {"b", "c"}
