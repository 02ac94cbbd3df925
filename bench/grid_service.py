"""How many requests the grid service answers, beside an echo and beside `runpp` for each request.

Ten lockstep clients send set-points of three assets and ask for their voltages, over ZeroMQ on
loopback. Every server is hosted as the peers of a cell are. Takes a minute:

    PYTHONPATH=src:. python -m bench.grid_service [CELL] > docs/results/grid_service.md

Goals are ratios of the servers' CPU time in one round, so that the machine and what else it does
cancel as far as they can, and of many rounds the median; ends with code 1 when one is missed.
"""

import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from statistics import median

import numpy as np
import zmq
from bench.measure import Goals, made_by, table

from peercell.agents.grid_messages import GridReply, GridRequest, SetPoints, StateReport
from peercell.agents.grid_parts import Reading, SetPoint, Stamp, View
from peercell.agents.protocol import Action, Event, Received, Role, Send
from peercell.broker import reactor
from peercell.broker.agent import run_crew
from peercell.broker.cells import load_cell
from peercell.broker.processes.crew import Crew, Factory, PeerSpec
from peercell.broker.sockets import LOOPBACK, Socket, bind, connect, endpoint_of, listen
from peercell.broker.sockets import make as make_socket
from peercell.broker.wire import VERSION, Codec, Envelope
from peercell.grid.model import Cell
from peercell.grid.service import GridService
from peercell.grid.service_rights import Access, GridServiceSettings

CLIENTS, ASSETS_EACH = 10, 3
SECONDS, ROUNDS = 1.0, 15
FRAMES_MAX = reactor.FRAMES_PER_TURN
UNIONS = ("GridRequest", "GridReply")


class Echo:
    """Answers every request with the same reading, of the size that the service's has."""

    def __init__(self) -> None:
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
        if not isinstance(event, Received) or not isinstance(event.message, SetPoints):
            return []
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


def owned(cell: Cell) -> list[tuple[str, ...]]:
    """Return the assets of each client, spread over the cell."""
    names = [asset.id for asset in cell.assets]
    chosen = [names[k] for k in np.linspace(0, len(names) - 1, CLIENTS * ASSETS_EACH, dtype=int)]
    return [tuple(chosen[n::CLIENTS]) for n in range(CLIENTS)]


def echo(_peer: str, _settings: bytes, _generator: np.random.Generator) -> Role:
    """Return a role that needs no cell; what its crew names, as those below."""
    return Echo()


def naive(_peer: str, settings: bytes, _generator: np.random.Generator) -> Role:
    """Return a role that runs pandapower on the named cell."""
    return Naive(load_cell(settings.decode()).cell)


def service(_peer: str, settings: bytes, _generator: np.random.Generator) -> Role:
    """Return the grid service of the named cell, with an owner for each client."""
    cell = load_cell(settings.decode()).cell
    peers = {f"peer-{n}": Access(assets=assets) for n, assets in enumerate(owned(cell))}
    return GridService(cell, {}, GridServiceSettings(peers=peers))


def serve(crew: Crew, frames_max: int, listener: socket.socket, pipe: Connection) -> None:
    """Run a server as a cell does, until a signal; the body of its process."""
    reactor.FRAMES_PER_TURN = frames_max
    run_crew(crew, listener, pipe.send, None)


class Client:
    """One peer: asks for new random powers of its assets and for the voltages at their buses."""

    def __init__(self, number: int, cell: Cell) -> None:
        context: zmq.Context[Socket] = zmq.Context.instance()
        self.pull, self.push = make_socket(context, zmq.PULL), make_socket(context, zmq.PUSH)
        self.address = bind(self.pull, LOOPBACK)
        self.name = f"peer-{number}"
        bus_of = {a.id: customer.bus for customer in cell.customers for a in customer.assets}
        self._assets = owned(cell)[number]
        self._view = View(buses=tuple(bus_of[asset] for asset in self._assets))
        powers = np.random.default_rng(number).uniform(-2.0, 2.0, (997, ASSETS_EACH))
        self._powers: list[list[float]] = powers.round(3).tolist()
        self._seq = 0
        self._codec = Codec(GridRequest, GridReply)

    def ask(self) -> None:
        """Send the next request."""
        self._seq += 1
        powers = zip(self._assets, self._powers[self._seq % len(self._powers)], strict=True)
        points = tuple([SetPoint(asset, p_kw, 0.0) for asset, p_kw in powers])
        request = SetPoints(self._seq, points, self._view)
        self.push.send(
            self._codec.frame(
                [Envelope(VERSION, "SetPoints", self.name, "grid", 1, self._seq, 1e11, request)]
            )
        )

    def hear(self) -> bool:
        """Return whether a reply came, which must be to that request and hold every voltage."""
        for envelope in self._codec.envelopes(self.pull.recv(), Counter()):
            if envelope.kind in self._codec.kinds:
                reply = self._codec.open(envelope)
                assert isinstance(reply, StateReport), reply
                assert reply.seq == self._seq
                assert reply.reading is not None
                assert len(reply.reading.voltages_pu) == ASSETS_EACH
                return True
        # Like any peer of a cell, the server also tells who it is.
        return False


