"""How many requests the grid service answers, beside an echo and beside `runpp` for each request.

Ten lockstep clients send set-points of three assets and ask for their voltages, over ZeroMQ on
loopback. Every server runs in the same small host, which does what any host must: one PULL, a PUSH
for each peer, envelopes with sender and sequence, typed decoding. Takes half a minute:

    PYTHONPATH=src:. python -m bench.grid_service [CELL]

Goals are ratios of the server's CPU time in one run, so that the machine and what else it does
cancel as far as they can; ends with code 1 when one is missed.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

import msgspec
import numpy as np
import zmq

from peercell.agents.grid_messages import GridReply, GridRequest, SetPoints, StateReport
from peercell.agents.grid_parts import Reading, SetPoint, Stamp, View
from peercell.agents.protocol import Action, Event, Received, Role, Send, SetTimer, TimerFired
from peercell.broker.cells import load_cell
from peercell.grid.model import Cell
from peercell.grid.service import GridService
from peercell.grid.service_rights import Access, GridServiceSettings

CLIENTS, ASSETS_EACH = 10, 3
SECONDS, NAIVE_SECONDS, ROUNDS = 1.0, 4.0, 6
TURN_MAX = 256
STOP, MARK = b"stop", b"mark"


class Echo:
    """Answers every request with the same reading, of the size that the service's has."""

    def __init__(self, cell: Cell) -> None:
        del cell
        reading = Reading(1.5, 2.5, 3.5, 0.98, 1.03, 45.5, 7, voltages_pu=(1.01,) * ASSETS_EACH)
        self._reading = reading

    def step(self, event: Event, now_s: float) -> list[Action]:  # noqa: ARG002 - a role
        """See `Role.step`."""
        if isinstance(event, Received) and isinstance(event.message, SetPoints):
            return [Send(event.sender, StateReport(event.message.seq, Stamp(1, 1), self._reading))]
        return []


class Naive:
    """Runs pandapower's power flow for every request."""

    def __init__(self, cell: Cell) -> None:
        import pandapower  # noqa: PLC0415 - four seconds, in this server only
        from tests.oracles.pandapower_net import PandapowerOracle  # noqa: PLC0415 - needs it

        self._run = pandapower.runpp
        self._net = PandapowerOracle(cell).net
        self._row = {bus.id: row for row, bus in enumerate(cell.buses)}
        self._load = {asset.id: row for row, asset in enumerate(cell.assets)}

    def step(self, event: Event, now_s: float) -> list[Action]:  # noqa: ARG002 - a role
        """See `Role.step`."""
        assert isinstance(event, Received)
        assert isinstance(event.message, SetPoints)
        net, request = self._net, event.message
        for point in request.set_points:
            net.load.at[self._load[point.asset], "p_mw"] = -(point.p_kw or 0.0) / 1e3
            net.load.at[self._load[point.asset], "q_mvar"] = -(point.q_kvar or 0.0) / 1e3
        self._run(net)
        v_pu = net.res_bus.vm_pu.to_numpy()
        reading = Reading(
            losses_kw=1e3 * float(net.res_line.pl_mw.sum() + net.res_trafo.pl_mw.sum()),
            source_kw=1e3 * float(net.res_ext_grid.p_mw.sum()),
            source_kvar=1e3 * float(net.res_ext_grid.q_mvar.sum()),
            v_min_pu=float(v_pu.min()),
            v_max_pu=float(v_pu.max()),
            loading_percent_max=float(net.res_line.loading_percent.max()),
            iterations=0,
            voltages_pu=tuple(float(v_pu[self._row[b]]) for b in (request.view or View()).buses),
        )
        return [Send(event.sender, StateReport(request.seq, Stamp(1, 1), reading))]


def service(cell: Cell) -> Role:
    """Return the grid service with an owner for each client."""
    peers = {f"peer-{n}": Access(assets=assets) for n, assets in enumerate(owned(cell))}
    return GridService(cell, {}, GridServiceSettings(peers=peers))


def owned(cell: Cell) -> list[tuple[str, ...]]:
    """Return the assets of each client, spread over the cell."""
    names = [asset.id for asset in cell.assets]
    chosen = [names[k] for k in np.linspace(0, len(names) - 1, CLIENTS * ASSETS_EACH, dtype=int)]
    return [tuple(chosen[n::CLIENTS]) for n in range(CLIENTS)]


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """What a message travels in."""

    version: int
    src: str
    dst: str
    incarnation: int
    seq: int
    expires_s: float
    body: msgspec.Raw


