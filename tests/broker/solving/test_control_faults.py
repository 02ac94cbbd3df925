"""Whatever the network does: equal versions of prices are equal bits, all stays in range."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from peercell.agents.control.voltage_dual import VoltageDual
from peercell.agents.control.voltage_messages import LimitPrice
from peercell.agents.grid_messages import GridRefusal
from peercell.broker.faults.network import LinkFaults
from peercell.broker.solving.control_cases import load_control_case
from peercell.broker.solving.control_run import ControlRun, ControlSettings

CASE = load_control_case(Path(__file__).parents[2] / "reference" / "control" / "rural1-ov.json")
TICKS = 40


@st.composite
def networks(draw: st.DrawFn) -> ControlSettings:
    """Return what a bad network does: loss, copies, delay that reorders, clocks that are off."""
    delay_s = draw(st.sampled_from([0.5, 1.0, 3.0]))
    return ControlSettings(
        faults=LinkFaults(
            drop=draw(st.sampled_from([0.0, 0.3, 0.6])),
            duplicate=draw(st.sampled_from([0.0, 0.3])),
            delay_s_min=0.0,
            delay_s_max=delay_s,
        ),
        skew_ticks=draw(st.integers(0, 2)),
        seed=draw(st.integers(0, 1000)),
    )


def versions(run: ControlRun) -> dict[int, set[tuple[LimitPrice, ...]]]:
    """Return the prices that agents hold now, by their version."""
    found: dict[int, set[tuple[LimitPrice, ...]]] = {}
    for agent in run.agents.values():
        assert isinstance(agent, VoltageDual)
        if not agent._lonely:
            found.setdefault(agent._prices.epoch, set()).add(agent.prices)
    return found


@settings(max_examples=6)
@given(asked=networks())
def test_two_agents_with_a_complete_view_find_the_same_bits(asked: ControlSettings) -> None:
    run = ControlRun(CASE, asked)
    run.begin()
    known: dict[int, set[tuple[LimitPrice, ...]]] = {}
    for _ in range(TICKS):
        run.tick()
        for version, prices in versions(run).items():
            known.setdefault(version, set()).update(prices)
    assert all(len(prices) == 1 for prices in known.values())
    assert not run.simulation.facts_of(GridRefusal)
    for reading in run.log.readings:
        for asset, device in zip(reading.assets, CASE.devices, strict=True):
            can = device.can
            room = 1e-9 * can.rating_kva
            assert can.p_kw_min - room <= asset.p_kw <= can.p_kw_max + room
            assert asset.p_kw**2 + asset.q_kvar**2 <= (can.rating_kva + room) ** 2
