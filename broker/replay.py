"""Whether a peer, told again what its journal says, does again what its journal says."""

from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Raw, Struct
from msgspec.msgpack import Decoder, Encoder

from peercell.agents.membership_messages import MembershipMessage
from peercell.agents.protocol import (
    Commanded,
    Event,
    PeerDown,
    PeerUp,
    Received,
    Role,
    Started,
    TimerFired,
)
from peercell.broker.agent import find, rebuild
from peercell.broker.journal import Gap, JournalError, Start, Step, read, torn_bytes
from peercell.broker.processes.crew import Context
from peercell.broker.wire import UNDECODABLE, Codec, DropError

FAILED = Encoder().encode(None)


class _Received(Struct, frozen=True, tag="Received"):
    sender: str
    message: Raw


class _Commanded(Struct, frozen=True, tag="Commanded"):
    request_id: int
    request: Raw


class Difference(Struct, frozen=True):
    """The first step that came out differently.

    Parameters
    ----------
    step : 1 for the first step of the file
    now_s : s, host time of the step
    event : what the role was told
    recorded, repeated : the actions as plain values; None where the role failed
    """

    step: int
    now_s: float
    event: Event
    recorded: object
    repeated: object


class Replayed(Struct, frozen=True):
    """What a replay found.

    Parameters
    ----------
    peer : whose journal it is
    runs : times that the peer was started
    steps : events that were replayed
    failures : events on which the role failed, then and now
    missed : steps that were not recorded, or come after such in the same run, and so not replayed
    torn_bytes : bytes behind the last whole entry
    difference : None when every step did the same
    """

    peer: str
    runs: int
    steps: int
    failures: int
    missed: int
    torn_bytes: int
    difference: Difference | None


def replay_peer(path: Path) -> Replayed:
    """Run a peer again that ran in a process of a cell; its journal holds all that this needs.

    Raises
    ------
    JournalError : the file is no journal, or one that was not written by such a process.
    PeercellError : its role is not to be found here.
    """
    signatures = _signatures(path)
    contexts = [_context(entry, path) for entry in read(path) if isinstance(entry, Start)]
    unions = {union: None for context in contexts for union in context.unions}
    codec = Codec(*map(find, unions), MembershipMessage)
    return replay(
        path,
        codec,
        lambda start: rebuild(
            start, _context(start, path), lambda record: signatures.get(record, b"")
        ),
    )


def replay(path: Path, codec: Codec, build: Callable[[Start], Role]) -> Replayed:
    """Run the peer of a journal again, up to the first step that comes out differently.

    Parameters
    ----------
    path : the journal
    codec : of the messages that the peer heard
    build : returns the role of a run

    Raises
    ------
    JournalError : the file is no journal, or holds a message that `codec` does not know.
    """
    peer, runs, steps, failures, missed = "", 0, 0, 0, 0
    role: Role | None = None
    difference = None
    for entry in read(path):
        if isinstance(entry, Start):
            role = build(entry)
            peer = entry.peer
            runs += 1
        elif isinstance(entry, Step) and role is not None:
            steps += 1
            event = _event(entry.event, codec, path)
            repeated = _repeat(role, event, entry.now_s)
            if repeated != bytes(entry.actions):
                recorded = _plain(entry.actions)
                difference = Difference(steps, entry.now_s, event, recorded, _plain(repeated))
                break
            failures += repeated == FAILED
        elif isinstance(entry, Gap):
            # Nobody knows what the role became of what is missing.
            role = None
            missed += entry.steps
        elif isinstance(entry, Step):
            missed += 1
    return Replayed(peer, runs, steps, failures, missed, torn_bytes(path), difference)


def _repeat(role: Role, event: Event, now_s: float) -> bytes:
    """Return the encoded actions of a step, or that of None when the role fails."""
    try:
        return _encode(role.step(event, now_s))
    except Exception:  # noqa: BLE001 - to repeat a bug of any kind is what a replay is for
        return FAILED


def _event(raw: Raw, codec: Codec, path: Path) -> Event:
    try:
        match _decode(raw):
            case _Received(sender=sender, message=message):
                return Received(sender, codec.read(message))
            case _Commanded(request_id=request_id, request=request):
                return Commanded(request_id, codec.read(request))
            case Started() | TimerFired() | PeerUp() | PeerDown() as event:
                return event
            case unknown:
                raise JournalError(f"{path} has an event that cannot be read", repr(unknown))
    except (DropError, *UNDECODABLE) as error:
        raise JournalError(f"{path} has an event that cannot be read", str(error)) from error


def _context(start: Start, path: Path) -> Context:
    try:
        return msgspec.msgpack.decode(start.context, type=Context)
    except UNDECODABLE as error:
        raise JournalError(f"{path} was not written by a peer of a cell", str(error)) from error


def _signatures(path: Path) -> dict[bytes, bytes]:
    """Return the signatures of all records that the peer took in, its own among them."""
    signatures = {}
    for entry in read(path):
        for action in (_plain(entry.actions) if isinstance(entry, Step) else None) or []:
            match action:
                case {"type": "Record", "fact": ["RecordLearned", [record, signature]]}:
                    signatures[record] = signature
    return signatures


def _plain(actions: bytes | Raw) -> list[object] | None:
    plain: list[object] | None = msgspec.msgpack.decode(actions)
    return plain


_Recorded = Started | _Received | TimerFired | PeerUp | PeerDown | _Commanded
_decode = Decoder(_Recorded).decode
_encode = Encoder().encode
