"""What one process of a cell does: give its peers a place, tell where they are, and host them."""

import importlib
import logging
import os
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import structs

from peercell.agents.admission import Members, admission_of
from peercell.agents.errors import PeercellError
from peercell.agents.membership import Member, MembershipSettings, Speaker
from peercell.agents.membership_messages import (
    AdmissionLearned,
    Admit,
    KeysChanging,
    Leave,
    MembershipMessage,
    PeerReturned,
    PeerSuspected,
    RecordConflict,
    RecordLearned,
)
from peercell.agents.messages import Message
from peercell.agents.protocol import Role
from peercell.agents.roster import PeerRecord, record_of
from peercell.agents.signing import Merged, Sign, SignedRecord
from peercell.broker.addresses import Address
from peercell.broker.clock import steady_clock
from peercell.broker.home import CellHome
from peercell.broker.inbound import Security
from peercell.broker.journal import FORMAT, Journal, Start
from peercell.broker.memory import MemoryFile
from peercell.broker.processes.crew import (
    Context,
    Crew,
    Factory,
    Failed,
    Left,
    Notice,
    PeerSpec,
    Ready,
)
from peercell.broker.reactor import Doors, Reactor
from peercell.broker.rosterfile import Kept, RosterFile
from peercell.broker.seat import Seat
from peercell.broker.security.door import Door, Watch, Welcome
from peercell.broker.security.identity import verify
from peercell.broker.security.rotation import KeyChange, PeerKeyFile
from peercell.broker.security.signing import signer
from peercell.broker.sockets import listen

LOG_BYTES_MAX = 4 * 1024 * 1024
_REFUSALS = {
    Merged.OLD: "the operator has said something newer of this peer",
    Merged.FALSE: "the operator of this cell has not signed it, or the cell has none",
}

log = logging.getLogger(__name__)


def work(crew_file: str, listener: int, notices: int, alive: int | None) -> int:
    """Be the process of a crew, from its first instruction to its last; return its exit code.

    Parameters
    ----------
    crew_file : JSON of a `Crew`
    listener : descriptor of a socket that listens at the crew's endpoint
    notices : descriptor to tell the supervisor by, a line of JSON at a time
    alive : descriptor that becomes readable when the supervisor has ended, or None
    """
    with os.fdopen(notices, "wb", buffering=0) as supervisor:

        def tell(notice: Notice) -> None:
            try:
                supervisor.write(msgspec.json.encode(notice) + b"\n")
            except OSError:
                log.warning("nobody hears %s", notice)

        try:
            crew = msgspec.json.decode(Path(crew_file).read_bytes(), type=Crew)
            _log_to(CellHome(Path(crew.folder)).log(crew.name))
            tell(Left(run_crew(crew, socket.socket(fileno=listener), tell, alive)))
        except BaseException as error:  # noqa: BLE001 - the one place where a role's bug ends up
            traceback.print_exc()
            tell(Failed(f"{type(error).__name__}: {error}"))
            return 1
    return 0


def run_crew(
    crew: Crew,
    listener: socket.socket | None,
    tell: Callable[[Notice], None],
    alive: int | None,
) -> str:
    """Host the peers of a crew until a signal or an operator ends it; return the reason.

    Parameters
    ----------
    crew : who, and where
    listener : listens at the crew's endpoint already, or None
    tell : is told once all peers run
    alive : descriptor that becomes readable when the supervisor has ended, or None

    Raises
    ------
    PeercellError : a key, a folder, an endpoint or a factory cannot be used.
    """
    home = CellHome(Path(crew.folder))
    home.prepare()
    clock = steady_clock()
    doors = Doors(crew.endpoint, home.control(crew.name), listener)
    unions = [find(union) for union in crew.unions]
    with closing(RosterFile(home.roster(crew.name))) as roster, ExitStack() as stack:
        place = _place(crew, roster)
        members = _members(place, roster)
        files = _key_files(crew, home, members)
        link = files[crew.name]
        security = None if members.is_open else Security(link.link_keys, members)
        reactor = stack.enter_context(Reactor(doors, [*unions, MembershipMessage], clock, security))
        endpoint = crew.advertise or reactor.endpoint
        place = structs.replace(place, endpoint=endpoint, curve_key=link.spoken.curve_public)
        change = KeyChange(link, reactor.links, crew.advertise, partial(reactor.command, crew.name))
        for peer, endpoint in crew.seeds.items():
            reactor.route(peer, endpoint, crew.seed_keys.get(peer) or _newest_key(members, peer))
        remembered = frozenset(roster.known(Kept.RECORD))
        reactor.observe(_Notes(crew, roster, members, reactor, change, remembered).take)
        if alive is not None:
            reactor.watch(alive, lambda: reactor.stop("the supervisor is gone"))
        for order in crew.faults:
            reactor.inject(order)
        incarnations = {}
        for spec in crew.peers:
            seat = _take_seat(crew, spec, place, files[spec.peer])
            incarnations[spec.peer] = seat.incarnation
            reactor.seat(seat)
            log.info("%s (%s) runs as incarnation %d", spec.peer, spec.role, seat.incarnation)
        if crew.door is not None:
            stack.enter_context(closing(_door(crew.door, crew, reactor, members, roster)))
        tell(Ready(incarnations))
        why = reactor.run()
        log.info("the process ends: %s", why)
        return why


