"""`peercell keys`: the keys of peers, who may join a cell, and who may no longer."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import click
from msgspec import structs

from peercell.agents.admission import Admission, sign_admission
from peercell.agents.errors import PeercellError
from peercell.agents.signing import SignedRecord
from peercell.broker.addresses import look_up
from peercell.broker.clock import steady_clock
from peercell.broker.home import CellHome
from peercell.broker.processes.running import State, running_cells
from peercell.broker.security.admission import JOIN, Terms, part_at
from peercell.broker.security.announce import Told, admissions_below, tell_door, tell_processes
from peercell.broker.security.enrolment import keep
from peercell.broker.security.identity import load_identity, load_public
from peercell.broker.security.keyring import (
    KeyFiles,
    Overlap,
    admission_of_keys,
    new_keys,
    next_keys,
    revocation,
    show_file,
    write_token,
)
from peercell.broker.security.matrix import ROLES
from peercell.broker.terminal.command import Session, data_command, hint
from peercell.broker.terminal.output import Answer, listing, record
from peercell.broker.terminal.params import duration, endpoint

OPERATOR = "operator"
_FILE = click.Path(path_type=Path, dir_okay=False)
_operator_option = click.option(
    "--operator", type=_FILE, required=True, help="Secret keys of the operator of the cell."
)
_cell_option = click.option("--cell", help="Name of the cell; that which runs here if not given.")
_at_option = click.option(
    "--at",
    type=endpoint,
    metavar="HOST:PORT",
    help="Door of a peer to tell it to; the processes of this machine are told when not given.",
)


@data_command("new", "peercell keys new mg3.trader", "peercell keys new operator --out keys")
@click.argument("peer", metavar="ID")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("keys"),
    show_default=True,
    help="Folder for them.",
)
def new(peer: str, out: Path) -> Answer:
    """Make the keys of a peer, or of an operator.

    Make them on the machine that they are for: the secret file never has to leave it. The
    fingerprint is for reading over the phone.
    """
    made = new_keys(peer, out)
    if peer == OPERATOR:
        next_step = f"next: peercell keys admit PEER.pub --operator {made.secret}"
    else:
        next_step = f"next, at the operator's: {_admit_words(made)}"
    return record(made, _made_text(made), next_step)


@data_command("show", "peercell keys show keys/mg3.trader.pub keys/mg3.trader.join -o json")
@click.argument("files", metavar="FILE...", type=_FILE, nargs=-1, required=True)
def show(files: tuple[Path, ...]) -> Answer:
    """Show whose keys a file holds, and until when they are admitted.

    Nothing secret is shown.
    """
    rows = []
    for file in files:
        shown = structs.asdict(show_file(file))
        until_s = shown.pop("expires_s")
        rows.append({**shown, "expires": _time(until_s) if until_s else ""})
    return listing(rows, dict.fromkeys(rows[0], ""))


class _Wanted(NamedTuple):
    """On which terms somebody is to be admitted, and who is told."""

    cell: str | None
    role: str | None
    for_s: float
    beside: Path | None
    overlap: float
    out: Path | None
    at: tuple[str, int] | None


def _with_terms(admit: Callable[..., Answer]) -> Callable[..., Answer]:
    """Return a command that also has the options of an admission, as one argument."""

    @_operator_option
    @_cell_option
    @click.option("--role", help="What it may do; as in the plan of the cell if not given.")
    @click.option(
        "--for",
        "for_s",
        envvar="PEERCELL_KEYS_ADMIT_FOR",
        type=duration,
        default="365d",
        show_default=True,
        help="How long it may, such as 30d.",
    )
    @click.option("--beside", type=_FILE, help="Public keys that these replace, and that count on.")
    @click.option(
        "--overlap",
        type=duration,
        default="1d",
        show_default=True,
        help="How long those count beside the new ones.",
    )
    @click.option("--out", type=_FILE, help="File for the join token; beside PUB if not given.")
    @_at_option
    @wraps(admit)
    def command(session: Session, public: Path, operator: Path, **wanted: Any) -> Answer:
        return admit(session, public, operator, _Wanted(**wanted))

    return command


@data_command(
    "admit",
    "peercell keys admit keys/mg3.trader.pub --operator keys/operator.secret",
    "peercell keys admit mg9.pub --operator keys/operator.secret --cell rural1 --role trader",
)
@click.argument("public", metavar="PUB", type=_FILE)
@click.pass_obj
@_with_terms
def admit(session: Session, public: Path, operator: Path, wanted: _Wanted) -> Answer:
    """Admit the keys of a peer to a cell, and print its join token.

    The token is signed and not secret: send it to the peer's machine, which shows it to any peer of
    the cell. Where the cell runs on this machine it says too what the peer is to run, and the
    processes here are told.
    """
    signer, keys, now_s = load_identity(operator), load_public(public), steady_clock()()
    run = wanted.cell or _running_cell(session.home)
    part = part_at(CellHome(session.home / run), keys.peer)
    # A run may have another name than the cell that the operator speaks of.
    cell = next((each.cell for each in admissions_below(session.home, run)), run)
    role = wanted.role or (part.spec.role if part else "")
    if not role:
        raise PeercellError(
            f"what {keys.peer} may do is not known",
            f'no plan of "{cell}" on this machine says that it runs elsewhere',
            f"the same with --role trader     or: peercell up CONFIG --elsewhere {keys.peer}",
        )
    if role not in ROLES:
        hint(f"{role!r} is none of {', '.join(sorted(ROLES))}: it may say what own pages bring")
    before = Overlap(load_public(wanted.beside), wanted.overlap) if wanted.beside else None
    admitted = admission_of_keys(keys, Terms(cell, role, now_s, now_s + wanted.for_s), before)
    path = wanted.out or public.with_suffix(JOIN)
    token, text = write_token(path, signer, admitted, part)
    keep(operator.parent, token.admission)
    told = _tell(session.home, token.admission, wanted.at)
    rows = _said(admitted, told) | {"token": text, "file": str(path)}
    return record(rows, text, f"{_told_text(admitted, told)}; the token is in {path}")


@data_command("rotate", "peercell keys rotate keys/mg3.trader.secret")
@click.argument("secret", metavar="SECRET", type=_FILE)
def rotate(secret: Path) -> Answer:
    """Make the keys that are to follow those of a peer.

    They lie beside the present ones. Once the operator has admitted them, the peer goes over to
    them while it runs; until the overlap ends, both count.
    """
    made = next_keys(secret)
    before = secret.with_suffix(".pub")
    next_step = f"next, at the operator's: {_admit_words(made)} --beside {before}"
    return record(made, _made_text(made), next_step)


@data_command(
    "revoke",
    "peercell keys revoke mg3.trader --operator keys/operator.secret",
    "peercell keys revoke mg3.pub --cell rural1 --operator operator.secret --at 192.0.2.10:5601",
)
@click.argument("peer", metavar="ID|PUB|TOKEN")
@_operator_option
@_cell_option
@_at_option
@click.pass_obj
def revoke(
    session: Session, peer: str, operator: Path, cell: str | None, at: tuple[str, int] | None
) -> Answer:
    """Let the keys of a peer count no more, anywhere in the cell.

    All peers know within a period of gossip, whether the directory runs or not. It is written into
    the charter beside the operator's keys too, where there is one, for cells that start later.
    """
    signer = load_identity(operator)
    known = admissions_below(session.home)
    word = revocation(peer, cell, known, steady_clock()())
    signed = sign_admission(word, signer.sign)
    kept = keep(operator.parent, signed)
    told = _tell(session.home, signed, at)
    if not told.taken and not kept:
        raise PeercellError(
            f"nobody was told that {word.peer} is revoked",
            f"{told.refused} processes here have another operator, or none"
            if told.refused
            else f"no process runs below {session.home}/",
            "the same with --at HOST:PORT, the door of a peer",
        )
    return record(_said(word, told), _told_text(word, told))


def _tell(home: Path, word: SignedRecord, at: tuple[str, int] | None) -> Told:
    return tell_processes(home, word) if at is None else tell_door(look_up(*at), word)


def _running_cell(home: Path) -> str:
    """Return the name of the one cell that runs here."""
    names = [each.cell for each in running_cells(home) if each.state is State.RUNNING]
    if len(names) == 1:
        return names[0]
    why = f"under {home}/ run: {', '.join(names)}" if names else f"none runs under {home}/"
    raise PeercellError("which cell is not said", why, "--cell rural1")


def _said(word: Admission, told: Told) -> dict[str, object]:
    return {
        "peer": word.peer,
        "role": word.role,
        "cell": word.cell,
        "serial": word.serial,
        "revoked": word.revoked,
        "expires": _time(word.keys[0].expires_s),
        "taken": told.taken,
        "refused": told.refused,
    }


def _told_text(word: Admission, told: Told) -> str:
    did = (
        f'{word.peer} is revoked in "{word.cell}"'
        if word.revoked
        else f'{word.peer} is admitted to "{word.cell}" as {word.role} until'
        f" {_time(word.keys[0].expires_s)}"
    )
    return f"{did}; {told.taken} processes were told"


def _made_text(made: KeyFiles) -> str:
    return (
        f"keys of {made.peer}\n"
        f"  fingerprint  {made.fingerprint}\n"
        f"  secret       {made.secret}  (stays here)\n"
        f"  public       {made.public}  (for the operator)"
    )


def _admit_words(made: KeyFiles) -> str:
    return f"peercell keys admit {made.public} --operator keys/operator.secret"


def _time(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
