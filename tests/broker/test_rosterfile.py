"""Records on disk: the newest of each peer, whatever happened to the end of the file."""

from pathlib import Path

import pytest

from peercell.agents.signing import SignedRecord
from peercell.broker import rosterfile
from peercell.broker.rosterfile import Kept, RosterFile

RECORD = Kept.RECORD


def record(number: int) -> SignedRecord:
    return SignedRecord(f"record {number}".encode(), bytes(64))


def test_the_newest_record_of_each_peer_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "a.roster"
    file = RosterFile(path)
    assert file.known(RECORD) == ()
    for number, peer in enumerate(["a", "b", "a", "c", "a"]):
        file.note(RECORD, peer, record(number))
    file.close()
    again = RosterFile(path)
    assert set(again.known(RECORD)) == {record(1), record(3), record(4)}
    again.close()


def test_admissions_are_kept_beside_the_records(tmp_path: Path) -> None:
    file = RosterFile(tmp_path / "a.roster")
    file.note(RECORD, "a", record(1))
    file.note(Kept.ADMISSION, "a", record(2))
    file.close()
    again = RosterFile(tmp_path / "a.roster")
    assert again.known(RECORD) == (record(1),)
    assert again.known(Kept.ADMISSION) == (record(2),)
    again.close()


def test_records_are_on_disk_before_the_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.roster"
    file = RosterFile(path)
    file.note(RECORD, "a", record(1))
    other = RosterFile(path)
    assert other.known(RECORD) == (record(1),)
    file.close()
    other.close()


@pytest.mark.parametrize("cut", [1, 30, 80])
def test_a_torn_tail_costs_what_is_in_it(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.roster"
    file = RosterFile(path)
    for number, peer in enumerate("abc"):
        file.note(RECORD, peer, record(number))
    file.close()
    path.write_bytes(path.read_bytes()[:-cut])
    again = RosterFile(path)
    assert again.known(RECORD) == (record(0), record(1))
    again.note(RECORD, "c", record(2))
    again.close()
    final = RosterFile(path)
    assert final.known(RECORD) == (record(0), record(1), record(2))
    final.close()


def test_the_file_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rosterfile, "BYTES_MAX", 2000)
    path = tmp_path / "a.roster"
    file = RosterFile(path)
    for number in range(500):
        file.note(RECORD, "ab"[number % 2], record(number))
        assert path.stat().st_size <= 2200
    file.close()
    again = RosterFile(path)
    assert set(again.known(RECORD)) == {record(498), record(499)}
    again.close()
