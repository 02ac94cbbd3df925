"""Who belongs to which level: below each transformer that is fed from a network with agents."""

from pathlib import Path

import numpy as np
import pytest

from peercell.agents.control.coupling import Coupling, CouplingSettings
from peercell.agents.control.paths import Span
from peercell.agents.control.rhythm import Rhythm
from peercell.agents.control.station import Place
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.broker.plans.levels import by_level
from peercell.broker.roles import build, peer_spec
from peercell.broker.solving.control_cases import load_control_case
from peercell.broker.solving.control_cell import control_peers

CASES = Path(__file__).parents[2] / "reference" / "control"
RHYTHM = Rhythm(epoch_ticks=10)


def agents(**paths: str) -> dict[str, VoltageSettings]:
    """Return agents by name, each at the end of a way of branches."""
    return {
        name: VoltageSettings(
            name=name,
            grid="grid",
            members=tuple(sorted(paths)),
            place=Place(bus=name),
            path=tuple(Span(branch, 1e-3, 1e-3) for branch in path.split()),
            rhythm=RHYTHM,
        )
        for name, path in paths.items()
    }


def members_of(found: object) -> set[str]:
    """Return with whom a voltage agent gossips."""
    assert isinstance(found, VoltageSettings)
    return set(found.members)


def test_two_networks_below_a_feeder_are_levels_of_their_own() -> None:
    found = by_level(
        agents(m="t0 l1", n="t0 l1 l2", a="t0 l1 ta l3", b="t0 l1 ta l4", c="t0 tc l5"),
        ("t0", "ta", "tc"),
    )
    assert members_of(found["m"]) == {"m", "n", "c.ta", "c.tc"}
    assert members_of(found["a"]) == {"a", "b", "c.ta"}
    assert members_of(found["c"]) == {"c", "c.tc"}
    coupling = found["c.ta"]
    assert isinstance(coupling, CouplingSettings)
    assert members_of(coupling.lower) == {"a", "b", "c.ta"}
    assert members_of(coupling.upper) == {"m", "n", "c.ta", "c.tc"}
    assert [span.branch for span in coupling.upper.path] == ["t0", "l1"]
    assert coupling.upper.place == Place()


def test_a_level_below_a_level() -> None:
    found = by_level(agents(h="l0", m="l0 t1 l1", a="l0 t1 l1 t2 l2"), ("t1", "t2"))
    assert members_of(found["h"]) == {"h", "c.t1"}
    assert members_of(found["m"]) == {"m", "c.t1", "c.t2"}
    assert members_of(found["a"]) == {"a", "c.t2"}


@pytest.mark.parametrize("transformers", [(), ("t0",)])
def test_a_network_of_one_level_has_no_coupling(transformers: tuple[str, ...]) -> None:
    told = agents(a="t0 l1", b="t0 l2")
    assert by_level(told, transformers) == told


def test_a_process_can_be_made_of_what_a_coupling_agent_is_told() -> None:
    peers = control_peers(load_control_case(CASES / "levels-ov.json"), RHYTHM)
    told = peers.agents["c.rural1.trafo-0"]
    spec = peer_spec("c.rural1.trafo-0", "voltage coupling", told, 1)
    role = build(spec.peer, spec.settings, np.random.default_rng(1))
    assert isinstance(role, Coupling)
    assert role.settings == told
