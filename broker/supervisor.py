"""The one process of a cell that starts the others, knows how they are, and ends with all of them.

It is not needed for trading: peers talk to each other, and find a restarted one where it was,
because the supervisor keeps every listening socket open while its process is away.
"""

import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import zmq
from msgspec import structs

from peercell.agents.messages import Message
from peercell.broker.addresses import endpoint_at
from peercell.broker.clock import steady_clock
from peercell.broker.directory import DIRECTORY, OBSERVER_MESSAGES, directory_spec
from peercell.broker.faults.desk import FaultDesk, Hands
from peercell.broker.faults.lines import Lines
from peercell.broker.faults.messages import AddFault, EndFault, FaultsQuery
from peercell.broker.home import CellHome
from peercell.broker.operator_port import Done, OperatorPort, Refusal, StopHost, Stopping
from peercell.broker.processes.crew import Crew, PeerSpec
from peercell.broker.processes.lock import CellLock
from peercell.broker.processes.plan import (
    CODEC,
    SUPERVISOR,
    PeersAnswer,
    PeersQuery,
    PeerState,
    Plan,
    StartPeer,
    StopPeer,
)
from peercell.broker.processes.starter import ForkServer, Spawner, Starter, StarterError
from peercell.broker.processes.worker import Worker
from peercell.broker.security.enrolment import charter_of
from peercell.broker.signals import StopSignals
from peercell.broker.sockets import Socket, bind, endpoint_of, listen, make
from peercell.broker.solver_threads import use_one_solver_thread
from peercell.broker.timers import Timers

# A process that was asked to end and has not by then is killed.
STOP_S = 3.0
STARTS_PER_TURN = 4
# Peers that a newcomer turns to besides the directory, so that it is not needed even for that.
SEEDS = 2

log = logging.getLogger(__name__)


class Chore(Protocol):
    """Something that a supervisor does from time to time."""

    @property
    def next_s(self) -> float | None:
        """When it is due, host time in s; None for not before anything else happens."""
        ...

    def work(self, now_s: float) -> None:
        """Do what is due; called in each turn."""
        ...


class Supervisor:
    """The processes of one cell.

    Parameters
    ----------
    plan : what to run

    Raises
    ------
    PeercellError : the cell runs already, or its folder or address cannot be used.
    """

    def __init__(self, plan: Plan) -> None:
        self._clock = steady_clock()
        home = CellHome(Path(plan.folder))
        home.prepare()
        self._home = home
        self._lock = CellLock(home.lock, plan.config)
        if self._lock.stale:
            log.warning("took over a stale lock: %s", self._lock.stale)
        self._zmq: zmq.Context[Socket] = zmq.Context()
        router = make(self._zmq, zmq.ROUTER)
        bind(router, home.control(SUPERVISOR))
        self._control = OperatorPort(router, CODEC)
        self._poller = zmq.Poller()
        self._poller.register(router, zmq.POLLIN)
        self._starts: Timers[str] = Timers()
        self._kills: Timers[str] = Timers()
        self._workers = {each.crew.name: each for each in _workers(plan, self._clock())}
        self._lines = Lines(self._zmq, {name: home.control(name) for name in self._workers})
        hands = Hands(self._workers, self._lines.tell, lambda w, n: w.signal(self._starter, n))
        self._desk = FaultDesk(home, hands, plan.faults, lab=plan.lab)
        self._chores: list[Chore] = [self._desk]
        self._plan = plan
        self._stop_reason: str | None = None

    def also(self, chore: Chore) -> None:
        """Do this beside everything else, whenever it is due."""
        self._chores.append(chore)

    def stop(self, reason: str) -> None:
        """End `run` after this turn."""
        self._stop_reason = reason

    def run(self) -> str:
        """Keep the cell running until a signal or an operator ends it; return the reason."""
        self._starter = _new_starter(self._plan)
        try:
            with StopSignals() as signals:
                self._poller.register(signals.descriptor, zmq.POLLIN)
                for name in self._workers:
                    self._starts.set(name, self._clock())
                while self._stop_reason is None:
                    self._turn(signals)
                log.info("the cell ends: %s", self._stop_reason)
                for worker in self._workers.values():
                    self._stop(worker, "the cell ends")
                while any(worker.pid for worker in self._workers.values()):
                    self._turn(signals)
            return self._stop_reason
        finally:
            self._close()

    def _turn(self, signals: StopSignals) -> None:
        """Wait for a process, an operator, a signal or a timer, and deal with it."""
        dues_s = self._starts.next_s(), self._kills.next_s()
        due_s = [s for s in (*dues_s, *(each.next_s for each in self._chores)) if s is not None]
        wait_s = max(0.0, min(due_s) - self._clock()) if due_s else 60.0
        ready = {source for source, _ in self._poller.poll(int(1000 * wait_s) + 1)}
        if self._control.router in ready:
            self._answer_operator()
        if signals.descriptor in ready:
            self._stop_reason = signals.read() or self._stop_reason
        for worker in self._workers.values():
            if worker.notices in ready and worker.hear(self._clock()):
                self._note_end(worker)
        for chore in self._chores:
            chore.work(self._clock())
        # A few a turn, so that operators of a large cell are answered while it starts.
        for name, _ in self._starts.pop_due(self._clock(), STARTS_PER_TURN):
            self._start(self._workers[name])
        for name, _ in self._kills.pop_due(self._clock()):
            self._workers[name].kill(self._starter)

    def _start(self, worker: Worker) -> None:
        if worker.pid:
            return
        worker.crew = structs.replace(worker.crew, faults=self._desk.orders)
        try:
            worker.start(self._starter, self._clock())
        except StarterError as error:
            log.warning("%s: %s; a new one is started", worker.crew.name, error)
            self._starter.close()
            self._starter = _new_starter(self._plan)
            worker.start(self._starter, self._clock())
        self._poller.register(worker.notices, zmq.POLLIN)

    def _stop(self, worker: Worker, why: str) -> None:
        self._starts.cancel(worker.crew.name)
        worker.stop(self._starter, why, self._clock())
        if worker.pid:
            # One that stands still hears of it only when it goes on.
            worker.signal(self._starter, signal.SIGCONT)
        self._kills.set(worker.crew.name, self._clock() + STOP_S)

    def _note_end(self, worker: Worker) -> None:
        """Find out why a process has ended, and plan its return."""
        self._poller.unregister(worker.notices)
        name = worker.crew.name
        self._kills.cancel(name)
        delay_s = worker.end(self._starter, self._clock())
        self._desk.forget(name)
        log.info("%s is %s: %s", name, worker.state, worker.reason)
        if delay_s is not None:
            self._starts.set(name, self._clock() + delay_s)

    def _answer_operator(self) -> None:
        asked = self._control.receive()
        if asked is not None:
            request_id, peer, request = asked
            self._control.answer(request_id, self._carry_out(peer, request))

    def _carry_out(self, peer: str, request: Message) -> Message:
        """Do what an operator asks, and return what to answer."""
        match request:
            case PeersQuery():
                return PeersAnswer(self.states)
            case FaultsQuery() | AddFault() | EndFault():
                return self._desk.answer(request, self._clock())
            case StopHost():
                self._stop_reason = "stopped by the operator"
                return Stopping()
            case StopPeer() | StartPeer():
                worker = next((w for w in self._workers.values() if w.hosts(peer)), None)
                if worker is None:
                    return Refusal(f'there is no peer "{peer}" in this cell')
                if isinstance(request, StopPeer):
                    self._stop(worker, "stopped by the operator")
                else:
                    self._start(worker)
                return Done()
            case _:
                return Refusal(f"a supervisor does not answer {type(request).__name__}")

    @property
    def states(self) -> tuple[PeerState, ...]:
        """How the peers are doing."""
        return tuple(self._states())

    def _states(self) -> Iterator[PeerState]:
        for worker in self._workers.values():
            for spec in worker.crew.peers:
                yield PeerState(
                    peer=spec.peer,
                    role=spec.role,
                    state=worker.state,
                    reason=worker.reason,
                    since_s=worker.since_s,
                    pid=worker.pid,
                    restarts=worker.restarts,
                    incarnation=worker.incarnations.get(spec.peer, 0),
                    endpoint=worker.crew.endpoint,
                    control=self._home.control(worker.crew.name),
                )

    def _close(self) -> None:
        """End what still runs, and give everything back."""
        for worker in self._workers.values():
            worker.kill(self._starter)
            worker.close()
        self._starter.close()
        self._control.router.close(linger=200)
        self._lines.close()
        self._zmq.term()
        self._lock.release()


