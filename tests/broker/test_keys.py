"""Signing keys: made once, kept private, and of no use to anybody else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.broker.keys import KeyFileError, load_or_make_key, verify


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "a.ed25519"
    first = load_or_make_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert bytes(load_or_make_key(path)) == bytes(first)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ed25519"
    load_or_make_key(path)
    path.chmod(0o640)
    with pytest.raises(KeyFileError) as refusal:
        load_or_make_key(path)
    assert refusal.value.fix == f"chmod 600 {path}"
    assert refusal.value.exit_code == 3


@pytest.mark.parametrize("content", ["", "not hex", "00" * 31])
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.ed25519"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="no signing key"):
        load_or_make_key(path)


def test_a_key_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot use the key"):
        load_or_make_key(tmp_path / "none" / "a.ed25519")


def test_only_the_very_message_of_the_very_key_is_verified(tmp_path: Path) -> None:
    ours, theirs = load_or_make_key(tmp_path / "a"), load_or_make_key(tmp_path / "b")
    signature = ours.sign(b"message").signature
    assert verify(bytes(ours.verify_key), b"message", signature)
    assert not verify(bytes(ours.verify_key), b"other", signature)
    assert not verify(bytes(theirs.verify_key), b"message", signature)


@given(st.binary(max_size=40), st.binary(max_size=10), st.binary(max_size=70))
def test_garbage_is_no_signature_and_no_error(key: bytes, message: bytes, sign: bytes) -> None:
    assert not verify(key, message, sign)
