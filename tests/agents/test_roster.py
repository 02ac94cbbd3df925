"""Records: believed for their signature, the newer wins, and all who know the same agree."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agents.network_for_tests import key_of, sign_as, verify

from peercell.agents import roster as page
from peercell.agents.admission import Charter, Members
from peercell.agents.roster import PeerRecord, Roster, signed
from peercell.agents.signing import Merged, SignedRecord

NOW_S = 1000.0


def record(
    peer: str = "a", incarnation: int = 1, serial: int = 1, expires_s: float = 2000.0
) -> PeerRecord:
    endpoint = f"tcp://127.0.0.1:{serial}"
    return PeerRecord(peer, "test", incarnation, serial, endpoint, key_of(peer), expires_s)


def open_roster() -> Roster:
    """Return a roster of a cell that anybody may join."""
    return Roster(verify, Members(Charter(), verify))


def good(each: PeerRecord) -> SignedRecord:
    return signed(each, sign_as(each.peer))


def moved(each: PeerRecord, to: str) -> PeerRecord:
    return msgspec.structs.replace(each, endpoint=to)


AT_1_1 = record()
# Row: what arrives after a first record of incarnation 1, serial 1; what becomes of it.
ARRIVALS = {
    "the same again": (good(AT_1_1), Merged.KNOWN),
    "a higher serial": (good(record(serial=2)), Merged.NEWS),
    "a higher incarnation": (good(record(incarnation=2, serial=0)), Merged.NEWS),
    "a lower serial": (good(record(serial=0)), Merged.OLD),
    "a lower incarnation": (good(record(incarnation=0, serial=9)), Merged.OLD),
    "the same age, another place": (good(moved(AT_1_1, "tcp://127.0.0.1:9")), Merged.CONFLICT),
    "news that nobody signed": (
        SignedRecord(good(record(serial=2)).record, b"x" * 64),
        Merged.FALSE,
    ),
    "news of another key": (
        signed(msgspec.structs.replace(record(serial=2), signing_key=key_of("b")), sign_as("b")),
        Merged.FALSE,
    ),
    "news that has expired": (good(record(serial=2, expires_s=999.0)), Merged.OLD),
    "bytes": (SignedRecord(b"\xc0", b"x" * 64), Merged.FALSE),
    "a name of a host": (good(moved(record(serial=2), "http://example.org")), Merged.FALSE),
}


@pytest.mark.parametrize(("arrived", "merged"), ARRIVALS.values(), ids=ARRIVALS)
def test_a_record_is_taken_in_only_if_it_is_good_news(
    arrived: SignedRecord, merged: Merged
) -> None:
    roster = open_roster()
    assert roster.merge(good(AT_1_1), NOW_S)[0] is Merged.NEWS
    assert roster.merge(arrived, NOW_S)[0] is merged
    known = roster.get("a")
    assert known is not None
    assert (known != AT_1_1) is (merged is Merged.NEWS)


def test_a_new_key_counts_once_the_lease_of_the_old_one_has_run_out() -> None:
    roster = open_roster()
    roster.merge(good(AT_1_1), NOW_S)
    other = msgspec.structs.replace(record(serial=2, expires_s=9000.0), signing_key=key_of("b"))
    assert roster.merge(signed(other, sign_as("b")), NOW_S)[0] is Merged.FALSE
    roster.forget_expired(3000.0)
    assert roster.merge(signed(other, sign_as("b")), 3000.0)[0] is Merged.NEWS


def test_the_number_of_peers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PEERS_MAX", 2)
    roster = open_roster()
    merged = [roster.merge(good(record(peer)), NOW_S)[0] for peer in "abc"]
    assert merged == [Merged.NEWS, Merged.NEWS, Merged.OLD]


records = st.lists(
    st.builds(record, st.sampled_from("abcd"), st.integers(1, 3), st.integers(1, 3)), max_size=20
)


@given(records, st.data())
def test_rosters_agree_whatever_the_order_of_arrival(
    said: list[PeerRecord], data: st.DataObject
) -> None:
    one, other = open_roster(), open_roster()
    for each in said:
        one.merge(good(each), NOW_S)
    for each in data.draw(st.permutations(said)):
        other.merge(good(each), NOW_S)
    assert one.hash == other.hash
    assert [one.get(peer) for peer in "abcd"] == [other.get(peer) for peer in "abcd"]


@given(records, records)
def test_hashes_differ_where_rosters_do(one: list[PeerRecord], other: list[PeerRecord]) -> None:
    first, second = open_roster(), open_roster()
    for each in one:
        first.merge(good(each), NOW_S)
    for each in other:
        second.merge(good(each), NOW_S)
    same = all(first.get(peer) == second.get(peer) for peer in "abcd")
    assert (first.hash == second.hash) is same


def test_forgetting_everything_leaves_an_empty_roster() -> None:
    roster = open_roster()
    for peer in "abc":
        roster.merge(good(record(peer)), NOW_S)
    roster.forget_expired(1e6)
    assert (len(roster), roster.hash) == (0, 0)
