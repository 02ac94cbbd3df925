"""A cell on a bad network, some of its members restarted: a digest of all that each peer did.

Run as a program, so that it can be run with another order of sets.
"""

from hashlib import blake2b
from pathlib import Path

import msgspec
from nacl.signing import SigningKey

from peercell.agents.protocol import Action, Event, Role
from peercell.broker.agent import rebuild
from peercell.broker.config import load_grid, read_config
from peercell.broker.directory import DIRECTORY, OBSERVER_MESSAGES, directory_spec
from peercell.broker.faults.network import LinkFaults
from peercell.broker.journal import FORMAT, Start
from peercell.broker.plans.cell import plan_cell
from peercell.broker.processes.crew import Context, PeerSpec
from peercell.broker.roles import CELL_MESSAGES, peer_spec
from peercell.broker.simulation import Simulation

CONFIG = Path(__file__).parents[2] / "configs" / "rural1.toml"
BAD = LinkFaults(drop=0.2, duplicate=0.1, delay_s_min=0.001, delay_s_max=0.05)
# s between the starts of two peers, and after the opening of a market before members restart.
APART_S, RESTART_S = 0.03, 0.1


class Digested:
    """A role, and a digest of all that it was told and did."""

    def __init__(self, role: Role) -> None:
        self._role = role
        self.digest = blake2b(digest_size=8)

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See `Role.step`."""
        actions = self._role.step(event, now_s)
        self.digest.update(msgspec.msgpack.encode((now_s, event, actions)))
        return actions


def _peer(spec: PeerSpec, incarnation: int) -> Digested:
    """Return a peer as the process of a cell builds it."""
    key = SigningKey(blake2b(spec.peer.encode(), digest_size=32).digest())
    seeds = () if spec.peer == DIRECTORY else (DIRECTORY,)
    context = Context(
        spec.role,
        f"tcp://{spec.peer}",
        bytes(key.verify_key),
        seeds,
        DIRECTORY,
        (),
        (CELL_MESSAGES, OBSERVER_MESSAGES),
    )
    start = Start(FORMAT, spec.peer, incarnation, 0.0, spec.factory, spec.settings, spec.seed)
    return Digested(rebuild(start, context, lambda message: key.sign(message).signature))


def digests(seed: int) -> dict[str, str]:
    """Return what each life of each peer did, up to the delivery of the second interval."""
    config = read_config(CONFIG)
    clock = config.cell.clock
    plan = plan_cell(config, load_grid(config), origin_s=clock.interval_s / clock.speed)
    specs = [peer_spec(each.id, each.role, each.settings, seed) for each in plan.peers]
    simulation = Simulation(BAD, seed)
    lives = {}
    for place, spec in enumerate([directory_spec(), *specs]):
        lives[spec.peer, 1] = _peer(spec, 1)
        simulation.start(spec.peer, lives[spec.peer, 1], at_s=APART_S * ((7 * place + seed) % 5))
        if spec.role in {"trader", "aggregator"} and (place + seed) % 2:
            lives[spec.peer, 2] = _peer(spec, 2)
            simulation.start(spec.peer, lives[spec.peer, 2], plan.calendar.due_s(1) + RESTART_S)
    simulation.run(plan.calendar.start_s(1))
    return {f"{peer} {life}": it.digest.hexdigest() for (peer, life), it in lives.items()}


if __name__ == "__main__":
    print(msgspec.json.encode([digests(seed) for seed in range(2)]).decode())  # noqa: T201 - its answer
