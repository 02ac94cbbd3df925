"""Links of the voltage agents after many have died: enough of them, and news still spreads."""

from pathlib import Path

import pytest

from peercell.agents.control.voltage_dual import VoltageDual
from peercell.agents.control.voltage_gradient import VoltageGradient
from peercell.agents.control.voltage_messages import PathEntry
from peercell.agents.protocol import PeerDown, PeerUp
from peercell.broker.control_cases import load_control_case
from peercell.broker.control_run import Algorithm, ControlRun, ControlSettings
from peercell.broker.loop import LinkFaults

CASES = Path(__file__).parents[1] / "reference" / "control"
ALGORITHMS = [Algorithm.DUAL, Algorithm.GRADIENT]
SPREAD_TICKS = 20

Linked = VoltageDual | VoltageGradient


def met(name: str, algorithm: Algorithm) -> ControlRun:
    """Return the agents of a case when each knows where all are."""
    faults = LinkFaults(drop=0.3)
    run = ControlRun(
        load_control_case(CASES / f"{name}.json"),
        ControlSettings(algorithm=algorithm, faults=faults),
    )
    run.begin()
    return run


def linked(run: ControlRun) -> dict[str, Linked]:
    """Return the agents by name."""
    return {name: a for name, a in run.agents.items() if isinstance(a, Linked)}


def live_without(run: ControlRun, share: float) -> dict[str, Linked]:
    """Return those that live when a share has crashed, and its neighbours have found out.

    A host watches those that its role talks with, so a role hears of a death only at its links.
    """
    names = sorted(run.agents)
    dead = set(names[:: round(1.0 / share)])
    for name in dead:
        run.loop.crash(name, run.loop.now_s)
    live = {name: agent for name, agent in linked(run).items() if name not in dead}
    for name, agent in live.items():
        while lost := dead.intersection(agent.links):
            run.loop.give(name, PeerDown(min(lost), 1), run.loop.now_s)
            run.loop.run(run.loop.now_s)
    return live


@pytest.mark.parametrize("share", [0.1, 0.2, 1.0 / 3.0])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_after_a_crash_everybody_has_links_and_news_spreads(
    algorithm: Algorithm, share: float
) -> None:
    run = met("semiurb4-ov", algorithm)
    live = live_without(run, share)
    for name, agent in live.items():
        assert len(agent.links) >= 3
        assert all(name in live[peer].links for peer in agent.links)
    first = min(live)
    told = live[first].settings.announcement(10**9)
    live[first]._map.put(told)
    run.loop.run(run.loop.now_s + SPREAD_TICKS)
    assert all(agent._map.get(PathEntry, first) == told for agent in live.values())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_who_returns_gets_its_links_back(algorithm: Algorithm) -> None:
    run = met("rural1-ov", algorithm)
    agent = linked(run)[min(run.agents)]
    before = set(agent.links)
    gone = min(before)
    agent.step(PeerDown(gone, 1), 1.0)
    assert gone not in agent.links
    agent.step(PeerUp(gone, 2), 2.0)
    assert set(agent.links) == before
