"""The keys of a cell are dealt out: every host gets its own, and what the operator says of all."""

import stat
from pathlib import Path

import pytest

from peercell.agents.admission import admission_of
from peercell.broker.clock import steady_clock
from peercell.broker.home import CellHome
from peercell.broker.hosting.dealing import ALL, deal, take
from peercell.broker.processes.crew import PeerSpec
from peercell.broker.security.enrolment import CHARTER, charter_of
from peercell.broker.security.identity import KeyFileError

RURAL1 = Path(__file__).parents[3] / "configs/rural1.toml"
HOSTS = {"broker": ("directory",), "mg1": ("mg1.trader", "mg1.c1")}
MG1 = HOSTS["mg1"]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Return a folder of keys that were dealt."""
    folder = tmp_path / "keys"
    assert deal(RURAL1, HOSTS, folder, None, steady_clock()()).cell == "rural1"
    return folder


@pytest.fixture
def home(tmp_path: Path) -> CellHome:
    made = CellHome(tmp_path / "rural1")
    made.prepare()
    return made


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_every_host_has_the_keys_of_its_peers_and_the_charter_alone(keys: Path) -> None:
    assert names(keys) == {ALL, *HOSTS}
    assert names(keys / "mg1") == {CHARTER, "mg1.trader.secret", "mg1.c1.secret"}
    assert names(keys / "broker") == {CHARTER, "directory.secret"}
    for secret in keys.glob("*/*.secret"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_what_was_dealt_stays_when_it_is_dealt_again(keys: Path) -> None:
    before = {path: path.read_bytes() for path in keys.glob("*/*")}
    deal(RURAL1, HOSTS, keys, None, steady_clock()())
    assert {path: path.read_bytes() for path in keys.glob("*/*")} == before


def test_a_host_belongs_to_the_cell_by_what_it_took(keys: Path, home: CellHome) -> None:
    for secret in (keys / "mg1").glob("*.secret"):
        # As a mounted secret: read-only, and readable by the group of who runs the host.
        secret.chmod(0o440)
    taken = take(keys / "mg1", home, MG1)
    charter = charter_of(
        taken,
        home,
        [(peer, (PeerSpec(peer=peer, role="any", factory="a:b"),)) for peer in MG1],
        steady_clock()(),
    )
    admitted = {admission_of(each).peer for each in charter.admissions}
    assert {"directory", "observer", "grid", *MG1} < admitted
    for peer in MG1:
        assert stat.S_IMODE(home.key(peer).stat().st_mode) == 0o600


def test_keys_that_were_changed_here_stay_until_others_are_dealt(
    keys: Path, home: CellHome
) -> None:
    changed = Path(take(keys / "mg1", home, MG1)) / "mg1.c1.secret"
    changed.write_text("changed")
    take(keys / "mg1", home, MG1)
    assert changed.read_text() == "changed"
    (keys / "mg1" / CHARTER).write_bytes((keys / "mg1" / CHARTER).read_bytes() + b" ")
    take(keys / "mg1", home, MG1)
    assert changed.read_bytes() == (keys / "mg1" / "mg1.c1.secret").read_bytes()


def test_keys_that_are_missing_or_open_to_all_are_refused(keys: Path, home: CellHome) -> None:
    with pytest.raises(KeyFileError, match="cannot use"):
        take(keys / "mg1", home, ["mg2.trader"])
    (keys / "mg1" / "mg1.c1.secret").chmod(0o444)
    with pytest.raises(KeyFileError, match="anybody may read"):
        take(keys / "mg1", home, MG1)
