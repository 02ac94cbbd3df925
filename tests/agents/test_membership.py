"""Finding each other and missing each other, on a virtual clock with lossy links."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import pytest
from msgspec import Meta
from tests.agents.network_for_tests import Network, Talker, identity, sign_as

from peercell.agents import gossip
from peercell.agents.gossip import GossipSettings
from peercell.agents.liveness import LivenessSettings
from peercell.agents.membership import MembershipSettings
from peercell.agents.membership_messages import (
    Leave,
    PeerReturned,
    PeerSuspected,
    RecordConflict,
    RecordLearned,
    RosterAnswer,
    RosterQuery,
    Rumour,
)
from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, PeerDown, PeerUp, Received, Record, Started
from peercell.agents.roster import PeerRecord, signed

SEEDED = MembershipSettings(seeds=("p0",))


class Chat(Message, frozen=True):
    """Anything that a role might say."""

    text: Annotated[str, Meta(max_length=64)] = ""


class Scripted:
    """Does some actions when it is started, and remembers what it is told."""

    def __init__(self, actions: Sequence[Action] = ()) -> None:
        self.actions = actions
        self.told: list[Event] = []

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        self.told.append(event)
        return list(self.actions) if isinstance(event, Started) and now_s >= 0 else []


def names(count: int) -> list[str]:
    return [f"p{number}" for number in range(count)]


def crowd(count: int, network: Network, settings: MembershipSettings = SEEDED) -> list[Talker]:
    """Let so many members join that talk to nobody, all of them knowing p0."""
    talkers = [Talker() for _ in range(count)]
    for name, talker in zip(names(count), talkers, strict=True):
        network.join(talker, identity(name), settings)
    return talkers


def circle(count: int, network: Network) -> list[Talker]:
    """Let so many members join that each talk to two on either side, and let them get to know."""
    peers = names(count)
    talkers = []
    for number, name in enumerate(peers):
        partners = tuple(peers[(number + step) % count] for step in (-2, -1, 1, 2))
        talkers.append(Talker(partners, Chat("hello")))
        network.join(talkers[-1], identity(name), SEEDED)
    network.run(20.0)
    return talkers


def events(talker: Talker, kind: type[PeerUp | PeerDown]) -> list[Event]:
    return [event for event in talker.told if isinstance(event, kind)]


def suspicions(network: Network) -> list[tuple[str, str]]:
    return [(at, fact.peer) for _, at, fact in network.facts if isinstance(fact, PeerSuspected)]


def lossy(network: Network, share: float) -> None:
    """Let every message be lost with a probability."""
    network.loses = lambda _sender, _receiver: network.generator.random() < share


@pytest.mark.parametrize("count", [1, 2, 30, 100])
def test_all_know_all_after_joining_by_one_seed(count: int) -> None:
    network = Network()
    crowd(count, network)
    assert network.run(30.0, network.agree) < 15.0
    assert network.roster("p0").peers() == sorted(names(count))


def test_more_peers_than_a_page_holds_agree_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gossip, "AGES_PER_MESSAGE", 8)
    network = Network()
    crowd(50, network)
    assert network.run(60.0, network.agree) < 30.0
    assert len(network.roster("p49")) == 50


# Share of messages lost, and within how many seconds all of 100 are to know.
@pytest.mark.parametrize(("loss", "within_s"), [(0.0, 3.0), (0.3, 10.0)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_new_address_spreads_without_the_directory(
    loss: float, within_s: float, seed: int
) -> None:
    """p0 is what all were told to turn to; it is dead, and nobody needs it."""
    network = Network(seed)
    crowd(100, network)
    network.run(30.0, network.agree)
    known = tuple(network.roster("p7").signed(peer) for peer in network.roster("p7").peers())
    network.kill("p0")
    network.kill("p7")
    network.run(20.0)
    lossy(network, loss)
    network.join(Talker(), identity("p7", incarnation=2), SEEDED, known)

    def all_know() -> bool:
        records = (network.roster(peer).get("p7") for peer in network.members)
        return all(record is not None and record.incarnation == 2 for record in records)

    assert network.run(60.0, all_know) < within_s


def test_a_split_cell_agrees_again_after_it_heals() -> None:
    network = Network()
    crowd(40, network)
    network.run(30.0, network.agree)
    left = set(names(20))
    network.loses = lambda sender, receiver: (sender in left) != (receiver in left)
    for name in ("p5", "p25"):
        network.join(Talker(), identity(name, incarnation=2), SEEDED)
    network.run(20.0)
    assert not network.agree()
    network.loses = lambda _sender, _receiver: False
    assert network.run(60.0, network.agree) < 30.0


def test_a_quiet_cell_costs_little() -> None:
    network = Network()
    crowd(50, network)
    network.run(120.0)
    network.sent.clear()
    network.run(100.0)
    assert max(network.sent.values()) <= 15


def test_a_peer_is_up_once_its_record_is_known_and_again_after_a_restart() -> None:
    network = Network()
    talkers = circle(6, network)
    assert sorted(map(str, events(talkers[0], PeerUp))) == [
        str(PeerUp(peer, 1)) for peer in ("p1", "p2", "p4", "p5")
    ]
    network.join(Talker(("p0",), Chat()), identity("p1", incarnation=2), SEEDED)
    network.run(5.0)
    assert talkers[0].told[-1] == PeerUp("p1", 2)
    assert events(talkers[0], PeerDown) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_frozen_neighbour_is_suspected_within_ten_seconds_and_only_it(seed: int) -> None:
    network = Network(seed)
    talkers = circle(12, network)
    network.kill("p3")
    frozen_s = network.now_s
    network.run(10.0)
    assert sorted(suspicions(network)) == [(at, "p3") for at in ("p1", "p2", "p4", "p5")]
    first_s = min(at_s for at_s, _, fact in network.facts if isinstance(fact, PeerSuspected))
    assert first_s - frozen_s > 4.0
    assert [events(talkers[at], PeerDown) for at in (1, 2, 4, 5)] == [[PeerDown("p3", 1)]] * 4


def test_a_suspected_neighbour_returns_by_any_message() -> None:
    network = Network()
    talkers = circle(6, network)
    network.loses = lambda sender, receiver: "p3" in (sender, receiver)
    network.run(15.0)
    assert PeerDown("p3", 1) in talkers[1].told
    network.loses = lambda _sender, _receiver: False
    network.run(35.0)
    assert talkers[1].told[-1] == PeerUp("p3", 1)
    returned = [
        fact for _, at, fact in network.facts if at == "p1" and isinstance(fact, PeerReturned)
    ]
    assert [fact.peer for fact in returned] == ["p3"]
    assert 10.0 <= returned[0].silence_s <= 50.0


def test_nobody_is_suspected_on_a_busy_machine_with_some_loss() -> None:
    """Ten minutes at 5 % loss, timers late by 2.5 ms in the median and 200 ms in a hundredth."""
    network = Network()
    lossy(network, 0.05)
    network.lateness_s = lambda _peer: float(
        0.0025 * np.exp(1.9 * network.generator.standard_normal())
    )
    circle(10, network)
    network.run(600.0)
    assert suspicions(network) == []


def test_a_peer_that_is_itself_too_slow_accuses_nobody() -> None:
    network = Network()
    circle(8, network)
    network.lateness_s = lambda peer: 3.0 if peer == "p2" else 0.0
    network.run(120.0)
    assert [peer for at, peer in suspicions(network) if at == "p2"] == []
    assert network.members["p2"]._neighbours.doubt > 0


def test_a_peer_that_hears_nobody_doubts_itself_before_it_accuses() -> None:
    network = Network()
    circle(8, network)
    cut_s = network.now_s
    network.loses = lambda _sender, receiver: receiver == "p2"
    network.run(60.0)
    facts = network.facts
    accused_s = [at_s - cut_s for at_s, _, fact in facts if isinstance(fact, PeerSuspected)]
    assert {at for at, _ in suspicions(network)} == {"p2"}
    assert min(accused_s) > 9.0


def test_helpers_vouch_for_a_neighbour_that_only_one_cannot_hear() -> None:
    network = Network()
    circle(8, network)
    network.loses = lambda sender, receiver: (sender, receiver) == ("p3", "p2")
    network.run(60.0)
    assert suspicions(network) == []


def test_who_leaves_on_purpose_is_down_and_not_suspected() -> None:
    network = Network()
    talkers = circle(6, network)
    network.command("p3", Leave())
    network.run(0.5)
    network.kill("p3")
    network.run(30.0)
    assert suspicions(network) == []
    network.join(Talker(("p1",), Chat()), identity("p3", incarnation=2), SEEDED)
    network.run(5.0)
    assert talkers[1].told[-2:] == [PeerDown("p3", 1), PeerUp("p3", 2)]


def test_two_records_of_one_age_raise_an_alarm() -> None:
    network = Network()
    crowd(3, network)
    network.run(5.0)
    twin = PeerRecord("p1", "test", 1, 1, "tcp://127.0.0.1:9", identity("p1").signing_key, 1e9)
    network.tell("p0", Received("p2", Rumour((signed(twin, sign_as("p1")),))))
    assert network.facts[-1][1:] == ("p0", RecordConflict("p1", 1))


def test_a_second_copy_of_oneself_raises_an_alarm() -> None:
    network = Network()
    crowd(2, network)
    network.run(5.0)
    copy = PeerRecord("p1", "test", 9, 1, "tcp://127.0.0.1:9", identity("p1").signing_key, 1e9)
    network.tell("p1", Received("p0", Rumour((signed(copy, sign_as("p1")),))))
    assert network.facts[-1][1:] == ("p1", RecordConflict("p1", 9))


def test_a_record_is_renewed_while_its_peer_lives_and_forgotten_after() -> None:
    network = Network()
    crowd(4, network, MembershipSettings(seeds=("p0",), lease_s=100.0))
    network.run(400.0)
    assert len(network.roster("p0")) == 4
    network.kill("p3")
    network.run(200.0)
    assert network.roster("p0").peers() == ["p0", "p1", "p2"]


def test_facts_of_the_role_reach_the_observer_which_is_not_watched() -> None:
    settings = MembershipSettings(seeds=("eye",), observer="eye")
    network, eye = Network(), Scripted()
    network.join(eye, identity("eye"), MembershipSettings())
    network.join(Scripted([Record(Chat("fact"))]), identity("p1"), settings)
    network.run(30.0)
    assert Received("p1", Chat("fact")) in eye.told
    network.kill("eye")
    network.run(60.0)
    assert suspicions(network) == []


def test_an_operator_reads_a_roster_page_by_page() -> None:
    network = Network()
    crowd(100, network)
    network.run(30.0)
    first, found = "", []
    for _ in range(2):
        network.command("p9", RosterQuery(first))
        answer = network.replies[-1]
        assert isinstance(answer, RosterAnswer)
        found += list(answer.peers)
        first = answer.next
    assert (len(found), first) == (100, "")


def test_the_same_seed_tells_the_same_story() -> None:
    stories = []
    for _ in range(2):
        network = Network(seed=7)
        lossy(network, 0.2)
        circle(8, network)
        network.kill("p1")
        network.run(30.0)
        stories.append((network.facts, dict(network.sent)))
    assert stories[0] == stories[1]
    assert len(stories[0][0]) > 50


def test_the_first_word_to_a_stranger_is_an_introduction() -> None:
    network = Network()
    network.join(Talker(), identity("p0"), MembershipSettings())
    network.join(Talker(("p0",), Chat()), identity("p1"), MembershipSettings())
    network.run(1.0)
    assert "p1" in network.roster("p0")


def test_defaults_are_those_of_the_docs() -> None:
    assert MembershipSettings().lease_s == 86_400
    assert GossipSettings() == GossipSettings(8, 0.1, 2.0, 10.0)
    assert LivenessSettings() == LivenessSettings(4.0, 1.0, 3, 2, 30.0)


def test_what_is_learned_is_a_fact_for_the_host() -> None:
    network = Network()
    crowd(2, network)
    network.run(5.0)
    learned = {
        at: sum(isinstance(fact, RecordLearned) for _, where, fact in network.facts if where == at)
        for at in ("p0", "p1")
    }
    assert learned == {"p0": 2, "p1": 2}


def test_who_talks_to_itself_is_not_its_own_neighbour() -> None:
    network = Network()
    network.join(Talker(("p0",), Chat()), identity("p0"), MembershipSettings())
    network.run(30.0)
    assert suspicions(network) == []
