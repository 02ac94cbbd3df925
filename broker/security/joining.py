"""How a peer of another machine gets into a cell: it shows its admission, checks who answers."""

from pathlib import Path
from typing import NamedTuple

import msgspec

from peercell.agents.admission import Charter, Members
from peercell.agents.errors import PeercellError
from peercell.agents.roster import PeerRecord, record_of
from peercell.broker.addresses import Address
from peercell.broker.security.admission import JOIN, JoinToken, load_token
from peercell.broker.security.door import Welcome, knock
from peercell.broker.security.identity import (
    PUBLIC,
    PublicIdentity,
    load_identity,
    load_public,
    verify,
)
from peercell.broker.wire import UNDECODABLE


class JoinError(PeercellError):
    """Whoever answers is not to be trusted, or does not let the peer in."""

    exit_code = 4


class Papers(NamedTuple):
    """What a peer shows, and where it lies.

    Parameters
    ----------
    keys : file of its secret keys
    token : its join token
    """

    keys: Path
    token: JoinToken


class Host(NamedTuple):
    """A peer of the cell that has let a newcomer in.

    Parameters
    ----------
    record : of that peer: where it listens, and its keys
    charter : who belongs to the cell, as far as the newcomer knows now
    ahead_s : s by which the clock there is ahead of the one here, give or take the way
    """

    record: PeerRecord
    charter: Charter
    ahead_s: float


def papers(peer: str, keys: Path, token: Path | None) -> Papers:
    """Return the papers of a peer.

    Parameters
    ----------
    peer : id
    keys : file of its secret keys
    token : file of its join token; None for the one beside the keys

    Raises
    ------
    PeercellError : a file cannot be used, or is not of this peer and these keys.
    """
    identity = load_identity(keys)
    path = token or keys.with_suffix(JOIN)
    found = load_token(path)
    if identity.peer != peer:
        raise JoinError(f"{keys} does not hold the keys of {peer}", f"it is {identity.peer}'s")
    listed = {each.curve for each in found.admitted.keys}
    if found.admitted.peer != peer or identity.curve_public not in listed:
        raise JoinError(
            f"{path} does not admit the keys in {keys}",
            f"it is for other keys of {found.admitted.peer}",
            "peercell keys admit, at the operator's, with the .pub file beside these keys",
        )
    return Papers(keys, found)


def enter(door: Address, token: JoinToken, server_key: str | None, now_s: float) -> Host:
    """Show a join token at a door and return the peer behind it, once it has proved to belong.

    Parameters
    ----------
    door : numeric address and port
    token : of the newcomer
    server_key : fingerprint, or file of public keys, that the peer has to have; None for those of
        any peer that the operator has admitted
    now_s : s, Unix time here

    Raises
    ------
    JoinError : it does not let the newcomer in, or is not what it has to be.
    DoorError : nobody opens.
    """
    where = f"{door[0]}:{door[1]}"
    welcome = knock(door, token.admission)
    if welcome.refusal:
        raise JoinError(
            f"the peer at {where} does not take the join token",
            welcome.refusal,
            "peercell keys show FILE.join, and the operator of that cell",
        )
    record, charter = _proved(welcome, token, now_s, where)
    found = PublicIdentity(record.peer, record.curve_key, record.signing_key).fingerprint
    if server_key is not None and _fingerprint(server_key) != found:
        raise JoinError(
            f"{record.peer} at {where} has other keys than it should",
            f"its fingerprint is {found}",
            "ask for its fingerprint in another way, and give that as --server-key",
        )
    return Host(record, charter, welcome.now_s - now_s)


def _proved(
    welcome: Welcome, token: JoinToken, now_s: float, where: str
) -> tuple[PeerRecord, Charter]:
    """Return the record of a peer that belongs to the cell, as its signatures show."""
    try:
        signed, admission = welcome.record, welcome.admission
        if signed is None or admission is None:
            raise JoinError(f"the peer at {where} is no member itself", "", "another door")
        record = record_of(signed)
    except UNDECODABLE as error:
        raise JoinError(f"the peer at {where} is not understood", str(error)) from None
    admissions = (*token.charter.admissions, admission)
    charter = msgspec.structs.replace(token.charter, admissions=admissions)
    members = Members(charter, verify)
    own = verify(record.signing_key, signed.record, signed.signature)
    if not own or not members.admits(record.peer, record.signing_key, record.curve_key, now_s):
        raise JoinError(
            f"the peer at {where} does not belong to the cell",
            "the operator who signed the join token has not admitted its keys",
            "the address of a door of that cell, or a token of its operator",
        )
    return record, charter


def _fingerprint(server_key: str) -> str:
    path = Path(server_key)
    return load_public(path).fingerprint if path.suffix == PUBLIC else server_key.strip().lower()
