"""A small cell with a grid service, and a desk at which tests talk to it turn by turn."""

from datetime import datetime
from typing import TypeVar

import numpy as np

from peercell.agents.grid_messages import GridRefusal, GridRevision, SetPoints
from peercell.agents.grid_parts import RefusalCode, SetPoint, View
from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    Commanded,
    Event,
    Received,
    Record,
    Reply,
    Send,
    SetTimer,
    TimerFired,
)
from peercell.grid.cellfile import Profiles
from peercell.grid.check import check_cell
from peercell.grid.model import (
    SCHEMA,
    Asset,
    AssetKind,
    Branch,
    Bus,
    Cell,
    CouplingPoint,
    Customer,
    Level,
    Microgrid,
    Provenance,
    Source,
    Switch,
    Tap,
    Tie,
    Timeline,
    Transformer,
    Window,
    Zones,
)
from peercell.grid.service import WINDOW_S, GridService
from peercell.grid.service_rights import Access, GridServiceSettings, SoftOpenPointSides

NOON = datetime(2016, 5, 28, 12, 0)
AnyMessage = TypeVar("AnyMessage", bound=Message)

PEERS = {
    "ann": Access(assets=("pv-2", "load-2")),
    "bob": Access(assets=("load-4",)),
    "joint": Access(assets=("sop-1", "sop-3")),
    "east": Access(microgrids=("mg-east",)),
    "watch": Access(sees_all=True),
    "dso": Access(operates=True),
}


def village(phases: int = 1) -> Cell:
    """Return two low-voltage feeders below a transformer, with an open switch between their ends.

    mv ─t─ 0 ─line-1─ 1 ─line-2─ 2      east: 1, 2
           0 ─line-3─ 3 ─line-4─ 4      west: 3, 4      2 ─line-5 (tie open at 2)─ 4
    """
    ends = [("0", "1"), ("1", "2"), ("0", "3"), ("3", "4"), ("2", "4")]
    cell = Cell(
        schema=SCHEMA,
        name="village",
        title="Village",
        phases=phases,
        buses=(
            Bus(id="mv", kv=20.0),
            *(Bus(id=str(n), kv=0.4, v_min_pu=0.95, v_max_pu=1.05) for n in range(5)),
        ),
        branches=tuple(
            Branch(
                id=f"line-{n}",
                from_bus=first,
                to_bus=second,
                r_ohm=0.05,
                x_ohm=0.03,
                r0_ohm=0.15,
                x0_ohm=0.1,
                rating_a=None if n == 3 else 140.0,
            )
            for n, (first, second) in enumerate(ends, 1)
        ),
        transformers=(_transformer(),),
        switches=(
            Switch(id="tie", bus="2", branch="line-5", closed=False),
            Switch(id="gate", bus="3", branch="line-4"),
        ),
        sources=(Source(id="grid", bus="mv", v_pu=1.01),),
        customers=(
            _customer("1", _asset("sop-1", AssetKind.GENERATOR, 0.0, rating_kva=30.0)),
            _customer(
                "2",
                _asset("pv-2", AssetKind.PV, 20.0, profile="sun", rating_kva=25.0),
                _asset("load-2", AssetKind.LOAD, -8.0, -2.0),
            ),
            _customer("3", _asset("sop-3", AssetKind.GENERATOR, 0.0, rating_kva=30.0)),
            _customer("4", _asset("load-4", AssetKind.LOAD, -12.0, -3.0)),
        ),
        provenance=Provenance(source="a test", licence="Apache-2.0"),
        zones=_zones(),
        timeline=Timeline(step_s=900, windows=(Window(start=NOON, steps=4),)),
    )
    check_cell(cell)
    return cell


def _zones() -> Zones:
    return Zones(
        microgrids=(
            Microgrid(id="mg-east", level=Level.LV, buses=("1", "2")),
            Microgrid(id="mg-west", level=Level.LV, buses=("3", "4")),
        ),
        coupling_points=(
            CouplingPoint(id="cp-1", branch="line-1", lower="mg-east"),
            CouplingPoint(id="cp-2", branch="line-3", lower="mg-west"),
        ),
        ties=(Tie(id="tie-1", element="tie", microgrids=("mg-east", "mg-west")),),
    )


