"""Cells that are hurt by chance: anything may break for a while, then all is healed.

While things break only what is never allowed is checked (safety); afterwards the cell also has to
get where it would have got without (liveness). All follows from the seed. Grids are for other
tests.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from bench.trading_rounds import market_of
from tests.agents.trading.graphs import complete, ring, star

from peercell.agents.overlay import overlay
from peercell.agents.protocol import (
    Action,
    Event,
    Received,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.agents.push_sum import PushSum
from peercell.agents.push_sum_messages import Heard, Sum
from peercell.agents.trading.messages import TraderSettled
from peercell.agents.trading.trader import MicrogridTrader, Phase
from peercell.broker.faults.kinds import (
    AnyFault,
    Bandwidth,
    Clock,
    Corrupt,
    Delay,
    DiskFull,
    Duplicate,
    Failpoint,
    Forge,
    Kill,
    Lie,
    Loss,
    Memory,
    Partition,
    Pause,
    Reorder,
    Replay,
    Slow,
)
from peercell.broker.faults.network import LinkFaults
from peercell.broker.faults.plan import FaultPlan, Step
from peercell.broker.faults.staging import stage
from peercell.broker.simulated_checks import InvariantError, check
from peercell.broker.simulation import Simulation
from peercell.broker.solving.trade import SolveSettings, trade_result, trader_settings

REPEAT = "PYTHONPATH=src:. python -m bench.seeds --first {seed} --count 1"
HURT_S = 30.0
STEPS = 5
# Which of four seeds has a liar; and s for which its words may be under way after its last lie.
LIES, LIES_LAST_S = 3, 5.0
# s, within which peers lose their disks and are back.
LOST_S = 5.0
QUICK = LinkFaults(delay_s_min=0.2, delay_s_max=0.2)
TRADERS, MEMBERS = 6, 16
TRADE_GAP, GOSSIP_GAP = 1e-6, 1e-5
# Rounds without faults, the 99th percentile of 1,000 seeds.
TRADE_ROUNDS_P99, GOSSIP_ROUNDS_P99 = 140, 62
SLACK = 3


class SeedError(AssertionError):
    """A seed that found something, with the command that repeats it."""

    def __init__(self, seed: int, what: str) -> None:
        super().__init__(f"seed {seed}: {what}\nrepeat with: {REPEAT.format(seed=seed)}")


@dataclass
class Gossiper:
    """A member that averages a number with its neighbours, a tick a second."""

    number: float
    peers: tuple[str, ...]
    rng: np.random.Generator
    sums: PushSum = field(init=False)

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        match event:
            case Started():
                self.sums = PushSum((self.number,), 1 + int(1000 * now_s))
                greetings = [self.sums.open_link(peer) for peer in self.peers]
                return [*(Send(*each) for each in greetings if each), SetTimer("tick", 1.0)]
            case TimerFired():
                told = self.sums.tick(self.rng)
                opened = [self.sums.open_link(peer) for peer in self.peers]
                sends = [Send(*each) for each in (told, *opened) if each]
                return [*sends, SetTimer("tick", 1.0)]
            case Received(sender=sender, message=Sum() | Heard() as message):
                answer = self.sums.receive(sender, message)
                return [Send(*answer)] if answer else []
            case _:
                return []


def plan_of(seed: int, names: tuple[str, ...]) -> FaultPlan:
    """Return what breaks in a cell: some steps of any kind, all over after half a minute."""
    rng = np.random.default_rng([seed, 1])
    steps = []
    for _ in range(STEPS):
        at_s = float(rng.uniform(0.0, HURT_S - 2.0))
        for_s = float(rng.uniform(1.0, HURT_S - at_s))
        fault = _fault(rng, names, for_s)
        steps.append(Step(fault=fault, at_s=at_s, for_s=None if isinstance(fault, Kill) else for_s))
    return FaultPlan(seed, (*steps, _words(seed, names)))


def lie_of(seed: int, plan: FaultPlan, names: tuple[str, ...]) -> tuple[str, Step] | None:
    """Return who does not say the truth about its price, and how, in every fourth seed.

    By chance of its own, as `_words`. Not where the liar loses its memory: its neighbours then tell
    it what it said, and it takes that for its price.
    """
    if seed % 4 != LIES:
        return None
    rng = np.random.default_rng([seed, 5])
    price, liar = float(rng.uniform(0.0, 0.5)), str(rng.choice(names))
    kills = [step.fault for step in plan.steps if isinstance(step.fault, Kill)]
    if any(liar in kill.on and kill.state is not Memory.KEPT for kill in kills):
        return None
    at_s = float(rng.uniform(0.0, HURT_S - 2.0))
    lie = Lie(price_eur_per_kwh=price, on=liar)
    return liar, Step(fault=lie, at_s=at_s, for_s=float(rng.uniform(1.0, HURT_S - at_s)))


def _words(seed: int, names: tuple[str, ...]) -> Step:
    """Return what one of them repeats, or says in the name of another.

    By chance of its own, so that the other steps of a seed stay what they were.
    """
    rng = np.random.default_rng([seed, 4])
    rogue, other = (str(name) for name in rng.choice(names, 2, replace=False))
    share, again_s = float(rng.uniform(0.1, 0.5)), float(rng.uniform(0.5, 10.0))
    again = Replay(share=share, after_s=again_s, on=rogue)
    forged = Forge(share=share, name=other, on=rogue)
    at_s = float(rng.uniform(0.0, HURT_S - 2.0))
    for_s = float(rng.uniform(1.0, HURT_S - at_s))
    return Step(fault=again if rng.integers(2) else forged, at_s=at_s, for_s=for_s)


def _fault(rng: np.random.Generator, names: tuple[str, ...], for_s: float) -> AnyFault:
    some = ",".join(str(name) for name in rng.choice(names, int(rng.integers(1, 3)), replace=False))
    arrow = ("{} from rest", "{}->rest", "rest->{}")[int(rng.integers(3))]
    share = float(rng.uniform(0.1, 0.5))
    state = list(Memory)[int(rng.integers(3))]
    choices: list[AnyFault] = [
        Loss(share=share),
        Loss(share=1.0, on=arrow.format(some)),
        Delay(delay_s=1.0, jitter_s=1.0),
        Duplicate(share=share),
        Reorder(share=share, by_s=3.0),
        Corrupt(share=share),
        Bandwidth(bytes_per_s=400.0, queue_s=2.0, on=some),
        Partition(on=arrow.format(some)),
        Kill(on=some, restart_after_s=for_s, state=state),
        Pause(on=some),
        Slow(on=some, share=0.2),
        Clock(on=some, ahead_s=float(rng.uniform(-2.0, 2.0)), drift_ppm=200.0),
        DiskFull(on=some),
        Replay(on=some, share=share, after_s=3.0),
    ]
    return choices[int(rng.integers(len(choices)))]


Hurt = Callable[[Simulation, int, tuple[str, ...]], float]
"""(cell, seed, names of its members) -> when all is healed that it does to them, s."""


def by_plan(plan: FaultPlan) -> Hurt:
    """Return what does to a cell what a plan says."""

    def hurt(cell: Simulation, seed: int, names: tuple[str, ...]) -> float:
        stage(plan, cell, dict.fromkeys(names, "peer"))
        cell.run(plan.end_s)
        _check(cell, seed)
        return plan.end_s

    return hurt


def by_lost_disks(cell: Simulation, seed: int, names: tuple[str, ...]) -> float:
    """Let peers forget all they know, over and over, two at once at most.

    Once all have forgotten that know of something, no protocol brings it back.
    """
    rng = np.random.default_rng([seed, 4])
    steps = [step for step in plan_of(seed, names).steps if not isinstance(step.fault, Kill)]
    for begins_s in np.linspace(0.0, HURT_S - LOST_S, STEPS):
        some = ",".join(rng.choice(names, int(rng.integers(1, 3)), replace=False).tolist())
        back_s = float(rng.uniform(0.5, 0.5 * LOST_S))
        fault = Kill(on=some, restart_after_s=back_s, state=Memory.LOST)
        steps.append(Step(fault=fault, at_s=float(begins_s + rng.uniform(0.0, 0.5 * LOST_S))))
    return by_plan(FaultPlan(seed, tuple(steps)))(cell, seed, names)


def by_chance(cell: Simulation, seed: int, names: tuple[str, ...]) -> float:
    """Let a cell be hurt by a seed, and return when all is healed."""
    plan = plan_of(seed, names)
    if (lie := lie_of(seed, plan, names)) is not None:
        plan = FaultPlan(seed, (*plan.steps, lie[1]))
    stage(plan, cell, dict.fromkeys(names, "peer"))
    rng = np.random.default_rng([seed, 2])
    point = list(Failpoint)[int(rng.integers(len(Failpoint)))]
    ends = cell.peer(str(rng.choice(names))).arm
    cell.at(float(rng.uniform(0.0, HURT_S - 4.0)), ends, point, 1.0)
    cell.run(HURT_S)
    # A point that nobody came to is no fault any more.
    for name in names:
        cell.peer(name).failpoint = None
    _check(cell, seed)
    return HURT_S


def trade(seed: int, hurt: Hurt = by_chance) -> int:
    """Return the rounds that traders take to settle after they were hurt.

    Raises
    ------
    SeedError : they do not, or not at the optimum. Where two neighbours lost their disks, what
        they have agreed on may be known to nobody: then it has to be void, and the rest be settled.
        What was in dispute stays void, also if one of the two does not know that any more.
        What is certified while somebody lies about its price is the best for what was said, and
        nobody but the liar is in a dispute.
    """
    graph = (ring, star, complete)[seed % 3]
    kind = ("quadratic", "mixed")[seed % 2]
    market = market_of(graph, TRADERS, seed % 50, kind)
    settings = SolveSettings(tolerance=TRADE_GAP)
    told = trader_settings(market, settings)
    cell = Simulation(QUICK, seed)
    for name, each in told.items():
        cell.enlist(name, partial(MicrogridTrader, each))
    begun_s = hurt(cell, seed, tuple(told))

    def settled() -> bool:
        roles = [cell.peer(name).role for name in told]
        return all(isinstance(r, MicrogridTrader) and r.phase is Phase.SETTLED for r in roles)

    rounds = _until(cell, begun_s, SLACK * TRADE_ROUNDS_P99, settled)
    if rounds is None:
        phases = {name: getattr(cell.peer(name).role, "phase", None) for name in told}
        raise SeedError(seed, f"not settled {SLACK * TRADE_ROUNDS_P99} rounds after: {phases}")
    _check(cell, seed)
    facts = _settled(cell)
    void = {(name, peer) for name, fact in facts.items() for peer in fact.unconfirmed}
    disputed = {frozenset((name, peer)) for name, each in facts.items() for peer in each.disputes}
    forgetful = {name for name in told if cell.peer(name).forgot}
    known = {pair for pair in void if not forgetful.issuperset(pair)}
    if any(frozenset(pair) not in disputed for pair in known):
        raise SeedError(seed, f"void, though one of both knew better: {known}")
    result = trade_result(market, facts, cell.sent)
    names = tuple(told)
    lied = lie_of(seed, plan_of(seed, names), names) if hurt is by_chance else None
    certified_s = _certified_s(cell)
    if lied is not None and lied[1].at_s <= certified_s:
        liar, lie = lied
        if any(liar not in pair for pair in disputed):
            raise SeedError(seed, f"in a dispute, though only {liar} lies: {disputed}")
        if disputed or certified_s <= lie.end_s + LIES_LAST_S:
            return rounds
    if not void and (not result.converged or result.relative_gap > 1.01 * TRADE_GAP):
        raise SeedError(seed, f"settled {result.relative_gap:.1e} above the optimum")
    return rounds


def _certified_s(cell: Simulation) -> float:
    """Return when the first trader has settled what all agreed on."""
    return min(at_s for at_s, _, fact in cell.facts_of(TraderSettled) if fact.certified)


def _settled(cell: Simulation) -> dict[str, TraderSettled]:
    """Return what each trader has settled: what is settled stays so, whatever it forgets later."""
    facts: dict[str, TraderSettled] = {}
    for _, name, fact in cell.facts_of(TraderSettled):
        before = facts.get(name)
        if before is None or before.unconfirmed or before.disputes:
            facts[name] = fact
    return facts


def gossip(seed: int, hurt: Hurt = by_chance) -> int:
    """Return the ticks that members take to agree on the mean after they were hurt.

    Raises
    ------
    SeedError : they do not, or mass was lost.
    """
    names = tuple(f"m{k}" for k in range(MEMBERS))
    rng = np.random.default_rng([seed, 3])
    numbers = {name: float(rng.uniform(-10.0, 10.0)) for name in names}
    near = overlay(names, 2)
    cell = Simulation(QUICK, seed)
    for name in names:
        member = partial(
            Gossiper, numbers[name], near[name], np.random.default_rng(rng.integers(99))
        )
        cell.enlist(name, member)
    begun_s = hurt(cell, seed, names)
    mean = sum(numbers.values()) / MEMBERS

    def agreed() -> bool:
        members = [cell.peer(name).role for name in names]
        found = [m.sums.estimate() for m in members if isinstance(m, Gossiper)]
        return len(found) == MEMBERS and all(
            each is not None and abs(each[0] - mean) <= 10.0 * GOSSIP_GAP for each in found
        )

    rounds = _until(cell, begun_s, SLACK * GOSSIP_ROUNDS_P99, agreed)
    if rounds is None:
        raise SeedError(seed, f"no common mean {SLACK * GOSSIP_ROUNDS_P99} ticks after")
    _check(cell, seed)
    for name in names:
        role = cell.role(name)
        if isinstance(role, Gossiper) and role.sums.imbalance:
            raise SeedError(seed, f"{name} has lost mass")
    return rounds


def _check(cell: Simulation, seed: int) -> None:
    try:
        check(cell)
    except InvariantError as error:
        raise SeedError(seed, str(error)) from None


def _until(
    cell: Simulation, begun_s: float, rounds_max: int, done: Callable[[], bool]
) -> int | None:
    """Return after how many rounds something holds; None when not within the most."""
    for rounds in range(rounds_max + 1):
        cell.run(begun_s + rounds)
        if done():
            return rounds
    return None
