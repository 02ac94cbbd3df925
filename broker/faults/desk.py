"""Which faults are on in a running cell: the part of its supervisor that breaks it on purpose.

It tells the processes, sends signals to its own, takes back what is over, and writes a journal from
which the same can be done again. Processes take faults back by themselves too: one that cannot be
reached stays broken for no longer than it was told.
"""

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

from msgspec import structs

from peercell.agents.messages import Message
from peercell.broker.faults.kinds import Kill, Memory, Pause, Slow
from peercell.broker.faults.messages import (
    FAULTS_MAX,
    AddFault,
    EndFault,
    FaultAdded,
    FaultRequest,
    FaultsAnswer,
    FaultsQuery,
    FaultState,
)
from peercell.broker.faults.orders import Order
from peercell.broker.faults.plan import Step, journal_of
from peercell.broker.home import CellHome, replace_file
from peercell.broker.operator_port import Done, FaultEnd, FaultOrder, Refusal
from peercell.broker.processes.worker import Worker
from peercell.broker.timers import Timers

# s; a slow peer goes and stands still within each of these.
DUTY_S = 0.1


@dataclass(frozen=True)
class Hands:
    """How faults reach the processes of a cell.

    Parameters
    ----------
    workers : the processes by name
    tell : sends a request to the host of one, and waits for nothing
    strike : sends a signal to one that runs
    """

    workers: Mapping[str, Worker]
    tell: Callable[[str, Message], None]
    strike: Callable[[Worker, int], None]


@dataclass
class _Case:
    """A fault that is on, since when, and how often its processes got a signal."""

    order: Order
    begun_s: float
    signals: int = 0