def _transformer() -> Transformer:
    taps = [
        Tap(position=n, ratio=1.0 + 0.025 * n, shift_deg=0.0, r_ohm=0.004, x_ohm=0.02)
        for n in (-1, 0, 1)
    ]
    return Transformer(
        id="t",
        hv_bus="mv",
        lv_bus="0",
        taps=tuple(taps),
        rated_hv_kv=20.0,
        rated_lv_kv=0.4,
        rating_kva=100.0,
        r0_ohm=0.004,
        x0_ohm=0.02,
    )


def _customer(bus: str, *assets: Asset) -> Customer:
    return Customer(id=f"c-{bus}", bus=bus, assets=assets)


def _asset(
    name: str,
    kind: AssetKind,
    p_kw: float,
    q_kvar: float = 0.0,
    *,
    profile: str = "",
    rating_kva: float | None = None,
) -> Asset:
    return Asset(
        id=name, kind=kind, p_kw=p_kw, q_kvar=q_kvar, p_profile=profile, rating_kva=rating_kva
    )


def sun() -> Profiles:
    """Return the profile of the village: a share of 20 kW for each quarter of an hour."""
    return {"sun": np.array([1.0, 0.9, 0.5, 0.5], np.float32)}


def service(
    *, start: datetime | None = NOON, waiting_max: int = 64, phases: int = 1
) -> GridService:
    """Return the service of the village."""
    points = {"sop": SoftOpenPointSides(first_asset="sop-1", second_asset="sop-3")}
    settings = GridServiceSettings(
        peers=PEERS, soft_open_points=points, start=start, waiting_max=waiting_max
    )
    return GridService(village(phases), sun(), settings)


class Desk:
    """Gives a service its events as a host does, and collects what it says.

    Attributes
    ----------
    records : every fact that was told to the observers.
    """

    def __init__(self, role: GridService) -> None:
        self.role = role
        self.records: list[GridRevision] = []

    def turn(self, *letters: tuple[str, Message]) -> list[tuple[str, Message]]:
        """Deliver messages in one turn, fire what is due, and return what is sent."""
        return [
            (action.to, action.message)
            for action in self.events(*(Received(*letter) for letter in letters))
            if isinstance(action, Send)
        ]

    def events(self, *events: Event) -> list[Action]:
        """Deliver events in one turn, fire what is due, and return all actions but that."""
        actions = [action for event in events for action in self.role.step(event, 0.0)]
        due = [a for a in actions if isinstance(a, SetTimer) and a.after_s <= WINDOW_S]
        rest = [action for action in actions if action not in due]
        for name in dict.fromkeys(timer.name for timer in due):
            rest += self.role.step(TimerFired(name), 0.0)
        for action in rest:
            if isinstance(action, Record):
                assert isinstance(action.fact, GridRevision)
                self.records.append(action.fact)
        return rest

    def ask(self, peer: str, request: Message, kind: type[AnyMessage]) -> AnyMessage:
        """Return the reply to one request in a turn of its own, which must be of a kind."""
        replies = [message for to, message in self.turn((peer, request)) if to == peer]
        assert isinstance(replies[0], kind), replies[0]
        return replies[0]

    def refusal(self, peer: str, request: Message) -> GridRefusal:
        """Return the refusal of one request in a turn of its own."""
        return self.ask(peer, request, GridRefusal)

    def command(self, request: Message, kind: type[AnyMessage]) -> AnyMessage:
        """Return the answer to the operator at the host."""
        answers = [a for a in self.events(Commanded(7, request)) if isinstance(a, Reply)]
        assert answers[0].request_id == 7
        assert isinstance(answers[0].answer, kind), answers[0]
        return answers[0].answer


def sets(seq: int, *points: tuple[str, float], view: View | None = None) -> SetPoints:
    """Return a request that gives assets these kW at no kvar."""
    return SetPoints(seq, tuple(SetPoint(asset, p_kw, 0.0) for asset, p_kw in points), view)


def codes(sent: list[tuple[str, Message]]) -> list[RefusalCode | None]:
    """Return the code of each reply, None where it is no refusal."""
    return [reply.code if isinstance(reply, GridRefusal) else None for _, reply in sent]