class Host:
    """Runs a role: turns of at most so many messages, then the due timers, then what it sends."""

    def __init__(self, role: Role, turn_max: int, ports: list[int]) -> None:
        self.pull: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PULL)
        self.port: int = self.pull.bind_to_random_port("tcp://127.0.0.1")
        self._push = {f"peer-{n}": connected(port) for n, port in enumerate(ports)}
        self._role, self._turn_max = role, turn_max
        self._seen = dict.fromkeys(self._push, -1)
        self._sent = 0
        self._envelope = msgspec.msgpack.Decoder(Envelope).decode
        self._body = msgspec.msgpack.Decoder(GridRequest).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def run(self, pipe: Connection) -> None:
        """Serve until told to stop; tell the CPU time used so far at each mark."""
        while True:
            self.pull.poll()
            actions: list[Action] = []
            for _ in range(self._turn_max):
                try:
                    frame = self.pull.recv(zmq.NOBLOCK)
                except zmq.Again:
                    break
                if frame == STOP:
                    return
                if frame == MARK:
                    pipe.send(time.process_time())
                    continue
                actions += self._take(frame)
            timers = [action.name for action in actions if isinstance(action, SetTimer)]
            for timer in timers:
                actions += self._role.step(TimerFired(timer), 0.0)
            for action in actions:
                if isinstance(action, Send):
                    self._send(action)

    def _take(self, frame: bytes) -> list[Action]:
        envelope = self._envelope(frame)
        last = self._seen.get(envelope.src)
        if last is None or envelope.seq <= last or envelope.version != 1:
            return []
        self._seen[envelope.src] = envelope.seq
        return self._role.step(Received(envelope.src, self._body(envelope.body)), 0.0)

    def _send(self, action: Send) -> None:
        self._sent += 1
        body = msgspec.Raw(self._encode(action.message))
        envelope = Envelope(1, "grid", action.to, 1, self._sent, 0.0, body)
        self._push[action.to].send(self._encode(envelope), zmq.NOBLOCK)


def connected(port: int) -> "zmq.Socket[bytes]":
    """Return a PUSH socket to a port on loopback."""
    push: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUSH)
    push.setsockopt(zmq.LINGER, 0)
    push.connect(f"tcp://127.0.0.1:{port}")
    return push


def serve(
    make: Callable[[Cell], Role], cell: Cell, turn_max: int, ports: list[int], pipe: Connection
) -> None:
    """Run a server; the body of its process."""
    # The thread that does the input and output shall not interrupt the turn at each message.
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    host = Host(make(cell), turn_max, ports)
    pipe.send(host.port)
    host.run(pipe)


class Client:
    """One peer: asks for new random powers of its assets and for the voltages at their buses."""

    def __init__(self, number: int, cell: Cell) -> None:
        self.pull: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PULL)
        self.port: int = self.pull.bind_to_random_port("tcp://127.0.0.1")
        self.name = f"peer-{number}"
        bus_of = {a.id: customer.bus for customer in cell.customers for a in customer.assets}
        self._assets = owned(cell)[number]
        self._view = View(buses=tuple(bus_of[asset] for asset in self._assets))
        powers = np.random.default_rng(number).uniform(-2.0, 2.0, (997, ASSETS_EACH))
        self._powers: list[list[float]] = powers.round(3).tolist()
        self._seq = 0
        self._encode = msgspec.msgpack.Encoder().encode
        self._envelope = msgspec.msgpack.Decoder(Envelope).decode
        self._decode = msgspec.msgpack.Decoder(GridReply).decode

    def dial(self, port: int) -> None:
        """Connect to the server."""
        self.push = connected(port)

    def ask(self) -> None:
        """Send the next request."""
        self._seq += 1
        powers = zip(self._assets, self._powers[self._seq % len(self._powers)], strict=True)
        points = tuple([SetPoint(asset, p_kw, 0.0) for asset, p_kw in powers])
        body = msgspec.Raw(self._encode(SetPoints(self._seq, points, self._view)))
        envelope = Envelope(1, self.name, "grid", 1, self._seq, 0.0, body)
        self.push.send(self._encode(envelope))

    def hear(self) -> None:
        """Take the reply, which must be to that request and hold every voltage."""
        reply = self._decode(self._envelope(self.pull.recv()).body)
        assert isinstance(reply, StateReport), reply
        assert reply.seq == self._seq
        assert reply.reading is not None
        assert len(reply.reading.voltages_pu) == ASSETS_EACH


