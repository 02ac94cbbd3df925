"""What an operator signs: tokens that a newcomer can trust, and the charter of a whole cell."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.admission import Members, sign_admission
from peercell.broker.processes.crew import PeerSpec
from peercell.broker.security.admission import (
    JoinToken,
    Part,
    Terms,
    TokenError,
    admission,
    load_token,
    read_token,
    token_text,
)
from peercell.broker.security.enrolment import enrol
from peercell.broker.security.identity import make_identity, verify

NOW_S = 1_800_000_000.0
TERMS = Terms("village", "trader", NOW_S, NOW_S + 3600.0)
OPERATOR = make_identity("operator")
NEWCOMER = make_identity("mg1.trader")
PART = Part(
    spec=PeerSpec(peer="mg1.trader", role="trader", factory="a:b", settings=b'{"x": 1}', seed=3),
    unions=("a:Union",),
    observer="directory",
    journal_bytes_max=0,
)


def token(part: Part | None = PART) -> JoinToken:
    signed = sign_admission(admission(NEWCOMER.public, TERMS), OPERATOR.sign)
    return JoinToken(operator=OPERATOR.public.signing, admission=signed, part=part)


TEXT = token_text(token(), OPERATOR)


@pytest.mark.parametrize("part", [PART, None])
def test_a_token_says_what_it_was_made_of(part: Part | None) -> None:
    text = token_text(token(part), OPERATOR)
    assert read_token(f"\n  {text}\n") == token(part)
    assert text.count("\n") == 0


def test_a_token_gives_a_newcomer_a_charter_in_which_it_is_a_member() -> None:
    members = Members(read_token(TEXT).charter, verify)
    found = members.member_of(NEWCOMER.curve_public, NOW_S + 1.0)
    assert found is not None
    assert (found.peer, found.role, found.cell) == ("mg1.trader", "trader", "village")


def test_nothing_in_a_token_is_secret() -> None:
    told = repr(read_token(TEXT))
    for identity in (OPERATOR, NEWCOMER):
        assert repr(identity.curve_secret) not in told
        assert repr(bytes(identity.signing)) not in told


def test_a_token_that_another_one_signed_is_refused() -> None:
    with pytest.raises(TokenError, match="false"):
        read_token(token_text(token(), make_identity("operator")))


def test_a_token_for_the_part_of_another_peer_is_refused() -> None:
    other = Part(
        spec=PeerSpec(peer="mg2.trader", role="trader", factory="a:b"),
        unions=(),
        observer="",
        journal_bytes_max=0,
    )
    with pytest.raises(TokenError, match="false"):
        read_token(token_text(token(other), OPERATOR))


@given(st.integers(0, len(TEXT) - 1), st.sampled_from("Aa0_-:é"))
def test_a_token_with_a_slip_in_it_is_refused(position: int, letter: str) -> None:
    slip = TEXT[:position] + letter + TEXT[position + 1 :]
    assert _told(slip) in (None, read_token(TEXT))


def _told(text: str) -> JoinToken | None:
    """Return what a token says, None for one that is refused."""
    try:
        return read_token(text)
    except TokenError:
        return None


@given(st.text(max_size=80))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    for said in (text, f"peercell-join-1:{text}"):
        with pytest.raises(TokenError):
            read_token(said)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="cannot read"):
        load_token(tmp_path / "none.join")
    (tmp_path / "bytes.join").write_bytes(b"\xff\xfe")
    with pytest.raises(TokenError, match="no join token"):
        load_token(tmp_path / "bytes.join")


def test_all_peers_of_a_cell_are_admitted_with_the_keys_of_their_processes(tmp_path: Path) -> None:
    roles = {"a": "trader", "b": "prosumer", "c": "dso"}
    specs = [PeerSpec(peer=peer, role=role, factory="") for peer, role in roles.items()]
    crews = [("a", (specs[0], specs[1])), ("c", (specs[2],))]
    charter = enrol(tmp_path, crews, OPERATOR, TERMS)
    members = Members(charter, verify)
    assert sorted(members) == ["a", "b", "c"]
    found = {peer: members.get(peer) for peer in members}
    assert {peer: each.role for peer, each in found.items() if each} == roles
    curves = {peer: each.keys[0].curve for peer, each in found.items() if each}
    assert curves["a"] == curves["b"] != curves["c"]
    again = Members(enrol(tmp_path, crews, OPERATOR, TERMS), verify)
    assert again.hash == members.hash
