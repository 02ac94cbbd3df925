"""How the peers of a cell come to their keys: from one folder, in which its operator admits them.

The folder holds the secret keys of the peers that run where it is, and the charter: public, and the
same everywhere. Where the operator's keys are in it too, whatever is missing is made.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import structs

from peercell.agents.admission import (
    Admission,
    Charter,
    Members,
    PeerKeys,
    admission_of,
    sign_admission,
)
from peercell.agents.signing import Merged, SignedRecord
from peercell.broker.home import CellHome, replace_file
from peercell.broker.security.admission import Crewed, Terms, admission
from peercell.broker.security.identity import (
    SECRET,
    Identity,
    KeyFileError,
    PublicIdentity,
    load_identity,
    load_or_make_identity,
    verify,
)
from peercell.broker.security.rotation import PeerKeyFile

LASTS_S = 366 * 86_400.0
OPERATOR = f"operator{SECRET}"
CHARTER = "cell.charter"


def charter_of(folder: str, home: CellHome, crews: list[Crewed], now_s: float) -> Charter:
    """Return who belongs to a cell, and let its processes here find their keys.

    Parameters
    ----------
    folder : of the keys; "" for a cell without, to which anybody belongs
    home : of the cell, prepared
    crews : name of each process here, and its peers
    now_s : s, host time

    Raises
    ------
    KeyFileError : a key cannot be used; or a peer is not admitted and there is no operator.
    """
    if not folder:
        return Charter()
    charter = enrolled(Path(folder), home.folder.name, crews, now_s)
    for peer in {peer for name, peers in crews for peer in (name, *(s.peer for s in peers))}:
        link, keys = home.key(peer), (Path(folder) / f"{peer}{SECRET}").resolve()
        link.unlink(missing_ok=True)
        link.symlink_to(keys)
    return charter


def enrolled(folder: Path, cell: str, crews: list[Crewed], now_s: float) -> Charter:
    """Return the charter in a folder, once all peers of some processes are in it.

    Parameters
    ----------
    folder : of the keys
    cell : name, for a charter that is not there yet
    crews : name of each process, and its peers
    now_s : s, host time

    Raises
    ------
    KeyFileError : see `charter_of`.
    """
    charter = _read(folder / CHARTER)
    known = {said.peer: said for said in map(admission_of, charter.admissions)}
    wanted = [crew for crew in crews if not _is_admitted(folder, crew, known, now_s)]
    if not wanted:
        return charter
    if not (folder / OPERATOR).exists():
        raise KeyFileError(
            f"{wanted[0][0]} is not admitted to the cell",
            f"it is not in {folder / CHARTER}, or its keys are not in {folder}",
            "peercell keys cell CONFIG, where the keys of the operator are",
        )
    operator = load_identity(folder / OPERATOR)
    fresh = enrol(folder, wanted, operator, Terms(charter.cell or cell, "", now_s, now_s + LASTS_S))
    newest: dict[str, SignedRecord] = {}
    for signed in (*charter.admissions, *fresh.admissions):
        newest[admission_of(signed).peer] = signed
    charter = structs.replace(fresh, admissions=tuple(newest.values()))
    _write(folder, charter)
    return charter


def enrol(
    folder: Path,
    crews: Iterable[Crewed],
    operator: Identity,
    terms: Terms,
) -> Charter:
    """Return the charter of a cell whose peers all run here; their keys are made as needed.

    Parameters
    ----------
    folder : of the keys
    crews : name of each process, and its peers; they share the key of its links
    operator : signs the admissions
    terms : of all of them; each is admitted in its own role
    """
    admissions = []
    for name, peers in crews:
        link = load_or_make_identity(folder / f"{name}{SECRET}", name)
        for spec in peers:
            own = load_or_make_identity(folder / f"{spec.peer}{SECRET}", spec.peer)
            public = PublicIdentity(spec.peer, link.curve_public, own.public.signing)
            signed = admission(public, terms._replace(role=spec.role))
            admissions.append(sign_admission(signed, operator.sign))
    return Charter(terms.cell, operator.public.signing, tuple(admissions))


def keep(folder: Path, word: SignedRecord) -> bool:
    """Write what an operator has said into the charter of its folder; return whether it is news.

    Where there is no charter, or that of another operator or cell, nothing is written.

    Parameters
    ----------
    folder : of the keys
    word : an admission or a revocation

    Raises
    ------
    KeyFileError : the charter cannot be read.
    """
    charter = _read(folder / CHARTER)
    members = Members(charter, verify)
    merged, _ = members.merge(word)
    if merged is not Merged.NEWS:
        return False
    _write(folder, structs.replace(charter, admissions=tuple(map(members.signed, members))))
    return True


def _is_admitted(folder: Path, crew: Crewed, known: dict[str, Admission], now_s: float) -> bool:
    """Return whether all peers of a process are in the charter with the keys in the folder.

    Whoever is revoked with these keys is in it too, and is not admitted anew.
    """
    name, peers = crew
    files = {spec.peer: folder / f"{spec.peer}{SECRET}" for spec in peers}
    if not all(file.exists() and peer in known for peer, file in files.items()):
        return False
    # Next keys that were admitted meanwhile are taken before these are looked at.
    own = {peer: PeerKeyFile(file, peer, known[peer]).own for peer, file in files.items()}
    return all(
        any(
            (each.curve, each.signing) == (own[name].curve_public, identity.public.signing)
            for each in _listed(known[peer], now_s)
        )
        for peer, identity in own.items()
    )


def _listed(said: Admission, now_s: float) -> Iterable[PeerKeys]:
    return said.keys if said.revoked else said.counts(now_s)


def _write(folder: Path, charter: Charter) -> None:
    replace_file(folder / CHARTER, msgspec.json.format(msgspec.json.encode(charter)) + b"\n")


def _read(path: Path) -> Charter:
    """Return the charter in a file, an empty one where there is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Charter)
    except FileNotFoundError:
        return Charter()
    except OSError as error:
        raise KeyFileError(f"cannot read {path}", error.strerror or str(error)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise KeyFileError(
            f"{path} is no charter of a cell", str(error), "peercell keys cell CONFIG"
        ) from None