class FaultDesk:
    """The faults of one cell.

    Parameters
    ----------
    home : of the cell
    hands : reach its processes
    lab : whether a fault may be without an end
    orders : faults that are on from the beginning; processes get them when they start
    """

    def __init__(
        self, home: CellHome, hands: Hands, orders: Iterable[Order] = (), *, lab: bool = False
    ) -> None:
        self._home = home
        self._hands = hands
        self._lab = lab
        self._count = 0
        self._cases = {order.id: _Case(order, 0.0) for order in orders}
        self._steps: dict[str, Step] = {}
        self._memory: dict[str, Memory] = {}
        # When cases end, and when the slow ones go and stand.
        self._timers: Timers[tuple[str, str]] = Timers()
        home.faults.unlink(missing_ok=True)

    @property
    def orders(self) -> tuple[Order, ...]:
        """What a process has to be told that starts now."""
        orders = (case.order for case in self._cases.values())
        return tuple(order for order in orders if not isinstance(order.fault, Kill))

    @property
    def next_s(self) -> float | None:
        """When something is to be done here, s."""
        return self._timers.next_s()

    def answer(self, request: FaultRequest, now_s: float) -> Message:
        """Do what an operator asks, and return what to answer."""
        match request:
            case FaultsQuery():
                cases = self._cases.values()
                return FaultsAnswer(tuple(FaultState(case.order, case.signals) for case in cases))
            case AddFault():
                return self._add(request, now_s)
            case EndFault():
                return self._end_on_request(request, now_s)

    def _add(self, request: AddFault, now_s: float) -> Message:
        """Let a fault begin, and return what to answer."""
        fault, for_s = request.fault, request.for_s
        if isinstance(fault, Kill):
            for_s = fault.lasts_s
        if for_s is None and not self._lab:
            why = "this cell does not run with --lab, and a fault without an end could be forgotten"
            return Refusal(why, "the same with --for 20s")
        if len(self._cases) >= FAULTS_MAX:
            return Refusal(f"{FAULTS_MAX} faults are on", "peercell fault clear")
        self._count += 1
        name = f"f{self._count}"
        until_s = None if for_s is None else now_s + for_s
        order = Order(
            id=name,
            fault=fault,
            seed=request.seed,
            links=request.links,
            peers=request.peers,
            branches=request.branches,
            assets=request.assets,
            until_s=until_s,
        )
        if not self._cases:
            self._keep_copies()
        self._cases[name] = _Case(order, now_s)
        lasts_s = None if isinstance(fault, Kill) else for_s
        self._note(
            name, Step(fault=fault, at_s=request.at_s, for_s=lasts_s, name=name, seed=order.seed)
        )
        if until_s is not None:
            self._timers.set((name, "end"), until_s)
        self._begin(self._cases[name], now_s)
        return FaultAdded(name, until_s)

    def _end_on_request(self, request: EndFault, now_s: float) -> Message:
        """Take back a fault or all, and return what to answer."""
        if request.id is not None and request.id not in self._cases:
            known = ", ".join(self._cases) or "none"
            return Refusal(f"{request.id} is not on; on are: {known}", "peercell fault ls")
        for name in [*self._cases] if request.id is None else [request.id]:
            self._end(name, now_s)
        return Done()

    def work(self, now_s: float) -> None:
        """Take back what is over, and let slow peers go and stand."""
        for (name, what), _ in self._timers.pop_due(now_s):
            if what == "end":
                self._end(name, now_s)
            elif (case := self._cases.get(name)) is not None:
                self._alternate(case, now_s, stands=what == "stand")

    def forget(self, process: str) -> None:
        """Let the peers of a process that has ended forget what a fault wants them to forget."""
        worker = self._hands.workers[process]
        for case in self._cases.values():
            fault = case.order.fault
            if isinstance(fault, Kill) and fault.point and worker in self._hit(case):
                case.signals += 1
        memory = self._memory.pop(process, Memory.KEPT)
        if memory is Memory.KEPT:
            return
        for path in self._saved(process):
            path.unlink(missing_ok=True)
            if memory is Memory.OLD and (copy := _copy_of(path)).exists():
                copyfile(copy, path)

    def _begin(self, case: _Case, now_s: float) -> None:
        match case.order.fault:
            case Kill(restart_after_s=after_s, state=memory):
                for worker in (each for each in self._hit(case) if each.pid):
                    self._memory[worker.crew.name] = memory
                    worker.expect_end(f"killed by fault {case.order.id}", after_s)
                if case.order.fault.point is None:
                    self._strike(case, signal.SIGKILL)
                else:
                    self._tell_all(FaultOrder(case.order))
            case Pause():
                self._strike(case, signal.SIGSTOP)
            case Slow():
                self._alternate(case, now_s, stands=True)
            case _:
                self._tell_all(FaultOrder(case.order))

    def _end(self, name: str, now_s: float) -> None:
        case = self._cases.pop(name)
        for what in ("end", "go", "stand"):
            self._timers.cancel((name, what))
        fault = case.order.fault
        if name in self._steps and not isinstance(fault, Kill) and not case.order.is_over(now_s):
            lasted_s = now_s - case.begun_s
            self._note(name, structs.replace(self._steps[name], for_s=lasted_s))
        if isinstance(fault, Pause | Slow):
            self._strike(case, signal.SIGCONT)
        elif not isinstance(fault, Kill):
            self._tell_all(FaultEnd(name))

    def _tell_all(self, request: Message) -> None:
        for process in self._hands.workers:
            self._hands.tell(process, request)

    def _alternate(self, case: _Case, now_s: float, *, stands: bool) -> None:
        """Let slow peers stand still, or go on, and plan the other."""
        if isinstance(case.order.fault, Slow):
            self._strike(case, signal.SIGSTOP if stands else signal.SIGCONT)
            share = case.order.fault.share
            length_s = DUTY_S * (1.0 - share if stands else share)
            self._timers.set((case.order.id, "go" if stands else "stand"), now_s + length_s)

    def _hit(self, case: _Case) -> Iterator[Worker]:
        """Yield the processes of the peers that a fault hits."""
        for worker in self._hands.workers.values():
            if any(worker.hosts(peer) for peer in case.order.peers):
                yield worker

    def _strike(self, case: _Case, number: int) -> None:
        for worker in self._hit(case):
            if worker.pid:
                self._hands.strike(worker, number)
                case.signals += 1

    def _keep_copies(self) -> None:
        """Copy what peers have saved now, for those that are to be given it back as old."""
        for process in self._hands.workers:
            for path in self._saved(process):
                _copy_of(path).unlink(missing_ok=True)
                if path.exists():
                    copyfile(path, _copy_of(path))

    def _saved(self, process: str) -> list[Path]:
        """Return the files in which a process and its peers keep what they know."""
        peers = self._hands.workers[process].crew.peers
        memories = (self._home.memory(spec.peer) for spec in peers)
        return [self._home.roster(process), *memories]

    def _note(self, name: str, step: Step) -> None:
        """Write the journal anew: it is short, and so is always whole."""
        self._steps[name] = step
        replace_file(self._home.faults, journal_of(self._steps.values()))


def _copy_of(path: Path) -> Path:
    """Return where what a file held before anything was broken is kept."""
    return path.with_name(f"{path.name}.old")
