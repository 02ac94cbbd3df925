"""`peercell doctor`: whether this machine can run a cell, and what becomes of dialling a peer."""

from dataclasses import replace
from pathlib import Path

import click

from peercell.broker.dialling import Target, addressed_target, dial, known_target
from peercell.broker.doctor import Finding, Health, findings
from peercell.broker.security.identity import load_identity, load_public
from peercell.broker.sockets import LinkKeys
from peercell.broker.terminal.command import Session, data_command
from peercell.broker.terminal.output import Answer, listing
from peercell.broker.terminal.params import endpoint

_FILE = click.Path(path_type=Path, dir_okay=False)


@data_command(
    "doctor",
    "peercell doctor",
    "peercell doctor mg3.trader --key keys/mg1.trader.secret",
    "peercell doctor 192.0.2.10:5600 --key keys/mg3.trader.secret --server-key directory.pub",
)
@click.argument("peer", metavar="[PEER|HOST:PORT]", required=False)
@click.option("--key", type=_FILE, help="Secret keys that the peer should let in.")
@click.option("--server-key", type=_FILE, help="Public keys that the peer should have.")
@click.pass_obj
def doctor(session: Session, peer: str | None, key: Path | None, server_key: Path | None) -> Answer:
    """Check whether this machine can run a cell, or dial a peer.

    A peer that is known here is dialled where it listens, by its record. What is said comes from
    the sockets themselves: who is reached, and what became of the handshake.

    Ends with 3 when the machine cannot, 4 when the peer is not to be had, and says what to try.
    """
    if peer is None:
        return _answer(findings(session.home), 3)
    own = load_identity(key) if key is not None else None
    keys = LinkKeys(own.curve_public, own.curve_secret) if own is not None else None
    return _answer(list(dial(_target(session.home, peer, server_key), keys)), 4)


def _target(home: Path, peer: str, server_key: Path | None) -> Target:
    if ":" in peer:
        server = load_public(server_key) if server_key is not None else None
        return addressed_target(endpoint(peer), server)
    found = known_target(home, peer)
    return found._replace(key=load_public(server_key).curve) if server_key is not None else found


def _answer(found: list[Finding], code: int) -> Answer:
    fails = any(each.health is Health.FAIL for each in found)
    answer = listing(found, dict.fromkeys(("health", "check", "found", "fix"), ""))
    return replace(answer, exit_code=code if fails else 0)
