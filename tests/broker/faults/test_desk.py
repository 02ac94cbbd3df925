"""The supervisor's part in faults: whom it tells, whom it signals, what it writes down."""

import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from peercell.agents.messages import Message
from peercell.broker.faults.desk import DUTY_S, FaultDesk, Hands
from peercell.broker.faults.kinds import (
    POINT_S,
    AnyFault,
    Failpoint,
    Kill,
    Loss,
    Memory,
    Pause,
    Slow,
)
from peercell.broker.faults.messages import (
    AddFault,
    EndFault,
    FaultAdded,
    FaultsAnswer,
    FaultsQuery,
)
from peercell.broker.faults.orders import Order
from peercell.broker.faults.plan import read_plan
from peercell.broker.home import CellHome
from peercell.broker.operator_port import Done, FaultEnd, FaultOrder, Refusal
from peercell.broker.processes.crew import Crew, PeerSpec
from peercell.broker.processes.worker import Worker
from peercell.broker.sockets import endpoint_of, listen


@dataclass
class Bench:
    """A desk over two processes that only seem to run."""

    home: CellHome
    workers: dict[str, Worker]
    told: list[tuple[str, Message]] = field(default_factory=list)
    struck: list[tuple[str, int]] = field(default_factory=list)

    def desk(self, *orders: Order, lab: bool = False) -> FaultDesk:
        """Return the desk, with faults from the beginning."""
        hands = Hands(
            self.workers,
            lambda name, request: self.told.append((name, request)),
            lambda worker, number: self.struck.append((worker.crew.name, number)),
        )
        return FaultDesk(self.home, hands, orders, lab=lab)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    home = CellHome(tmp_path)
    home.prepare()
    workers = {}
    for name in ("a", "b"):
        listener = listen()
        specs = (PeerSpec(peer=name, role="any", factory="m:f"),)
        crew = Crew(
            name=name,
            folder=str(tmp_path),
            peers=specs,
            unions=(),
            endpoint=endpoint_of(listener),
            seeds={},
        )
        workers[name] = Worker(crew, home.crew(name), listener, 0.0)
        workers[name].pid = 7
        listener.close()
    return Bench(home, workers)


def request(fault: AnyFault, for_s: float | None = 5.0, *peers: str) -> AddFault:
    return AddFault(fault, 4, 1.5, for_s, peers=peers)


def added(desk: FaultDesk, asked: AddFault, now_s: float = 10.0) -> Order:
    answer = desk.answer(asked, now_s)
    assert isinstance(answer, FaultAdded)
    shown = desk.answer(FaultsQuery(), now_s)
    assert isinstance(shown, FaultsAnswer)
    return next(state.order for state in shown.faults if state.order.id == answer.id)


def test_all_processes_are_told_of_a_fault_and_of_its_end(bench: Bench) -> None:
    desk = bench.desk()
    order = added(desk, request(Loss(share=0.3)))
    assert (order.id, order.until_s) == ("f1", 15.0)
    assert bench.told == [(name, FaultOrder(order)) for name in "ab"]
    assert desk.next_s == 15.0
    desk.work(14.0)
    assert [*desk.orders] == [order]
    desk.work(15.0)
    assert [*desk.orders] == []
    assert bench.told[2:] == [(name, FaultEnd("f1")) for name in "ab"]
    (step,) = read_plan(bench.home.faults).steps
    assert (step.fault, step.at_s, step.for_s, step.seed) == (Loss(share=0.3), 1.5, 5.0, 4)


def test_a_fault_that_is_taken_back_is_noted_as_long_as_it_was(bench: Bench) -> None:
    desk = bench.desk(lab=True)
    added(desk, request(Loss(share=0.3), None))
    added(desk, request(Loss(share=0.4), 60.0))
    refusal = desk.answer(EndFault("f9"), 11.0)
    assert isinstance(refusal, Refusal)
    assert refusal.why == "f9 is not on; on are: f1, f2"
    assert desk.answer(EndFault("f2"), 12.0) == Done()
    assert desk.answer(EndFault(None), 13.0) == Done()
    assert desk.orders == ()
    assert [step.for_s for step in read_plan(bench.home.faults).steps] == [3.0, 2.0]
    assert desk.next_s is None


