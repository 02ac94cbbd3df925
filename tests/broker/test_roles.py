"""Every peer of a planned cell is built from the bytes that its process gets."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from peercell.agents.membership_messages import MembershipMessage
from peercell.broker.agent import find
from peercell.broker.operator_port import HostMessage
from peercell.broker.plans.live import RunOrder, plan_run
from peercell.broker.processes.crew import PeerSpec
from peercell.broker.roles import CELL_MESSAGES, ROLES, CellMessage, build, peer_spec, settings_of
from peercell.broker.wire import Codec

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))


def _built(spec: PeerSpec) -> object:
    return build(spec.peer, spec.settings, np.random.default_rng(spec.seed))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_peer_of_a_shipped_cell_is_built_with_its_settings(path: Path) -> None:
    for peer in plan_run(RunOrder(config=path), 1e9).peers:
        made = find(ROLES[peer.role])
        role = _built(peer_spec(peer.id, peer.role, peer.settings, seed=1))
        if isinstance(made, type):
            assert isinstance(role, made)
            assert getattr(role, "settings", peer.settings) == peer.settings
        else:
            assert type(role).__name__ == "GridService"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_made_of_a_struct_of_settings(role: str) -> None:
    assert settings_of(find(ROLES[role])).__struct_fields__


def test_the_kinds_of_a_cell_are_one_codec() -> None:
    assert find(CELL_MESSAGES) is CellMessage
    codec = Codec(CellMessage, MembershipMessage, HostMessage)
    assert len(get_args(CellMessage)) < len(codec.kinds)