@dataclass
class Load:
    """Ten clients, each with one request under way, and the server that answers them."""

    process: multiprocessing.process.BaseProcess
    clients: list[Client]
    per_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        """Keep all clients busy for so long; note requests a second and server CPU of each."""
        poller = zmq.Poller()
        of_socket = {client.pull: client for client in self.clients}
        for client in self.clients:
            poller.register(client.pull, zmq.POLLIN)
        cpu_s, start = self._cpu_s(), time.perf_counter()
        for client in self.clients:
            client.ask()
        waiting, requests = len(self.clients), 0
        while waiting:
            for ready, _ in poller.poll():
                client = of_socket[ready]
                if not client.hear():
                    continue
                requests += 1
                if time.perf_counter() - start < seconds:
                    client.ask()
                else:
                    waiting -= 1
        self.per_s.append(requests / (time.perf_counter() - start))
        self.cpu_us.append(1e6 * (self._cpu_s() - cpu_s) / requests)

    def _cpu_s(self) -> float:
        """Return what the server has used so far, with its threads."""
        # This is how Linux numbers the clock of another process (clock_getcpuclockid(3)).
        return time.clock_gettime((~(self.process.pid or 0) << 3) | 2)

    def stop(self) -> None:
        """End the server."""
        self.process.terminate()
        self.process.join()
        for client in self.clients:
            client.push.close()
            client.pull.close()


def start(make: Factory, cell: Cell, folder: str, frames_max: int = FRAMES_MAX) -> Load:
    """Return a server in a process of its own, with its clients connected."""
    ours, theirs = multiprocessing.Pipe()
    clients = [Client(n, cell) for n in range(CLIENTS)]
    listener = listen()
    name = f"{make.__name__}{frames_max}"
    crew = Crew(
        name=name,
        folder=f"{folder}/{name}",
        peers=(
            PeerSpec(
                peer="grid",
                role="grid",
                factory=f"bench.grid_service:{make.__name__}",
                settings=cell.name.encode(),
            ),
        ),
        unions=tuple(f"peercell.agents.grid_messages:{union}" for union in UNIONS),
        endpoint=endpoint_of(listener),
        seeds={client.name: client.address for client in clients},
    )
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(crew, frames_max, listener, theirs), daemon=True
    )
    process.start()
    ours.recv()
    for client in clients:
        connect(client.push, crew.endpoint)
    return Load(process, clients)


def measure(cell: Cell) -> dict[str, Load]:
    """Return what each server needed; they take turns."""
    with tempfile.TemporaryDirectory(prefix="peercell-") as folder:
        loads = {
            "runpp for each request": start(naive, cell, folder),
            "echo, no physics": start(echo, cell, folder),
            "grid service, one request a turn": start(service, cell, folder, 1),
            "grid service": start(service, cell, folder),
        }
        for load in loads.values():
            load.run(0.2)
            load.per_s.clear()  # that was to warm up
            load.cpu_us.clear()
        for _ in range(ROUNDS):
            for load in loads.values():
                load.run(SECONDS)
        for load in loads.values():
            load.stop()
    return loads


def page(cell: Cell, goals: Goals) -> Iterator[str]:
    """Yield the page of results."""
    yield "# The grid service: requests a second"
    yield ""
    packages = ("numpy", "pyzmq", "msgspec", "pandapower")
    yield from made_by("python -m bench.grid_service", packages)
    yield f"{CLIENTS} lockstep clients set {ASSETS_EACH} assets each of `{cell.name}`,"
    yield f"{len(cell.buses)} buses, and ask for the voltages there, the largest loading and the"
    yield "losses. Every server is a peer of a cell as any other, with reactor, gate, membership"
    yield "and journal. The first runs pandapower's power flow for each request; the echo answers"
    yield "with the same report without looking at any grid. CPU is of the server with its threads."
    yield ""
    loads = measure(cell)
    rows = [
        [name, f"{median(load.per_s):,.0f}", f"{median(load.cpu_us):,.1f}"]
        for name, load in loads.items()
    ]
    yield from table("server | requests/s | server CPU, us a request", rows)
    slow, empty, single, own = loads.values()
    spread = []
    for name, other, least in (
        ("capacity, of runpp's for each request", slow, 300.0),
        ("capacity, of the echo's", empty, 0.5),
        ("CPU of one request a turn, of that of many", single, 2.0),
    ):
        ratios = [a / b for a, b in zip(other.cpu_us, own.cpu_us, strict=True)]
        goals.least(f"{name}, median", median(ratios), least)
        numbers = [f"{number:.3g}" for number in (min(ratios), median(ratios), max(ratios))]
        good = sum(ratio >= least for ratio in ratios)
        spread.append([name, *numbers, f"{good} of {len(ratios)}"])
    yield from goals.table()
    yield "## Spread"
    yield ""
    yield f"In each of {ROUNDS} rounds every server worked for {SECONDS:g} s, one after the other."
    yield "What else the machine does meets one of them and not the next."
    yield ""
    yield from table("ratio of CPU | least | median | greatest | goal reached in", spread)
    over = median(a / b for a, b in zip(own.per_s, slow.per_s, strict=True))
    yield f"Requests a second over runpp's for each request, median: {over:,.0f}."


def main() -> int:
    """Print the page; return 1 when a goal was missed."""
    # A matrix of this size gains nothing from threads, and their waiting would count as work.
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    goals = Goals()
    for line in page(load_cell(sys.argv[1] if len(sys.argv) > 1 else "rural3").cell, goals):
        print(line, flush=True)
    return int(bool(goals.missed))


if __name__ == "__main__":
    sys.exit(main())
