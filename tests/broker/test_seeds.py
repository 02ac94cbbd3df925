"""Three hundred cells that are hurt by chance: nothing forbidden happens, and all of them heal."""

import pytest
from tests.broker.fault_seeds import SeedError, by_lost_disks, gossip, plan_of, trade

from peercell.broker.faults.plan import journal_of, plan_of_journal

SEEDS = 300
BLOCK = 25
# Each has found a defect of the traders, see docs/track-record.md.
FOUND = (21, 45, 69, 120, 202, 217, 285, 312, 373, 426, 598, 706, 745, 1024, 1129, 5235, 7131)


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_traders_that_were_hurt_settle_at_the_optimum(first: int) -> None:
    for seed in range(first, first + BLOCK):
        trade(seed)


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_members_that_were_hurt_find_the_mean(first: int) -> None:
    for seed in range(first, first + BLOCK):
        gossip(seed)


@pytest.mark.parametrize("first", range(0, 2 * BLOCK, BLOCK))
def test_traders_that_forget_over_and_over_settle_nothing_in_two_ways(first: int) -> None:
    for seed in range(first, first + BLOCK):
        trade(seed, by_lost_disks)


@pytest.mark.parametrize("seed", FOUND)
def test_what_a_seed_has_found_stays_mended(seed: int) -> None:
    trade(seed)


def test_a_seed_says_how_to_repeat_it() -> None:
    said = str(SeedError(7, "it broke"))
    assert said.splitlines()[0] == "seed 7: it broke"
    assert said.endswith("python -m bench.seeds --first 7 --count 1")


def test_a_seed_always_breaks_the_same_and_can_be_written_down() -> None:
    names = ("a", "b", "c")
    assert plan_of(3, names) == plan_of(3, names) != plan_of(4, names)
    steps = plan_of(3, names).seeded().steps
    assert plan_of_journal(journal_of(steps), "plan").steps == steps
