"""What leaves a home and a microgrid: all that is said in a cell at work, to whom, and no more."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from msgspec import structs

from peercell.agents.membership_messages import MembershipMessage
from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, Record, Send
from peercell.broker.agent import find
from peercell.broker.cells import load_cell
from peercell.broker.config import load_grid, read_config
from peercell.broker.faults.network import LinkFaults
from peercell.broker.plans.cell import GridPeerSettings, PeerPlan, plan_cell
from peercell.broker.roles import ROLES, CellMessage
from peercell.broker.security.matrix import kinds_for
from peercell.broker.simulation import Simulation
from peercell.broker.wire import Codec, kind_of
from peercell.grid.service import GridService

CONFIG = Path(__file__).parents[3] / "configs/rural1.toml"
KINDS = tuple(Codec(CellMessage, MembershipMessage).kinds.values())
OBSERVER = "observer"
# Rounder numbers are prices and limits, which all may know.
DIGITS = 5


class Word(NamedTuple):
    """Something that was said, and to whom."""

    src: str
    dst: str
    message: Message

    @property
    def kind(self) -> str:
        """Name of its kind."""
        return kind_of(type(self.message))


class Overheard:
    """A role, and all that it says."""

    def __init__(self, peer: PeerPlan, words: list[Word]) -> None:
        settings = peer.settings
        if isinstance(settings, GridPeerSettings):
            loaded = load_cell(settings.folder)
            cell = structs.replace(loaded.cell, zones=settings.zones)
            self._role = GridService(cell, loaded.profiles, settings.service)
        else:
            self._role = find(ROLES[peer.role])(settings)
        self._name = peer.id
        self._words = words

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See `Role.step`."""
        actions: list[Action] = self._role.step(event, now_s)
        for action in actions:
            if isinstance(action, Send):
                self._words.append(Word(self._name, action.to, action.message))
            elif isinstance(action, Record):
                self._words.append(Word(self._name, OBSERVER, action.fact))
        return actions


class Heard(NamedTuple):
    """A cell that has traded, and all that was said in it."""

    roles: dict[str, str]
    words: list[Word]


@pytest.fixture(scope="module")
def cell() -> Heard:
    """Return rural1 in its first interval, for which it has traded before."""
    config = read_config(CONFIG)
    clock = config.cell.clock
    plan = plan_cell(config, load_grid(config), origin_s=clock.interval_s / clock.speed)
    simulation, words = Simulation(LinkFaults(delay_s_min=0.001, delay_s_max=0.003)), list[Word]()
    for peer in plan.peers:
        simulation.start(peer.id, Overheard(peer, words))
    simulation.run(plan.calendar.start_s(0) + 0.3 * plan.calendar.interval_s)
    return Heard({peer.id: peer.role for peer in plan.peers}, words)


def of_role(cell: Heard, role: str) -> list[Word]:
    return [word for word in cell.words if cell.roles[word.src] == role]


def telling(message: Message) -> set[float]:
    """Return the numbers in a message that could only come from a meter or a forecast."""

    def numbers(value: object) -> Iterator[float]:
        if isinstance(value, float):
            yield abs(value)
        elif isinstance(value, list):
            for each in value:
                yield from numbers(each)
        elif isinstance(value, dict):
            yield from numbers(list(value.values()))

    plain = msgspec.msgpack.decode(msgspec.msgpack.encode(message))
    return {each for each in numbers(plain) if each and float(f"{each:.{DIGITS - 1}g}") != each}


def test_every_role_says_only_what_it_may(cell: Heard) -> None:
    said = {(cell.roles[word.src], word.kind) for word in cell.words}
    assert {role for role, _ in said} == set(cell.roles.values())
    forbidden = {(role, kind) for role, kind in said if kind not in kinds_for(role, KINDS)}
    assert forbidden == set()


def test_a_home_speaks_to_its_trader_and_the_grid_alone(cell: Heard) -> None:
    said = {(word.dst, word.kind) for word in of_role(cell, "prosumer")}
    for dst, kind in said:
        if dst == "grid":
            assert kind in {"GridHello", "SetPoints", "StateQuery"}
        elif dst == OBSERVER:
            assert kind in {"Delivery", "Fallback", "GridRefusal"}
        else:
            assert cell.roles[dst] == "trader"
            assert kind in {"ProsumerOffer", "ScheduleCall"}
    for word in of_role(cell, "prosumer"):
        if word.dst in cell.roles and cell.roles[word.dst] == "trader":
            assert word.dst.split(".")[0] == word.src.split(".")[0]


def test_no_number_of_a_home_leaves_its_microgrid(cell: Heard) -> None:
    """Its trader tells the others sums over its homes and prices, never what one home said."""
    homes: dict[str, set[float]] = {}
    for word in of_role(cell, "prosumer"):
        if word.kind == "ProsumerOffer":
            homes.setdefault(word.dst, set()).update(telling(word.message))
    assert min(map(len, homes.values())) > 0
    outward = [
        word
        for word in of_role(cell, "trader")
        if cell.roles.get(word.dst) in {"trader", "aggregator", "dso"}
    ]
    assert outward
    for word in outward:
        assert telling(word.message) & homes[word.src] == set(), word


def test_what_a_home_tells_is_of_a_whole_interval(cell: Heard) -> None:
    """No series leaves it: a number for each period of the market, and of these there is one."""
    for word in of_role(cell, "prosumer"):
        if word.kind == "ProsumerOffer":
            offers, firm_kwh = msgspec.structs.astuple(word.message)[1:3]
            assert len(offers) == len(firm_kwh) == 1
