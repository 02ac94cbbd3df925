"""Keys: made once, kept private, told apart by their fingerprint, of no use to anybody else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.broker.security.identity import (
    FINGERPRINT_BYTES,
    KeyFileError,
    fingerprint,
    load_identity,
    load_or_make_identity,
    load_public,
    make_identity,
    save_identity,
    save_public,
    verify,
)


def test_keys_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "a.secret"
    first = load_or_make_identity(path, "a")
    assert path.stat().st_mode & 0o777 == 0o600
    again = load_or_make_identity(path, "a")
    assert again.public == first.public
    assert again.curve_secret == first.curve_secret
    assert again.sign(b"word") == first.sign(b"word")


def test_both_keys_of_a_peer_are_new_and_differ() -> None:
    one, other = make_identity("a"), make_identity("a")
    keys = {one.curve_public, other.curve_public, one.public.signing, other.public.signing}
    assert {len(key) for key in keys} == {32}
    assert len(keys) == 4


def test_keys_that_others_may_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.secret"
    save_identity(path, make_identity("a"))
    path.chmod(0o640)
    with pytest.raises(KeyFileError) as refusal:
        load_identity(path)
    assert refusal.value.fix == f"chmod 600 {path}"
    assert refusal.value.exit_code == 3


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not JSON",
        "{}",
        '{"peercell": "secret keys 1", "peer": "a", "curve": "00", "signing": "00"}',
        '{"peercell": "secret keys 1", "peer": "a", "curve": "zz", "signing": "zz"}',
        '{"peercell": "secret keys 9", "peer": "a", "curve": "00", "signing": "00"}',
    ],
)
def test_a_file_without_keys_is_refused_and_not_quoted(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.secret"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="holds no secret keys") as refusal:
        load_identity(path)
    assert "zz" not in str(refusal.value)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot use the key"):
        load_or_make_identity(tmp_path / "none" / "a.secret", "a")


def test_the_keys_of_another_peer_are_refused(tmp_path: Path) -> None:
    save_identity(tmp_path / "a.secret", make_identity("b"))
    with pytest.raises(KeyFileError, match="does not hold the keys of a"):
        load_or_make_identity(tmp_path / "a.secret", "a")


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    made = make_identity("a")
    save_identity(tmp_path / "a.secret", made)
    with pytest.raises(KeyFileError, match="is there already"):
        save_identity(tmp_path / "a.secret", make_identity("a"))
    assert load_identity(tmp_path / "a.secret").public == made.public


def test_the_public_file_holds_what_others_may_know(tmp_path: Path) -> None:
    made = make_identity("a")
    save_public(tmp_path / "a.pub", made.public)
    assert load_public(tmp_path / "a.pub") == made.public
    text = (tmp_path / "a.pub").read_text()
    assert made.curve_secret.hex() not in text
    assert bytes(made.signing).hex() not in text


def test_a_secret_file_is_no_public_one(tmp_path: Path) -> None:
    save_identity(tmp_path / "a.secret", make_identity("a"))
    with pytest.raises(KeyFileError, match="holds no public keys"):
        load_public(tmp_path / "a.secret")


def test_what_is_printed_of_an_identity_is_not_secret() -> None:
    made = make_identity("a")
    assert made.curve_secret.hex() not in repr(made)
    assert str(made) == f"Identity({made.public.fingerprint} of a)"


def test_a_fingerprint_can_be_spoken_and_says_all_its_bits() -> None:
    """The words are those of the proposal: 7f000001 is lusab babad."""
    text = fingerprint(b"")
    assert [len(word) for word in text.split("-")] == [5] * (FINGERPRINT_BYTES // 2)
    assert len({fingerprint(bytes([number])) for number in range(256)}) == 256


def test_only_the_very_message_of_the_very_key_is_verified() -> None:
    ours, theirs = make_identity("a"), make_identity("b")
    signature = ours.sign(b"message")
    assert verify(ours.public.signing, b"message", signature)
    assert not verify(ours.public.signing, b"other", signature)
    assert not verify(theirs.public.signing, b"message", signature)


@given(st.binary(max_size=40), st.binary(max_size=10), st.binary(max_size=70))
def test_garbage_is_no_signature_and_no_error(key: bytes, message: bytes, sign: bytes) -> None:
    assert not verify(key, message, sign)
