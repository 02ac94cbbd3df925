"""A cell across network namespaces: its cables are cut for real, and it heals."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.broker.conftest import Run
from tests.broker.live_cell import Cell, fast_config, until

from peercell.broker.lab.bench import Lab, Part, end, is_alive, read_lab
from peercell.broker.lab.wires import LabError, Station, cut, delay, join, lay, slow, take_up

STATION = Station("mg1", "peercell-abc-mg1", "198.18.0.5")


def test_no_lab_is_told_with_what_to_try(run: Run) -> None:
    for words in (("ls",), ("down",), ("mend",), ("cut", "mg1", "--for", "1s")):
        result = run("lab", *words)
        assert (result.code, result.out) == (3, "")
        assert "peercell lab up CONFIG" in result.err


def test_a_file_that_is_no_lab_is_told(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text("{}")
    with pytest.raises(LabError, match="is no lab"):
        read_lab(tmp_path)


def test_without_the_programs_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LabError, match="ip netns add") as refusal:
        lay("abc", ["mg1"])
    assert refusal.value.why == "ip is not installed"
    with pytest.raises(LabError):
        slow(STATION, 1e6)
    assert not delay(STATION, 0.1)


def test_a_lab_has_room_for_so_many() -> None:
    with pytest.raises(LabError, match="at most 250"):
        lay("abc", [f"p{number}" for number in range(251)])


def test_a_process_of_another_is_not_taken_for_a_part(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        part = Part(STATION, other.pid, ("mg1.trader",))
        lab = Lab(tag="abc", cell="village", folder=str(tmp_path), parts=(part,))
        assert not is_alive(lab, part)
        end(lab)
        assert other.poll() is None
        other.kill()


@pytest.fixture
def network() -> Iterator[tuple[Station, ...]]:
    """Return two stations on a switch, where this user may make them."""
    try:
        stations = lay("test", ["a", "b"])
    except LabError as error:
        pytest.skip(f"no network can be made here: {error.why}")
    yield stations
    take_up("test", stations)


def hears(one: Station, other: Station) -> bool:
    """Return whether one station gets an answer from another."""
    code = f"import socket; socket.create_connection(({other.address!r}, 7), 0.4)"
    words = one.within("python3", "-S", "-c", code)
    said = subprocess.run(words, capture_output=True, text=True, check=False).stderr
    # Nobody listens there; who is refused was answered.
    return "refused" in said


@pytest.mark.slow
def test_a_cut_drops_what_comes_from_one_side_until_it_is_mended(
    network: tuple[Station, ...],
) -> None:
    a, b = network
    assert hears(a, b)
    cut(a, b)
    assert not hears(a, b)
    join(a, b)
    assert hears(a, b)
    slow(a, 1e6)
    assert hears(a, b)


@pytest.mark.slow
def test_a_cell_is_torn_apart_and_heals(run: Run, tmp_path: Path) -> None:
    if shutil.which("ip") is None:
        pytest.skip("iproute2 is not installed")
    text = fast_config().replace("intervals = 24", "intervals = 160")
    (tmp_path / "cell.toml").write_text(text)
    # The path of a socket has to be short.
    home = Path(tempfile.mkdtemp(prefix="peercell-"))
    cell = Cell(run, home)
    begun = run("--home", str(home), "lab", "up", "cell.toml")
    if begun.code == 3 and "ip netns add" in begun.err:
        pytest.skip(f"this user may make no network: {begun.err}")
    assert begun.code == 0, begun.err

    def said() -> list[str]:
        return (home / "lab" / "observer.log").read_text().splitlines()

    def states() -> list[str]:
        return [line for line in said() if line == "converged" or line.startswith("not conv")]

    try:
        parts = {row["part"]: row for row in cell.json("lab", "ls")}
        assert len(parts) == 9
        assert all(row["runs"] for row in parts.values())
        until(lambda: states()[-1:] == ["converged"], 40.0)
        before = len(states())
        assert run("--home", str(home), "lab", "cut", "mg1", "--for", "8s").code == 0
        until(lambda: len(states()) > before, 10.0)
        assert "mg1.trader" in states()[before]
        until(lambda: states()[-1] == "converged", 20.0)
        result = run("--home", str(home), "lab", "cut", "mg9", "--for", "1s")
        assert result.code == 3
        assert "mg9" in result.err
    finally:
        assert run("--home", str(home), "lab", "down").code == 0
        left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
        shutil.rmtree(home)
    assert not any(row["namespace"] in left.stdout for row in parts.values())
