"""Who belongs to a cell: the operator's newest word on each peer counts, and nobody else's."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agents.network_for_tests import Network, Talker, identity, key_of, sign_as, verify

from peercell.agents.admission import (
    Admission,
    Charter,
    Members,
    PeerKeys,
    Standing,
    admission_of,
    revocation_of,
    rotated,
    sign_admission,
)
from peercell.agents.membership import MembershipSettings, Speaker
from peercell.agents.membership_messages import (
    AdmissionLearned,
    Admit,
    Admitted,
    ChangeKeys,
    KeysChanging,
    KeyStep,
)
from peercell.agents.messages import Message
from peercell.agents.protocol import PeerDown, PeerUp
from peercell.agents.signing import Merged, SignedRecord

NOW_S = 1000.0
CELL = "village"
OPERATOR = key_of("operator")


def keys(name: str, not_before_s: float = 0.0, expires_s: float = 9000.0) -> PeerKeys:
    return PeerKeys(key_of(f"{name} curve"), key_of(name), not_before_s, expires_s)


def admission(peer: str = "a", serial: int = 1, cell: str = CELL) -> Admission:
    return Admission(peer, "trader", cell, serial, (keys(peer),))


def by_operator(each: Admission) -> SignedRecord:
    return sign_admission(each, sign_as("operator"))


def members(*known: Admission) -> Members:
    return Members(Charter(CELL, OPERATOR, tuple(map(by_operator, known))), verify)


# Row: what arrives after a first admission with serial 1; what becomes of it.
ARRIVALS = {
    "the same again": (by_operator(admission()), Merged.KNOWN),
    "a higher serial": (by_operator(admission(serial=2)), Merged.NEWS),
    "a lower serial": (by_operator(admission(serial=0)), Merged.OLD),
    "another of that serial": (by_operator(revocation_of(admission(), 1)), Merged.OLD),
    "a revocation": (by_operator(revocation_of(admission(), 2)), Merged.NEWS),
    "what the peer signs itself": (sign_admission(admission(serial=2), sign_as("a")), Merged.FALSE),
    "an admission to another cell": (by_operator(admission(serial=2, cell="town")), Merged.FALSE),
    "bytes": (SignedRecord(b"\xc0", b"x" * 64), Merged.FALSE),
}


@pytest.mark.parametrize(("arrived", "merged"), ARRIVALS.values(), ids=ARRIVALS)
def test_an_admission_is_taken_in_only_if_it_is_good_news(
    arrived: SignedRecord, merged: Merged
) -> None:
    known = members(admission())
    assert known.merge(arrived)[0] is merged
    assert known.knows(arrived) is (merged in (Merged.NEWS, Merged.KNOWN))


def test_a_cell_without_operator_takes_in_no_admission_and_admits_all() -> None:
    known = Members(Charter(CELL), verify)
    assert known.is_open
    assert known.merge(by_operator(admission()))[0] is Merged.FALSE
    assert known.admits("b", key_of("b"), b"", NOW_S)


# Row: what the operator has said last of peer a; what its curve key is worth then.
STANDINGS = {
    "admitted": (admission(), Standing.MEMBER),
    "revoked": (revocation_of(admission(), 2), Standing.REVOKED),
    "to come": (Admission("a", "r", CELL, 2, (keys("a", not_before_s=2000.0),)), Standing.UNKNOWN),
    "over": (Admission("a", "r", CELL, 2, (keys("a", expires_s=999.0),)), Standing.UNKNOWN),
    "replaced": (Admission("a", "r", CELL, 2, (keys("new"),)), Standing.REVOKED),
    "beside a new one": (rotated(admission(), keys("new"), 2, 1500.0), Standing.MEMBER),
    "after a new one": (rotated(admission(), keys("new"), 2, 10.0), Standing.UNKNOWN),
    "admitted again": (admission(serial=3), Standing.MEMBER),
}


@pytest.mark.parametrize(("last", "standing"), STANDINGS.values(), ids=STANDINGS)
def test_what_a_key_is_worth(last: Admission, standing: Standing) -> None:
    known = members(admission(), last)
    curve = keys("a").curve
    assert known.standing(curve, NOW_S) is standing
    found = known.member_of(curve, NOW_S)
    assert (found.peer if found else None) == ("a" if standing is Standing.MEMBER else None)
    assert known.speaks_for(curve, "a", NOW_S) is (standing is Standing.MEMBER)
    assert known.admits("a", key_of("a"), curve, NOW_S) is (standing is Standing.MEMBER)
    assert known.standing(key_of("stranger"), NOW_S) is Standing.UNKNOWN
    assert not known.speaks_for(curve, "b", NOW_S)


def test_new_and_old_keys_count_side_by_side_for_the_overlap() -> None:
    both = rotated(admission(), keys("new", not_before_s=NOW_S), 2, 60.0)
    known = members(admission(), both)
    for at_s, counting in ((NOW_S, {"a", "new"}), (NOW_S + 59.0, {"a", "new"}), (1060.0, {"new"})):
        found = {name for name in ("a", "new") if known.member_of(keys(name).curve, at_s)}
        assert found == counting


def test_the_keys_of_two_peers_do_not_mix() -> None:
    known = members(admission("a"), admission("b"))
    assert not known.admits("a", key_of("a"), keys("b").curve, NOW_S)


def test_peers_of_one_process_share_the_key_of_its_links() -> None:
    shared = keys("a").curve
    second = Admission("b", "prosumer", CELL, 1, (PeerKeys(shared, key_of("b"), 0.0, 9000.0),))
    known = members(admission("a"), second)
    assert known.speaks_for(shared, "a", NOW_S)
    assert known.speaks_for(shared, "b", NOW_S)
    known.merge(by_operator(revocation_of(admission("a"), 2)))
    assert not known.speaks_for(shared, "a", NOW_S)
    found = known.member_of(shared, NOW_S)
    assert found is not None
    assert found.peer == "b"


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.booleans()),
        max_size=12,
        unique_by=lambda said: said[:2],
    ),
    st.data(),
)
def test_the_order_in_which_admissions_come_does_not_matter(
    said: list[tuple[str, int, bool]], data: st.DataObject
) -> None:
    signed = [
        by_operator(msgspec.structs.replace(admission(peer, serial), revoked=revoked))
        for peer, serial, revoked in said
    ]
    one, other = members(), members()
    for each in signed:
        one.merge(each)
    for each in data.draw(st.permutations(signed)):
        other.merge(each)
    assert one.hash == other.hash
    assert {peer: one.get(peer) for peer in one} == {peer: other.get(peer) for peer in other}


def test_the_largest_admission_fits_into_its_record() -> None:
    """An admission has to fit where a record of a peer does."""
    longest = "p" * 64
    each = PeerKeys(b"c" * 32, b"s" * 32, 1e11, 1e11)
    largest = Admission(longest, longest, longest, 2**53, (each, each), revoked=True)
    signed = by_operator(largest)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(signed), type=SignedRecord)
    assert admission_of(again) == largest


class Hello(Message, frozen=True):
    """Anything that a role might say."""


def closed(*known: Admission) -> MembershipSettings:
    charter = Charter(CELL, OPERATOR, tuple(map(by_operator, known)))
    return MembershipSettings(seeds=("p0",), charter=charter)


def speaker(peer: str) -> Speaker:
    return msgspec.structs.replace(identity(peer), curve_key=keys(peer).curve)


def village(network: Network, count: int) -> list[Talker]:
    """Let so many admitted peers find each other; each talks to the next one."""
    names = [f"p{number}" for number in range(count)]
    talkers = []
    for number, name in enumerate(names):
        talkers.append(Talker((names[(number + 1) % count],), Hello()))
        network.join(talkers[-1], speaker(name), closed(*map(admission, names)))
    network.run(20.0, network.agree)
    return talkers


def all_know(network: Network, peer: str) -> Callable[[], bool]:
    return lambda: all(peer in network.roster(each) for each in network.members)


def test_a_newcomer_with_an_admission_is_known_to_all_without_the_directory() -> None:
    """Its admission is its own to tell: no peer that it turns to has heard of it before."""
    network = Network()
    village(network, 20)
    network.kill("p0")
    settings = msgspec.structs.replace(closed(admission("new")), seeds=("p7",))
    network.join(Talker(), speaker("new"), settings)
    assert network.run(30.0, all_know(network, "new")) < 10.0
    network.run(10.0)
    assert network.roster("new").peers() == [*sorted({*network.members, "p0"})]


def test_a_newcomer_is_not_believed_before_it_is_admitted() -> None:
    network = Network()
    village(network, 20)
    settings = msgspec.structs.replace(closed(), seeds=("p7",))
    network.join(Talker(), speaker("new"), settings)
    network.run(20.0)
    assert not any("new" in network.roster(peer) for peer in network.members)
    network.command("p9", Admit((by_operator(admission("new")),)))
    assert network.replies == [Admitted(1, 0)]
    assert network.run(60.0, all_know(network, "new")) < 30.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_revocation_reaches_everybody_within_a_gossip_period(seed: int) -> None:
    network = Network(seed)
    village(network, 40)
    network.command("p20", Admit((by_operator(revocation_of(admission("p3"), 2)),)))
    others = [peer for peer in network.members if peer != "p3"]

    def gone() -> bool:
        return not any("p3" in network.roster(peer) for peer in others)

    took_s = network.run(20.0, gone)
    assert took_s < MembershipSettings().gossip.repair_s


def test_a_revoked_neighbour_is_down_at_once_and_up_again_when_readmitted() -> None:
    network = Network()
    talkers = village(network, 6)
    network.run(10.0)
    assert PeerUp("p3", 1) in talkers[2].told
    network.command("p5", Admit((by_operator(revocation_of(admission("p3"), 2)),)))
    network.run(3.0)
    assert talkers[2].told[-1:] == [PeerDown("p3", 1)]
    network.command("p5", Admit((by_operator(admission("p3", serial=3)),)))
    network.run(30.0)
    assert talkers[2].told[-1:] == [PeerUp("p3", 1)]


def test_what_nobody_signed_is_answered_so_and_goes_no_further() -> None:
    network = Network()
    village(network, 3)
    forged = sign_admission(admission("evil"), sign_as("evil"))
    network.command("p1", Admit((forged, by_operator(admission("good")))))
    network.run(10.0)
    assert network.replies == [Admitted(1, 1)]
    learned = [
        admission_of(fact.signed)
        for *_, fact in network.facts
        if isinstance(fact, AdmissionLearned)
    ]
    assert {each.peer for each in learned} == {"good"}
    assert len(learned) == 3


def test_a_peer_that_changes_its_keys_is_followed_by_all_and_never_down() -> None:
    network = Network()
    talkers = village(network, 8)
    both = rotated(admission("p3"), keys("fresh"), 2, 3600.0)
    network.command("p6", Admit((by_operator(both),)))
    network.run(MembershipSettings().key_spread_s + 2.0)
    before = {number: len(talker.told) for number, talker in enumerate(talkers)}
    speak = network.members["p3"]._speaker
    network.members["p3"]._speaker = msgspec.structs.replace(speak, sign=sign_as("fresh"))
    fresh = keys("fresh")
    network.command("p3", ChangeKeys(fresh.signing, fresh.curve, "tcp://127.0.0.1:77"))
    network.run(60.0)
    for peer in network.members:
        known = network.roster(peer).get("p3")
        assert known is not None
        assert (known.curve_key, known.endpoint) == (fresh.curve, "tcp://127.0.0.1:77")
    changes = [fact for _, at, fact in network.facts if isinstance(fact, KeysChanging)]
    assert [change.step for change in changes] == [KeyStep.TAKE, KeyStep.SPEAK, KeyStep.END]
    assert all(len(talker.told) == before[number] for number, talker in enumerate(talkers))
