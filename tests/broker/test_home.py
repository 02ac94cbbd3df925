"""The folder of a cell: names, permissions, and numbers that only grow."""

from pathlib import Path

import pytest

from peercell.agents.errors import PeercellError
from peercell.broker.home import CellHome, replace_file


def test_keys_and_sockets_are_for_their_owner_only(tmp_path: Path) -> None:
    home = CellHome(tmp_path / "cell")
    home.prepare()
    home.prepare()
    for name in ("keys", "sockets"):
        assert (tmp_path / "cell" / name).stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PeercellError) as refusal:
        CellHome(tmp_path / "file" / "cell").prepare()
    assert "PEERCELL_HOME" in refusal.value.fix


def test_a_path_too_long_for_a_socket_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    home = CellHome(tmp_path / ("x" * 100))
    with pytest.raises(PeercellError, match="too long for a socket"):
        home.control("peer")
    assert CellHome(Path("/tmp/c")).control("peer") == "ipc:///tmp/c/sockets/peer.sock"  # noqa: S108 - not opened


def test_an_incarnation_is_higher_than_all_before_it_even_if_the_clock_is_not(
    tmp_path: Path,
) -> None:
    home = CellHome(tmp_path)
    home.prepare()
    runs = [home.next_incarnation("a", now_s) for now_s in (100.0, 200.0, 50.0, 50.0, 300.0)]
    assert runs == [100_000, 200_000, 200_001, 200_002, 300_000]
    (tmp_path / "state" / "a.incarnation").write_text("spoilt")
    assert home.next_incarnation("a", 400.0) == 400_000


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"old", b"new"):
        replace_file(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]