@dataclass(frozen=True)
class _Notes:
    """What a process makes of the facts that its roles record.

    `remembered` are records of an earlier run. Where a seed listens says who starts this process:
    what is remembered of it may be of a cell that has ended, whose addresses belong to nobody now.
    """

    crew: Crew
    roster: RosterFile
    members: Members
    reactor: Reactor
    change: KeyChange
    remembered: frozenset[SignedRecord]

    def take(self, peer: str, fact: Message) -> None:
        """Remember a fact, and act on it where it is about members, addresses or keys."""
        _note_fact(self.roster, peer, fact)
        match fact:
            case AdmissionLearned(signed=signed):
                self.members.merge(signed)
            case KeysChanging(step=step) if len(self.crew.peers) == 1:
                # Peers that share a process share the key of its links: it cannot change alone.
                self.change.go_on(step, self.members.get(peer))
            case RecordLearned(signed=signed):
                record = record_of(signed)
                if record.peer not in self.crew.seeds or signed not in self.remembered:
                    _follow(self.reactor, record)
            case _:
                pass


def find(reference: str) -> Any:
    """Return what "module:name" names; in "folder!module:name" it is looked for there first.

    Raises
    ------
    PeercellError : there is no such module or name.
    """
    folder, _, named = reference.rpartition("!")
    if folder and folder not in sys.path:
        sys.path.insert(0, folder)
    module, _, name = named.partition(":")
    try:
        return attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise PeercellError(f"cannot find {named}", str(error)) from error


def rebuild(start: Start, context: Context, sign: Sign) -> Role:
    """Return the role of a journal as it was when its run began.

    Parameters
    ----------
    start : the first entry of the run
    context : that of `start`, decoded
    sign : gives the signatures that the peer gave; its key is not in the journal
    """
    spec = PeerSpec(
        peer=start.peer,
        role=context.role,
        factory=start.factory,
        settings=start.settings,
        seed=start.seed,
    )
    return _member(spec, start.incarnation, context, sign)


def _door(
    address: Address, crew: Crew, reactor: Reactor, members: Members, roster: RosterFile
) -> Door:
    """Open the door of a process: what the operator has signed is taken in, whoever brings it."""
    clock = steady_clock()

    def hear(word: SignedRecord) -> Welcome:
        merged, _ = members.merge(word)
        if merged not in (Merged.NEWS, Merged.KNOWN):
            return Welcome(_REFUSALS[merged], clock())
        for spec in crew.peers:
            reactor.command(spec.peer, Admit((word,)))
        host = members.get(crew.name)
        return Welcome(
            "",
            clock(),
            roster.newest(Kept.RECORD, crew.name),
            members.signed(crew.name) if host is not None else None,
        )

    return Door(listen(*address), hear, Watch(reactor.watch, reactor.unwatch))


def _key_files(crew: Crew, home: CellHome, members: Members) -> dict[str, PeerKeyFile]:
    """Return the keys of the peers of a process, and of its links, which are named like it."""
    named = Path(crew.keys) if crew.keys else None
    peers = {crew.name, *(spec.peer for spec in crew.peers)}
    return {
        peer: PeerKeyFile(named or home.key(peer), peer, members.get(peer))
        for peer in sorted(peers)
    }


