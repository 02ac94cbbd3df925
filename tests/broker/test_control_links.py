"""Links of the voltage agents after many have died: enough of them, and news still spreads."""

from pathlib import Path

import pytest

from peercell.agents.control.voltage_messages import PathEntry
from peercell.agents.control.voltage_paper import VoltagePaper
from peercell.agents.protocol import PeerDown, PeerUp
from peercell.broker.faults.network import LinkFaults
from peercell.broker.solving.control_cases import load_control_case
from peercell.broker.solving.control_run import Agent, Algorithm, ControlRun, ControlSettings

CASES = Path(__file__).parents[1] / "reference" / "control"
ALGORITHMS = [Algorithm.DUAL, Algorithm.GRADIENT, Algorithm.PAPER]
SPREAD_TICKS = 20


def met(name: str, algorithm: Algorithm) -> ControlRun:
    """Return the agents of a case when each knows where all are."""
    faults = LinkFaults(drop=0.3)
    run = ControlRun(
        load_control_case(CASES / f"{name}.json"),
        ControlSettings(algorithm=algorithm, faults=faults),
    )
    run.begin()
    return run


def live_without(run: ControlRun, share: float) -> dict[str, Agent]:
    """Return those that live when a share has crashed, and its neighbours have found out.

    A host watches those that its role talks with, so a role hears of a death only at its links.
    """
    names = sorted(run.agents)
    dead = set(names[:: round(1.0 / share)])
    for name in dead:
        run.simulation.crash(name, run.simulation.now_s)
    run.simulation.run(run.simulation.now_s + 1.0)  # what they said last has arrived
    live = {name: agent for name, agent in run.agents.items() if name not in dead}
    for name, agent in live.items():
        while lost := dead.intersection(agent.circle.links):
            run.simulation.give(name, PeerDown(min(lost), 1), run.simulation.now_s)
            run.simulation.run(run.simulation.now_s)
    return live


@pytest.mark.parametrize("share", [0.1, 0.2, 1.0 / 3.0])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_after_a_crash_everybody_has_links_and_news_spreads(
    algorithm: Algorithm, share: float
) -> None:
    run = met("semiurb4-ov", algorithm)
    live = live_without(run, share)
    for name, agent in live.items():
        assert len(agent.circle.links) >= 3
        assert all(name in live[peer].circle.links for peer in agent.circle.links)
    first = min(live)
    told = live[first].circle.settings.announcement(10**9)
    live[first].circle.map.put(told)
    run.simulation.run(run.simulation.now_s + SPREAD_TICKS)
    assert all(agent.circle.map.get(PathEntry, first) == told for agent in live.values())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_who_returns_gets_its_links_back(algorithm: Algorithm) -> None:
    run = met("rural1-ov", algorithm)
    agent = run.agents[min(run.agents)]
    before = set(agent.circle.links)
    gone = min(before)
    agent.step(PeerDown(gone, 1), 1.0)
    assert gone not in agent.circle.links
    agent.step(PeerUp(gone, 2), 2.0)
    assert set(agent.circle.links) == before


def test_shares_go_along_the_links_that_are_left() -> None:
    run = met("semiurb4-ov", Algorithm.PAPER)
    live = live_without(run, 0.2)
    run.simulation.run(run.simulation.now_s + SPREAD_TICKS)
    for agent in live.values():
        assert isinstance(agent, VoltagePaper)
        assert set(agent.sums.links) == set(agent.circle.links)
        assert set(agent.sums.links) <= live.keys()
