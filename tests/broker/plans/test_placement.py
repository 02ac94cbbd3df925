"""Which peers stay on this machine, and what is left for those that run elsewhere."""

from pathlib import Path

import msgspec
import pytest

from peercell.agents.errors import PeercellError
from peercell.broker.home import CellHome
from peercell.broker.plans.placement import Placement, placed
from peercell.broker.processes.crew import PeerSpec
from peercell.broker.processes.plan import Plan
from peercell.broker.security.admission import part_at

ROLES = {"mg1.trader": "trader", "mg1.c1": "prosumer", "mg2.trader": "trader", "dso": "dso"}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Return a plan of four peers with keys, in a folder that is there."""
    CellHome(tmp_path).prepare()
    return Plan(
        cell="village",
        folder=str(tmp_path),
        config="village.toml",
        peers=tuple(PeerSpec(peer=p, role=r, factory="a:b") for p, r in ROLES.items()),
        unions=("a:Union",),
        keys="keys",
    )


def test_nobody_is_elsewhere_unless_it_is_said(plan: Plan) -> None:
    assert placed(plan, Placement()) == plan


def test_who_runs_elsewhere_is_left_out_and_finds_its_part(plan: Plan) -> None:
    placement = Placement(elsewhere=("mg=1", "dso"), listen="192.0.2.10", door=("192.0.2.10", 5601))
    here = placed(plan, placement)
    assert [spec.peer for spec in here.peers] == ["mg2.trader"]
    assert (here.address, here.door) == ("192.0.2.10", ("192.0.2.10", 5601))
    home = CellHome(Path(plan.folder))
    parts = {peer: part_at(home, peer) for peer in ROLES}
    assert {peer for peer, part in parts.items() if part is not None} == {*ROLES} - {"mg2.trader"}
    found = parts["dso"]
    assert found is not None
    assert (found.spec, found.unions, found.observer) == (plan.peers[3], plan.unions, "directory")


def test_who_comes_back_has_no_part_elsewhere_any_more(plan: Plan) -> None:
    placed(plan, Placement(elsewhere=("dso",)))
    placed(plan, Placement())
    assert part_at(CellHome(Path(plan.folder)), "dso") is None


@pytest.mark.parametrize(
    "placement", [Placement(elsewhere=("dso",)), Placement(door=("127.0.0.1", 5601))]
)
def test_without_keys_nobody_can_come_in(plan: Plan, placement: Placement) -> None:
    with pytest.raises(PeercellError, match="have to be admitted") as refusal:
        placed(msgspec.structs.replace(plan, keys=""), placement)
    assert "[security] keys" in refusal.value.fix


def test_a_selector_that_fits_nobody_is_refused(plan: Plan) -> None:
    with pytest.raises(PeercellError, match="mg9"):
        placed(plan, Placement(elsewhere=("mg9.trader",)))