def _members(place: Context, roster: RosterFile) -> Members:
    """Return who belongs to the cell, and keep it for the time when this is started again."""
    members = Members(place.charter, verify)
    for peer in members:
        roster.note(Kept.ADMISSION, peer, members.signed(peer))
    return members


def _newest_key(members: Members, peer: str) -> bytes:
    """Return the key of the links of a peer by its admission, b"" for one that has none."""
    admission = members.get(peer)
    return admission.keys[0].curve if admission is not None else b""


def _place(crew: Crew, roster: RosterFile) -> Context:
    """Return what the peers of a process have in common, without roles, keys and endpoint."""
    admissions = {*crew.charter.admissions, *roster.known(Kept.ADMISSION)}
    return Context(
        role="",
        endpoint="",
        signing_key=b"",
        seeds=tuple(crew.seeds),
        observer=crew.observer,
        known=roster.known(Kept.RECORD),
        unions=crew.unions,
        charter=structs.replace(crew.charter, admissions=tuple(sorted(admissions, key=_by_record))),
    )


def _by_record(signed: SignedRecord) -> bytes:
    return signed.record


def _take_seat(crew: Crew, spec: PeerSpec, place: Context, keys: PeerKeyFile) -> Seat:
    home = CellHome(Path(crew.folder))
    clock = steady_clock()
    incarnation = home.next_incarnation(spec.peer, clock())
    context = structs.replace(
        place,
        role=spec.role,
        signing_key=keys.own.public.signing,
        seeds=tuple(seed for seed in place.seeds if seed != spec.peer),
    )
    start = Start(
        FORMAT,
        spec.peer,
        incarnation,
        clock(),
        spec.factory,
        spec.settings,
        spec.seed,
        msgspec.msgpack.encode(context),
    )
    member = _member(spec, incarnation, context, keys.sign)
    size = crew.journal_bytes_max
    journal = Journal(home.journal(spec.peer), start, size) if size else None
    seat = Seat(spec.peer, member, incarnation, journal, farewell=Leave())
    if context.charter.operator:
        seat.streams.sign = signer(keys.sign_spoken)
    seat.memory = MemoryFile(home.memory(spec.peer), msgspec.msgpack.encode(spec))
    return seat


def _member(spec: PeerSpec, incarnation: int, context: Context, sign: Sign) -> Member:
    """Return a role among others; equal arguments give equal behaviour."""
    factory: Factory = find(spec.factory)
    for_role, for_membership = np.random.default_rng([spec.seed, incarnation]).spawn(2)
    speaker = Speaker(
        spec.peer,
        context.role,
        incarnation,
        context.endpoint,
        context.signing_key,
        sign,
        verify,
        context.curve_key,
    )
    settings = MembershipSettings(
        seeds=context.seeds, observer=context.observer, charter=context.charter
    )
    role = factory(spec.peer, spec.settings, for_role)
    return Member(role, speaker, context.known, for_membership, settings)


def _note_fact(roster: RosterFile, peer: str, fact: Message) -> None:
    """Remember records; log what an operator may want to know."""
    match fact:
        case RecordConflict() | PeerSuspected() | PeerReturned():
            log.warning("%s: %s", peer, fact)
        case RecordLearned(signed=signed):
            roster.note(Kept.RECORD, record_of(signed).peer, signed)
        case AdmissionLearned(signed=signed):
            admission = admission_of(signed)
            roster.note(Kept.ADMISSION, admission.peer, signed)
            log.info(
                "%s: the operator has %s %s",
                peer,
                "revoked" if admission.revoked else "admitted",
                admission.peer,
            )
        case _:
            pass


def _follow(reactor: Reactor, record: PeerRecord) -> None:
    """Find a peer from now on where its record says."""
    try:
        reactor.route(record.peer, record.endpoint, record.curve_key)
    except PeercellError as error:
        log.warning("%s signed a record that cannot be used: %s", record.peer, error)


def _log_to(path: Path) -> None:
    """Send what this process prints, and its log, to a file; the one before is kept once."""
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_name(f"{path.name}.1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
