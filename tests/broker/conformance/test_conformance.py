"""The kit finds each flaw by the property that it is about, and none in a sound role."""

import json
from pathlib import Path
from typing import Any

import pytest
from docs.howto.my_agents import Balance, Meter
from tests.broker.conformance import broken
from tests.broker.conftest import Run

from peercell.agents.example import Example
from peercell.broker.conformance.check import answer, shares, started
from peercell.broker.conformance.guard import Guard
from peercell.broker.conformance.properties import PROPERTIES, Bench
from peercell.broker.conformance.subject import difference, load, outcome_of
from peercell.broker.conformance.worker import Order
from peercell.broker.conformance.world import BEGIN_S, Fact, RoleError, World

OURS = "docs.howto.my_agents"
HERE = "tests.broker.conformance"
# The guard stays in place for good, so what needs it is asked in processes of its own.
GUARDED = {"touches-nothing"}
SEEDS = 30
FLAWS = [
    (broken.Adder, "duplicates-harmless", "arrived twice"),
    (broken.Adder, "loss-healed", "was lost"),
    (broken.NotANumber, "actions-well-formed", "does not arrive"),
    (broken.Unbounded, "actions-well-formed", "Loose.p_kw has not both bounds"),
    (broken.Wordy, "actions-well-formed", "'late' is set to inf s"),
    (broken.Hoarder, "memory-bounded", "bytes of each message that is repeated"),
    (broken.Spinner, "timers-bounded", "'spin' to 0 s again and again"),
    (broken.Clockmaker, "timers-bounded", "65 timers running"),
    (broken.Fragile, "answers-every-event", "KeyError"),
    (broken.Mute, "loss-healed", "was lost"),
    (broken.Impatient, "partition-healed", "were cut off"),
    (broken.Impatient, "restart-healed", "crashed at"),
    (broken.Gullible, "order-harmless", "late"),
    (broken.Restless, "settles", "still changes"),
    (broken.Dicey, "deterministic", "came out differently"),
]


def found(make: type[Meter], name: str) -> str:
    """Return what a property finds in the first seeds."""
    bench = Bench(load(f"{make.__module__}:{make.__name__}"), Guard())
    for seed in range(SEEDS if PROPERTIES[name].draws else 1):
        try:
            why = PROPERTIES[name].check(bench, seed)
        except RoleError as error:
            why = str(error)
        if why:
            return why
    return ""


@pytest.mark.parametrize(("role", "name", "why"), FLAWS, ids=lambda each: str(each)[-40:])
def test_a_flaw_is_found_by_the_property_it_is_about(
    role: type[Meter], name: str, why: str
) -> None:
    assert why in found(role, name)


@pytest.mark.parametrize("name", sorted(PROPERTIES.keys() - GUARDED))
def test_a_sound_role_has_every_property(name: str) -> None:
    assert found(Meter, name) == ""


@pytest.fixture
def from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes of a check find the roles of these tests."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))


