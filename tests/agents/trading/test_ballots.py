"""Votes told in blocks: never more than is true, and all of it in the end, in few bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agents.trading.graphs import draw, tree
from tests.agents.trading.play import Play

from peercell.agents.agreement import Agreement
from peercell.agents.overlay import overlay
from peercell.agents.trading.ballots import BLOCK_MAX, Ballots, all_voted, vote_peers
from peercell.agents.trading.messages import BlockVotes
from peercell.broker.faults.network import LinkFaults
from peercell.broker.solving.trade import SolveSettings

sizes = st.sampled_from([1, 2, 7, 8, 9, 1023, 1024, 1025, 2048, 2049, 3000])


@st.composite
def rolls(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    """Draw a roster's size, two places in it, and who has voted and who is down."""
    size = draw(sizes)
    everyone = (1 << size) - 1
    sparse, lacking = (draw(st.lists(st.integers(0, size - 1), max_size=4)) for _ in range(2))
    few = sum(1 << place for place in set(sparse))
    votes = draw(st.sampled_from([few, everyone & ~few, everyone, 0]))
    excused = sum(1 << place for place in set(lacking))
    return size, draw(st.integers(0, size - 1)), draw(st.integers(0, size - 1)), votes, excused


@given(rolls())
def test_what_is_told_is_true_and_all_that_the_own_block_lacks(
    roll: tuple[int, int, int, int, int],
) -> None:
    size, own, other, votes, excused = roll
    mine, theirs = Ballots(own, size), Ballots(other, size)
    told = theirs.read(*mine.write(votes, excused, other))
    assert told & ~votes == 0
    if theirs.block(other) == mine.block(own):
        bits = [1 << place for place in range(size) if mine.block(place) == mine.block(own)]
        assert all(bool(told & bit) == bool(votes & bit) for bit in bits)
    if votes | excused == (1 << size) - 1:
        # Who knows as well who is down lacks nothing any more.
        assert told == votes
    assert all_voted(mine.write(votes, excused, other)[0], size) == (votes == (1 << size) - 1)


@given(rolls(), st.binary(max_size=8), st.integers(0, 1023), st.binary(max_size=128))
def test_a_word_that_makes_no_sense_votes_for_nobody_else(
    roll: tuple[int, int, int, int, int], whole: bytes, block: int, votes: bytes
) -> None:
    size, own, _, _, _ = roll
    mine = Ballots(own, size)
    odd = BlockVotes(block, votes)
    assert mine.read(whole, (odd,)) >> size == 0


def test_one_block_gossips_on_the_plain_overlay() -> None:
    roster = tuple(f"t{k}" for k in range(30))
    assert vote_peers(roster) == overlay(roster, 3)


def test_who_is_cut_off_from_its_block_votes_through_others() -> None:
    """Of a block with somebody down each vote is told to all, and told on by them."""
    size = 2 * BLOCK_MAX
    lonely, far, last = 0, size - 1, 1
    down = 1 << 2
    told = Ballots(lonely, size).write(1 << lonely, down, far)
    heard = Ballots(far, size).read(*told)
    assert heard == 1 << lonely
    assert Ballots(last, size).read(*Ballots(far, size).write(heard, down, last)) == heard
    assert Ballots(far, size).read(*Ballots(lonely, size).write(1 << lonely, 0, far)) == 0


@pytest.mark.parametrize("size", [1025, 2500])
def test_peers_are_mutual_and_most_are_of_the_own_block(size: int) -> None:
    roster = tuple(f"t{k}" for k in range(size))
    peers, ballots = vote_peers(roster), Ballots(0, size)
    places = {name: place for place, name in enumerate(roster)}
    inside = 0
    for name, near in peers.items():
        assert len(near) <= 6
        assert all(name in peers[peer] for peer in near)
        inside += sum(ballots.block(places[peer]) == ballots.block(places[name]) for peer in near)
    assert inside >= 0.6 * sum(map(len, peers.values()))


@pytest.mark.parametrize(("loss", "down"), [(0.3, 0), (0.3, 3)])
def test_all_blocks_know_that_all_have_voted_soon(loss: float, down: int) -> None:
    """Two peers are told a round, each tally is lost by chance, some members are down for good."""
    size = BLOCK_MAX + 50
    rng = np.random.default_rng(7)
    roster = tuple(f"t{k}" for k in range(size))
    places = {name: place for place, name in enumerate(roster)}
    near = vote_peers(roster)
    peers = [[places[peer] for peer in near[name]] for name in roster]
    dead = {int(place) for place in rng.choice(size, down, replace=False)}
    excused = sum(1 << place for place in dead)
    members = [Agreement(k, size) for k in range(size)]
    ballots = [Ballots(k, size) for k in range(size)]
    for k in set(range(size)) - dead:
        members[k].excused = excused
        members[k].declare(0.0, 1.0)
    longest = 0
    for count in range(60):
        if all(member.complete for k, member in enumerate(members) if k not in dead):
            break
        told = []
        for k in set(range(size)) - dead:
            for turn in (2 * count, 2 * count + 1):
                to = peers[k][turn % len(peers[k])]
                told.append((to, k, ballots[k].write(members[k].votes, excused, to)))
        longest = max(
            longest,
            *(len(whole) + sum(len(b.votes) for b in blocks) for _, _, (whole, blocks) in told),
        )
        for to, k, words in told:
            if to not in dead and rng.random() >= loss:
                members[to].hear(str(k), ballots[to].read(*words), 0.0, 0.0)
    assert count < 45
    assert longest <= 1 + (1 + down) * BLOCK_MAX // 8


@pytest.mark.slow
def test_traders_in_two_blocks_settle_what_all_have_voted_for() -> None:
    size = BLOCK_MAX + 76
    market = draw(tree(size, np.random.default_rng(0)), 0, mixed=False)
    play = Play(market, SolveSettings(tolerance=1e-6, faults=LinkFaults(drop=0.1), seed=1))
    settled = play.settle(200).values()
    assert all(fact.certified for fact in settled)
    assert len({fact.attempt for fact in settled}) == 1
    gap_eur = sum(fact.gap_eur for fact in settled)
    assert gap_eur <= 1e-6 * sum(fact.cost_eur for fact in settled)
    told = play.simulation
    assert told.bytes_by_kind["Tally"] < 0.8 * told.sent_by_kind["Tally"] * size / 8
