"""Plans of faults: read with a place for each mistake, and written down to be repeated."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from peercell.broker.configuration.toml_file import ConfigError
from peercell.broker.faults.kinds import AnyFault, Kill, Lie, LineOpen, Loss, Memory, Partition
from peercell.broker.faults.plan import (
    FaultPlan,
    Step,
    journal_of,
    plan_of_journal,
    plan_of_toml,
    read_plan,
)

STORM = Path(__file__).parents[3] / "configs" / "faults" / "storm.toml"
FAULTS = (
    Loss(share=0.3),
    Kill(on="any:3", restart_after_s=5.0, state=Memory.OLD),
    Partition(on="mg1,mg2 from rest"),
    Lie(price_eur_per_kwh=0.0, on="mg5"),
    LineOpen(line="17-18"),
)


def test_the_shipped_plan_is_read() -> None:
    plan = read_plan(STORM)
    assert [step.fault.kind for step in plan.steps] == ["loss", "kill", "partition"]
    assert plan.end_s == 60.0


@pytest.mark.parametrize(
    ("text", "what", "why"),
    [
        ("[[step]]", 'x.toml:1: unknown key "step" (did you mean "steps"?)', ""),
        (
            '[[steps]]\nfor_s = 1.0\nfault = { kind = "los", share = 0.3 }',
            'x.toml:3: "steps[0].fault.kind" cannot be "los"',
            'expected "loss"',
        ),
        (
            '[[steps]]\nfor_s = 1.0\nfault = { kind = "loss", shares = 0.3 }',
            'x.toml:3: unknown key "steps[0].fault.shares" (did you mean "steps[0].fault.share"?)',
            "",
        ),
        (
            '[[steps]]\nfor_s = 1.0\nfault = { kind = "loss" }',
            'x.toml:3: the key "steps[0].fault.share" is missing',
            "",
        ),
        (
            "[[steps]]\nfor_s = 1.0\nfault = { share = 0.3 }",
            'x.toml:3: the key "steps[0].fault.kind" is missing',
            "",
        ),
        (
            '[[steps]]\nfor_s = 1.0\nfault = { kind = "loss", share = 30.0 }',
            'x.toml:3: "steps[0].fault.share" cannot be 30.0',
            "expected a number <= 1.0",
        ),
        (
            '[[steps]]\nfault = { kind = "kill", state = "gone" }',
            'x.toml:2: "steps[0].fault.state" cannot be "gone"',
            'expected "kept" or "lost" or "old"',
        ),
        (
            '[[steps]]\nfault = { kind = "loss", share = 0.3 }',
            'x.toml:1: the key "steps[0].for_s" is missing',
            "",
        ),
        (
            '[[steps]]\nfor_s = 4.0\nfault = { kind = "kill" }',
            'x.toml:2: "steps[0].for_s" is not for a kill, which is over at once',
            "",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, what: str, why: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        plan_of_toml(text, "x.toml")
    assert refusal.value.what == what
    assert refusal.value.why == why


@given(
    st.builds(
        FaultPlan,
        st.integers(0, 2**62),
        st.lists(
            st.builds(
                Step,
                fault=st.sampled_from(FAULTS),
                at_s=st.floats(0, 1e6),
                for_s=st.none() | st.floats(0, 1e6),
                limit_s=st.none() | st.floats(0, 1e6),
                name=st.text(),
                seed=st.none() | st.integers(0, 2**63 - 1),
            )
        ).map(tuple),
    )
)
def test_a_journal_holds_all_of_a_plan(plan: FaultPlan) -> None:
    again = plan_of_journal(journal_of(plan.seeded().steps), "faults.jsonl")
    assert again.steps == plan.seeded().steps
    assert again.seeded() == again


def test_steps_without_a_seed_get_one_each() -> None:
    step = Step(fault=Loss(share=0.5))
    plan = FaultPlan(7, (step, structs.replace(step, seed=3), step))
    assert [each.seed for each in plan.seeded().steps] == [7, 3, 9]


def test_a_line_that_is_no_fault_is_named(tmp_path: Path) -> None:
    path = tmp_path / "faults.jsonl"
    path.write_bytes(journal_of(FaultPlan(0, (Step(fault=FAULTS[0]),)).seeded().steps) + b"{}\n")
    with pytest.raises(ConfigError, match=r"faults.jsonl:2: this is no fault"):
        read_plan(path)


@pytest.mark.parametrize(
    ("fault", "for_s", "end_s"),
    [
        (Loss(share=0.3), 4.0, 14.0),
        (Loss(share=0.3), None, float("inf")),
        (Kill(restart_after_s=3.0), None, 13.0),
    ],
)
def test_when_a_step_ends(fault: AnyFault, for_s: float | None, end_s: float) -> None:
    assert Step(fault=fault, at_s=10.0, for_s=for_s).end_s == end_s


def test_a_step_without_a_name_is_called_by_what_it_does() -> None:
    assert Step(fault=Loss(share=0.3)).title == "loss share=0.3 on=all"
    assert Step(fault=Loss(share=0.3), name="rain").title == "rain"
