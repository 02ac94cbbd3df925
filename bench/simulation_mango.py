"""The gossip of `bench.simulation` in the simulation world of mango, with the same messages.

mango (https://mango-agents.readthedocs.io) hands over objects without encoding them and keeps no
account of them; the world is told not to record messages, and goes on by a second at a time.
"""

import asyncio
from collections.abc import Mapping, Sequence
from time import process_time

import numpy as np
from mango import Agent, AgentAddress, create_world

from peercell.agents.push_sum import PushSum
from peercell.agents.push_sum_messages import PushSumMessage

ADDRESS = "simulation"


class Member(Agent):
    """A member in mango's simulation world."""

    def __init__(self, number: float, near: Sequence[str], rng: np.random.Generator) -> None:
        super().__init__()
        self.sums = PushSum((number,), 1)
        self.near = near
        self.rng = rng

    def on_ready(self) -> None:
        """Greet the neighbours and begin to push, once a second."""
        for peer in self.near:
            if (greeting := self.sums.open_link(peer)) is not None:
                self._answer(*greeting)
        self.schedule_periodic_task(self.push, 1.0)

    async def push(self) -> None:
        """Push once."""
        if (told := self.sums.tick(self.rng)) is not None:
            to, message = told
            await self.send_message(message, AgentAddress(ADDRESS, to))

    def handle_message(self, content: PushSumMessage, meta: Mapping[str, str]) -> None:
        """Take a message in, and answer it."""
        if (answer := self.sums.receive(meta["sender_id"], content)) is not None:
            self._answer(*answer)

    def _answer(self, to: str, message: PushSumMessage) -> None:
        self.schedule_instant_message(message, AgentAddress(ADDRESS, to))


def mango_rate(near: Mapping[str, Sequence[str]], warm_up: int, rounds: int) -> float:
    """Return rounds a CPU second, once all links are open.

    Parameters
    ----------
    near : the neighbours of each member
    warm_up : rounds before
    rounds : that are measured
    """
    return asyncio.run(_rate(near, warm_up, rounds))


async def _rate(near: Mapping[str, Sequence[str]], warm_up: int, rounds: int) -> float:
    world = create_world(record_messages=False)
    for k, (name, peers) in enumerate(near.items()):
        world.register(Member(float(k), peers, np.random.default_rng(k)), suggested_aid=name)
    async with world:
        for _ in range(warm_up):
            await world.step(1.0)
        before, begun_s = world.messages_delivered_count, process_time()
        for _ in range(rounds):
            await world.step(1.0)
        taken_s = process_time() - begun_s
        told = (world.messages_delivered_count - before) / (rounds * len(near))
    if not 1.9 < told < 2.1:
        raise AssertionError(f"{told:.2f} messages a member and round, not 2 as in the others")
    return rounds / taken_s