@dataclass
class Load:
    """Ten clients, each with one request under way, and the server that answers them."""

    process: multiprocessing.process.BaseProcess
    pipe: Connection
    clients: list[Client]
    requests: int = 0
    wall_s: float = 0.0
    server_cpu_s: float = 0.0

    def run(self, seconds: float) -> None:
        """Keep all clients busy for so long, and add to the counts."""
        poller = zmq.Poller()
        of_socket = {client.pull: client for client in self.clients}
        for client in self.clients:
            poller.register(client.pull, zmq.POLLIN)
        cpu_s, start = self._mark(), time.perf_counter()
        for client in self.clients:
            client.ask()
        waiting = len(self.clients)
        while waiting:
            for socket, _ in poller.poll():
                client = of_socket[socket]
                client.hear()
                self.requests += 1
                if time.perf_counter() - start < seconds:
                    client.ask()
                else:
                    waiting -= 1
        self.wall_s += time.perf_counter() - start
        self.server_cpu_s += self._mark() - cpu_s

    def _mark(self) -> float:
        self.clients[0].push.send(MARK)
        return float(self.pipe.recv())

    def stop(self) -> None:
        """End the server."""
        self.clients[0].push.send(STOP)
        self.process.join()
        for client in self.clients:
            client.push.close()
            client.pull.close()

    @property
    def per_s(self) -> float:
        """Requests per second of wall time."""
        return self.requests / self.wall_s

    @property
    def cpu_us(self) -> float:
        """Server CPU per request in microseconds."""
        return 1e6 * self.server_cpu_s / self.requests


def start(make: Callable[[Cell], Role], cell: Cell, turn_max: int = TURN_MAX) -> Load:
    """Return a server in a process of its own, with its clients connected."""
    ours, theirs = multiprocessing.Pipe()
    clients = [Client(n, cell) for n in range(CLIENTS)]
    ports = [client.port for client in clients]
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(make, cell, turn_max, ports, theirs), daemon=True
    )
    process.start()
    port = ours.recv()
    for client in clients:
        client.dial(port)
    return Load(process, ours, clients)


def main() -> int:
    """Print the table and return 0 when every goal is met."""
    # A matrix of this size gains nothing from threads, and their waiting would count as work.
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    cell = load_cell(sys.argv[1] if len(sys.argv) > 1 else "rural3").cell
    loads = {
        "echo, no physics": start(Echo, cell),
        "grid service, one request a turn": start(service, cell, 1),
        "grid service": start(service, cell),
        "runpp for each request": start(Naive, cell),
    }
    for load in loads.values():
        load.run(0.2)
        load.requests, load.wall_s, load.server_cpu_s = 0, 0.0, 0.0  # that was to warm up
    for _ in range(ROUNDS):
        for name, load in loads.items():
            load.run(NAIVE_SECONDS / ROUNDS if name.startswith("runpp") else SECONDS)
    for load in loads.values():
        load.stop()
    print(f"{cell.name}, {len(cell.buses)} buses, {CLIENTS} lockstep clients")
    print(f"{'':34}{'requests/s':>12}{'server CPU us/request':>24}")
    for name, load in loads.items():
        print(f"{name:34}{load.per_s:12,.0f}{load.cpu_us:24,.1f}")
    echo, single, own, naive = loads.values()
    goals = [
        ("capacity over runpp for each", naive.cpu_us / own.cpu_us, 300.0),
        ("capacity over echo's", echo.cpu_us / own.cpu_us, 0.5),
        ("CPU saved by coalescing", single.cpu_us / own.cpu_us, 2.0),
    ]
    for name, reached, goal in goals:
        print(f"{name:34}{reached:12,.2f}  goal {goal:g}{'' if reached >= goal else '  MISSED'}")
    print(f"{'requests/s over runpp for each':34}{own.per_s / naive.per_s:12,.2f}")
    return int(any(reached < goal for _, reached, goal in goals))


if __name__ == "__main__":
    sys.exit(main())