def test_without_lab_a_fault_needs_an_end(bench: Bench) -> None:
    desk = bench.desk()
    refusal = desk.answer(request(Loss(share=0.3), None), 1.0)
    assert isinstance(refusal, Refusal)
    assert "--lab" in refusal.why
    assert not bench.told
    assert isinstance(desk.answer(request(Kill(on="a"), None, "a"), 1.0), FaultAdded)


def test_who_is_to_end_at_a_point_is_told_so_once(bench: Bench) -> None:
    desk = bench.desk()
    fault = Kill(on="a", restart_after_s=2.0, point=Failpoint.BEFORE_SEND)
    order = added(desk, request(fault, None, "a"))
    assert order.until_s == 10.0 + 2.0 + POINT_S
    assert bench.told == [("a", FaultOrder(order)), ("b", FaultOrder(order))]
    assert not bench.struck
    assert desk.orders == ()
    desk.forget("b")
    desk.forget("a")
    shown = desk.answer(FaultsQuery(), 12.0)
    assert isinstance(shown, FaultsAnswer)
    assert [state.signals for state in shown.faults] == [1]


def test_a_killed_process_is_expected_back(bench: Bench) -> None:
    desk = bench.desk()
    for name in "ab":
        bench.home.roster(name).write_bytes(b"before")
        bench.home.memory(name).write_bytes(b"promised before")
    added(desk, request(Loss(share=0.1)))
    bench.home.roster("a").write_bytes(b"after")
    bench.home.roster("b").write_bytes(b"after")
    bench.home.memory("b").write_bytes(b"promised after")
    added(desk, request(Kill(on="a", restart_after_s=2.0, state=Memory.LOST), None, "a"))
    added(desk, request(Kill(on="b", state=Memory.OLD), None, "b"))
    assert bench.struck == [("a", signal.SIGKILL), ("b", signal.SIGKILL)]
    for name in "ab":
        desk.forget(name)
    assert not bench.home.roster("a").exists()
    assert not bench.home.memory("a").exists()
    assert bench.home.memory("b").read_bytes() == b"promised before"
    assert bench.home.roster("b").read_bytes() == b"before"
    for name in "ab":
        desk.forget(name)
    assert bench.home.roster("b").exists()


def test_a_paused_process_goes_on_in_the_end(bench: Bench) -> None:
    desk = bench.desk()
    added(desk, request(Pause(on="b"), 3.0, "b"))
    bench.workers["a"].pid = 0
    added(desk, request(Pause(on="a"), 3.0, "a"))
    desk.work(13.0)
    assert bench.struck == [("b", signal.SIGSTOP), ("b", signal.SIGCONT)]


def test_a_slow_process_goes_for_its_share_of_the_time(bench: Bench) -> None:
    desk = bench.desk()
    added(desk, request(Slow(share=0.25, on="a"), 1.0, "a"))
    now_s, stands_s = 10.0, 0.0
    while (next_s := desk.next_s) is not None:
        if bench.struck[-1] == ("a", signal.SIGSTOP):
            stands_s += next_s - now_s
        now_s = next_s
        desk.work(now_s)
    assert now_s == 11.0
    assert stands_s == pytest.approx(0.75, abs=DUTY_S)
    assert bench.struck[-1] == ("a", signal.SIGCONT)


def test_faults_from_the_beginning_are_listed_and_not_noted(bench: Bench) -> None:
    order = Order(id="drop", fault=Loss(share=0.3))
    desk = bench.desk(order)
    answer = desk.answer(FaultsQuery(), 0.0)
    assert isinstance(answer, FaultsAnswer)
    assert [each.order for each in answer.faults] == [order]
    assert not bench.home.faults.exists()
