"""How faults read: every kind, in words that say what it does."""

from typing import get_args

import pytest

from peercell.broker.commands.fault import _table
from peercell.broker.faults.kinds import (
    AnyFault,
    Delay,
    Fault,
    Kill,
    Loss,
    Partition,
)
from peercell.broker.faults.messages import FaultState
from peercell.broker.faults.orders import Order
from peercell.broker.faults.plan import Step
from peercell.broker.faults.running import FaultRow
from peercell.broker.faults.texts import fault_text, state_text, step_text

EXAMPLE = {
    "share": 0.3, "delay_s": 0.2, "bytes_per_s": 1e4, "on": "mg1", "price_eur_per_kwh": 0.1,
    "name": "mg2.trader", "line": "line-1", "by_kw": 5.0, "sigma_pu": 0.01, "microgrid": "mg1",
}  # fmt: skip


@pytest.mark.parametrize("kind", get_args(AnyFault), ids=lambda kind: str(kind.__name__))
def test_every_kind_reads_as_a_line(kind: type[Fault]) -> None:
    told = {key: EXAMPLE[key] for key in kind.__struct_fields__ if key in EXAMPLE}
    text = fault_text(kind(**told))  # type: ignore[arg-type]  # one of AnyFault
    assert text
    assert "{" not in text
    assert str(told.get("on", "")) in text


def test_faults_read_with_their_units() -> None:
    assert fault_text(Loss(share=0.3)) == "loss 30 % on all"
    delay = Delay(delay_s=0.2, jitter_s=0.05, on="mg1<->mg4")
    assert fault_text(delay) == "delay 200 ms ± 50 ms on mg1<->mg4"
    kill = Kill(on="any:3", restart_after_s=5.0)
    assert fault_text(kill) == "kill any:3, back after 5 s, memory kept"


def test_a_list_of_faults_names_some_that_they_hit_and_a_wide_one_all() -> None:
    peers = tuple(f"load-{number}" for number in range(6))
    row = FaultRow(
        id="f1",
        kind="load-step",
        what="load step",
        seed=1,
        ends_s=9.0,
        links=None,
        peers=peers,
        hits=0,
        refused="the network cannot carry this power",
    )
    shown = _table((row,))
    assert "load-3 and 2 more" in shown
    assert "refused" in shown
    assert shown.endswith("f1 has no effect: the network cannot carry this power")
    wide = _table((row,), wide=True)
    assert ", ".join(peers) in wide
    assert "cannot carry this power" in wide


def test_a_fault_that_is_on_tells_how_long_it_still_is() -> None:
    order = Order(id="f2", fault=Partition(on="mg1 from rest"), until_s=20.0)
    assert state_text(FaultState(order, 0), 12.0) == "f2 partition mg1 from rest, for 8 s more"
    step = Step(fault=Loss(share=0.1), at_s=5.0, for_s=20.0, name="f1")
    assert step_text(step) == "f1 loss 10 % on all, after 5 s for 20 s"