def _workers(plan: Plan, now_s: float) -> list[Worker]:
    """Return the workers of a plan, a directory first, each of them listening already."""
    starts = range(0, len(plan.peers), plan.pack)
    crews = [plan.peers[at : at + plan.pack] for at in starts]
    if plan.directory:
        crews.insert(0, (directory_spec(),))
    names = [peers[0].peer for peers in crews]
    home = CellHome(Path(plan.folder))
    charter = charter_of(plan.keys, home, list(zip(names, crews, strict=True)), now_s)
    ports = [plan.port + at if plan.port else 0 for at in range(len(crews))]
    listeners = [listen(plan.address, port) for port in ports]
    endpoints = dict(zip(names, map(endpoint_of, listeners), strict=True))
    if plan.advertise:
        places = ((plan.advertise, each.getsockname()[1]) for each in listeners)
        endpoints = dict(zip(names, map(endpoint_at, places), strict=True))
    workers = []
    for at, (name, peers, listener) in enumerate(zip(names, crews, listeners, strict=True)):
        ring = (names[(at + step) % len(names)] for step in range(1, SEEDS + 1))
        near = dict.fromkeys((DIRECTORY, *ring) if plan.directory else ring)
        seeds = {seed: endpoints[seed] for seed in near if seed != name}
        crew = Crew(
            name=name,
            folder=plan.folder,
            peers=peers,
            unions=(*plan.unions, OBSERVER_MESSAGES),
            endpoint=endpoint_of(listener),
            seeds={**plan.seeds, **seeds},
            observer=plan.observer if _is_observed(plan, peers) else "",
            journal_bytes_max=plan.journal_bytes_max,
            charter=charter,
            advertise=endpoints[name],
            door=plan.door if name == DIRECTORY else None,
        )
        workers.append(Worker(crew, home.crew(name), listener, now_s))
    return workers


def _is_observed(plan: Plan, peers: Sequence[PeerSpec]) -> bool:
    return not plan.observed or all(spec.role in plan.observed for spec in peers)


def _new_starter(plan: Plan) -> Starter:
    """Return how processes are started: from a fork server, or anew where there is none."""
    use_one_solver_thread()
    if sys.platform != "linux":
        return Spawner()
    named = [*plan.unions, *(spec.factory for spec in plan.peers)]
    # A class of the user's own is loaded by its peers alone, so that a restart finds the newest.
    shared = {name.partition(":")[0] for name in named if "!" not in name}
    return ForkServer(sorted(shared))
