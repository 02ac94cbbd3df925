"""How each host of a cell comes to its own keys, and to no others: the operator deals them out.

A host gets a folder with the secret keys of its peers and the charter, in which the operator has
admitted all peers of the cell; it is what a volume or a secret of a container holds.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from peercell.broker.home import CellHome, replace_file
from peercell.broker.plans.keys import CellKeys, keys_of_cell
from peercell.broker.security.enrolment import CHARTER
from peercell.broker.security.identity import SECRET, KeyFileError

# Where the keys of the whole cell are, beside the folders of the hosts.
ALL = "operator"


def deal(
    config: Path,
    hosts: Mapping[str, Sequence[str]],
    out: Path,
    owner: int | None,
    now_s: float,
) -> CellKeys:
    """Return what was dealt: keys that are missing are made, and each host is given its own.

    Parameters
    ----------
    config : of the cell
    hosts : names of the folders, and the peers of each
    out : folder in which they are
    owner : user id that the files are given to; None for the one who runs this
    now_s : s, Unix time

    Raises
    ------
    PeercellError : the config is wrong, a key cannot be used, or a file not be written.
    """
    made = keys_of_cell(config, out / ALL, now_s)
    for host, peers in hosts.items():
        (out / host).mkdir(parents=True, exist_ok=True)
        for name in (CHARTER, *(f"{peer}{SECRET}" for peer in peers)):
            _give((out / ALL / name).read_bytes(), out / host / name, owner)
    return made


def take(dealt: Path, home: CellHome, peers: Sequence[str]) -> str:
    """Return the folder of keys of a host, which holds what was dealt to it last.

    It is a copy, so that the files may be read-only, or of another owner, and keys can be changed
    while the host runs. What was changed here stays until it is dealt anew.

    Parameters
    ----------
    dealt : folder that was dealt
    home : of the cell, prepared
    peers : that run here

    Raises
    ------
    KeyFileError : keys of a peer are missing, cannot be read, or anybody may read them.
    """
    kept = home.folder / "dealt"
    note = kept / f"{CHARTER}.dealt"
    try:
        charter = (dealt / CHARTER).read_bytes()
        missing = [peer for peer in peers if not (kept / f"{peer}{SECRET}").exists()]
        if not missing and note.exists() and note.read_bytes() == charter:
            return str(kept)
        kept.mkdir(mode=0o700, exist_ok=True)
        for peer in peers:
            secret = dealt / f"{peer}{SECRET}"
            if secret.stat().st_mode & 0o007:
                raise KeyFileError(f"anybody may read the key {secret}", "", f"chmod 400 {secret}")
            _give(secret.read_bytes(), kept / secret.name, None)
        for file in (kept / CHARTER, note):
            replace_file(file, charter)
    except OSError as error:
        raise KeyFileError(
            f"cannot use the keys in {dealt}", str(error), "peercell keys deal CONFIG"
        ) from None
    return str(kept)


def _give(content: bytes, path: Path, owner: int | None) -> None:
    """Write a file for its owner only; what was there is replaced whole."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        if owner is not None:
            os.fchown(file.fileno(), owner, owner)
    fresh.replace(path)