def asked(run: Run, role: str, *words: str) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Return exit code, answer and properties by name of a check from the command line."""
    result = run("agent", "check", f"{HERE}.{role}", "-o", "json", *words)
    assert result.out, result.err
    told = json.loads(result.out)
    return result.code, told, {each["property"]: each for each in told["properties"]}


@pytest.mark.usefixtures("from_here")
@pytest.mark.parametrize(
    ("role", "flaws"),
    [
        (
            "clocked:Clocked",
            {
                "imports-nothing-outside": "time (clocked.py:3), pathlib (clocked.py:4), time (",
                "touches-nothing": "time.time() at clocked.py:17",
            },
        ),
        (
            "clocked:Reader",
            {
                "imports-nothing-outside": "pathlib (clocked.py:4)",
                "touches-nothing": "open of '/dev/null'",
            },
        ),
        ("broken:Unordered", {"deterministic": "with another hash seed, step"}),
    ],
)
def test_what_needs_a_process_of_its_own_is_found_as_well(
    run: Run, role: str, flaws: dict[str, str]
) -> None:
    code, told, found = asked(run, role, "--schedules", "60")
    assert code == 1
    assert not told["sound"]
    assert {name for name, each in found.items() if not each["holds"]} == flaws.keys()
    for name, why in flaws.items():
        assert why in found[name]["why"]


@pytest.mark.usefixtures("from_here")
def test_a_step_that_does_not_return_is_told_with_its_line() -> None:
    asked_for = {"settles": 1, "loss-healed": 9, "deterministic": 9}
    order = Order(reference=f"{HERE}.broken:Endless", schedules=asked_for, seed=1, patience_s=0.3)
    with started(order, "0") as worker:
        found = answer(worker)
    assert [each.holds for each in found.findings] == [False, None, None]
    assert "TimeoutError: no answer at broken.py:" in found.findings[0].why
    assert found.digests == ()


@pytest.mark.usefixtures("from_here")
def test_global_chance_is_noticed(run: Run) -> None:
    role = "broken:Dicey"
    _, _, found = asked(run, role, "--property", "touches-nothing", "--schedules", "1")
    assert "numpy.random.random() at broken.py:" in found["touches-nothing"]["why"]


@pytest.mark.usefixtures("from_here")
@pytest.mark.parametrize("example", ["push_sum", "traders", "members", "voltage"])
def test_our_own_roles_have_every_property(run: Run, example: str) -> None:
    code, told, found = asked(run, f"examples:{example}", "--schedules", "55")
    assert {name: each["why"] for name, each in found.items() if not each["holds"]} == {}
    assert code == 0
    assert told["sound"]
    assert told["compared"]
    assert told["schedules"] >= 55


@pytest.mark.usefixtures("from_here")
def test_a_flaw_is_told_with_the_command_that_repeats_it(run: Run) -> None:
    role = f"{HERE}.broken:Gullible"
    result = run("agent", "check", role, "--schedules", "110", "--property", "order-harmless")
    first, flaw, repeat = result.out.splitlines()
    assert first.startswith("1 property, ")
    assert first.endswith(" generated schedules: 0 hold")
    assert flaw.startswith("FAILS order-harmless: ")
    command = repeat.removeprefix("      repeat with: peercell ")
    again = run(*command.split())
    assert again.code == 1
    assert again.out.splitlines()[1] == flaw


@pytest.mark.usefixtures("from_here")
def test_a_role_that_records_nothing_is_told_so(run: Run) -> None:
    result = run("agent", "check", f"{HERE}.broken:Silent", "--schedules", "20")
    assert result.code == 0
    assert "no peer records a fact" in result.err


@pytest.mark.usefixtures("from_here")
@pytest.mark.parametrize(
    ("words", "what", "why"),
    [
        (["my_agents"], '"my_agents" names no role', "my_agents:CautiousTrader"),
        (["my_agents:Trader"], "cannot import my_agents:Trader", "No module named 'my_agents'"),
        ([f"{OURS}:Kilometre"], "cannot import", "has no attribute 'Kilometre'"),
        ([f"{OURS}:Metered"], "has no example()", "some peers that know each other"),
        ([f"{HERE}.broken:lost_example"], "example() fails", "my_agents.py:"),
        ([f"{HERE}.broken:no_example"], "example() returns no peers", "{}"),
        ([f"{HERE}.broken:no_role"], "a is no role", "has no step()"),
        (
            [f"{OURS}:Meter", "--property", "order"],
            'no property "order"',
            "order-harmless",
        ),
    ],
)
def test_a_role_that_cannot_be_checked_is_told_in_three_lines(
    run: Run, words: list[str], what: str, why: str
) -> None:
    result = run("agent", "check", *words)
    assert result.code == 1
    assert result.out == ""
    assert what in result.err
    assert why in result.err
    assert "Traceback" not in result.err


def test_schedules_are_shared_among_the_properties_that_draw() -> None:
    given = shares(list(PROPERTIES), 112)
    drawing = {name: count for name, count in given.items() if PROPERTIES[name].draws}
    assert sum(drawing.values()) == 112
    assert max(drawing.values()) - min(drawing.values()) <= 1
    assert {count for name, count in given.items() if name not in drawing} == {1}


@pytest.mark.parametrize(
    ("wanted", "found", "told"),
    [
        ({"a": 1.0}, {"a": 1.0005}, ""),
        ({"a": 1e6}, {"a": 1e6 + 900.0}, ""),
        ({"a": 1.0}, {"a": 1.31}, "a moved by 0.31"),
        ({"a": (1, 2)}, {"a": (1, 4)}, "a.1 moved by 2"),
        ({"a": Balance(1.0)}, {"a": Balance(3.0)}, "a.p_kw moved by 2"),
        ({"a": True}, {"a": False}, "a was False instead of True"),
        ({"a": "x"}, {}, "a is missing"),
        ({}, {"b": 1}, "b is there"),
        ({"a": float("nan")}, {"a": float("nan")}, ""),
    ],
)
def test_outcomes_are_compared_part_by_part(wanted: object, found: object, told: str) -> None:
    assert difference(wanted, found) == told


def test_of_each_kind_and_peer_the_last_fact_counts() -> None:
    facts = [
        Fact(1.0, "a", Balance(1.0)),
        Fact(2.0, "a", Balance(2.0)),
        Fact(1.5, "b", Balance(3.0)),
    ]
    found = outcome_of(facts, Example(Meter.example()))
    assert found == {"a: Balance": Balance(2.0), "b: Balance": Balance(3.0)}
    assert outcome_of(facts, Example(Meter.example(), lambda _: None)) == {}


def test_a_world_ends_what_runs_in_circles() -> None:
    world = World()
    world.start_all(broken.Spinner.example())
    with pytest.raises(RoleError, match="100,000 steps brought no rest"):
        world.run(BEGIN_S + 1.0)
