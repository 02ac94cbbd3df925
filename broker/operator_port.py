"""What an operator asks a running host, and how: one request, one answer, over a local socket.

Requests to the host itself are `HostMessage`s; every other message goes to the role of the peer
that the envelope names, as `Commanded`, and its `Reply` comes back.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Annotated, NamedTuple

import zmq
from msgspec import Meta, field

from peercell.agents.errors import PeercellError
from peercell.agents.grid_parts import Text
from peercell.agents.messages import Message
from peercell.broker.faults.orders import FaultId, Order
from peercell.broker.gate import SENDERS_MAX, Heard
from peercell.broker.sockets import Socket, connect, make, readable
from peercell.broker.wire import (
    VERSION,
    Codec,
    Count,
    Drop,
    DropError,
    Envelope,
    Incoming,
    Name,
)

PENDING_MAX = 256
SLICE_MS = 100
# Hosts that are asked at once: each costs a socket, and a process has about a thousand.
ASKED_MAX = 128
OPERATOR = "operator"

Counts = Annotated[dict[Name, Count], Meta(max_length=64)]
Seconds = Annotated[float, Meta(ge=0.0, le=1e9)]


class StatusQuery(Message, frozen=True):
    """Ask a peer how it is doing."""


class HostStatus(Message, frozen=True):
    """Counts of a peer and of its host since the host started.

    Parameters
    ----------
    peer, incarnation, uptime_s : who answers
    handed, sent, waiting, unsent : of the peer; handed = sent + unsent + what waits of it, and
        `waiting` is that of the whole host
    applied, refused, missing : of the peer; `missing` are gaps in what others numbered
    told : number of the last message that was sent to each other peer
    heard : what became of the messages of each other peer
    unaccounted : by how many messages the counts of the host contradict each other; 0 unless it
        has a defect
    unattributed : frames and messages that arrived for no peer of this host, by reason
    links : open outgoing links of the host
    timers : fired so far; `late_*_s` is how late half, 99 % and the worst of them were
    faults : how often each fault that is or was on has done something here
    journal_stopped : why nothing is recorded any more; empty when all is
    withheld : how many of those that were told to each other peer a fault held back until they were
        worthless
    without_effect : why the grid does not do what a fault wants, for each of those
    """

    peer: Name
    incarnation: Count
    uptime_s: Seconds
    handed: Count
    sent: Count
    waiting: Count
    unsent: Counts
    applied: Count
    refused: Counts
    missing: Count
    told: Annotated[dict[Name, Count], Meta(max_length=SENDERS_MAX)]
    heard: Annotated[dict[Name, Heard], Meta(max_length=SENDERS_MAX)]
    unaccounted: Count
    unattributed: Counts
    links: Count
    timers: Count
    late_p50_s: Seconds
    late_p99_s: Seconds
    late_max_s: Seconds
    faults: Annotated[dict[FaultId, Count], Meta(max_length=4096)]
    journal_stopped: Annotated[str, Meta(max_length=500)] = ""
    withheld: Annotated[dict[Name, Count], Meta(max_length=SENDERS_MAX)] = field(
        default_factory=dict
    )
    without_effect: Annotated[dict[FaultId, Text], Meta(max_length=4096)] = field(
        default_factory=dict
    )


class StopHost(Message, frozen=True):
    """Leave in good order: the same as SIGTERM."""


class Stopping(Message, frozen=True):
    """The host leaves once this answer is out."""


class FaultOrder(Message, frozen=True):
    """Let something be wrong on purpose, until it is over by itself or is taken back."""

    order: Order


class FaultEnd(Message, frozen=True):
    """Let a fault be over; one that is not on is over already."""

    id: FaultId


class Done(Message, frozen=True):
    """It is done, or on its way."""


class Refusal(Message, frozen=True):
    """The request was not carried out, and why; with what to try instead, where that is known."""

    why: Annotated[str, Meta(max_length=500)]
    fix: Annotated[str, Meta(max_length=500)] = ""


HostMessage = (
    StatusQuery | HostStatus | StopHost | Stopping | FaultOrder | FaultEnd | Done | Refusal
)


class Question(NamedTuple):
    """What a host, or the role of a peer on it, is asked.

    Parameters
    ----------
    endpoint : of the control port
    peer : id of the peer that is asked
    request : what it is to answer
    """

    endpoint: str
    peer: str
    request: Message


class UnreachableError(PeercellError):
    """Nobody answered a request."""

    exit_code = 4


class OperatorPort:
    """The answering end: a ROUTER that remembers who asked what.

    Parameters
    ----------
    router : bound ROUTER socket
    codec : of the roles' messages and `HostMessage`
    """

    def __init__(self, router: Socket, codec: Codec) -> None:
        self.router = router
        self.dropped: Counter[Drop] = Counter()
        self._codec = codec
        self._asked: dict[int, tuple[bytes, Incoming]] = {}
        self._count = 0

    def receive(self) -> tuple[int, str, Message] | None:
        """Return the next request as (request id, peer, message), or None when there is none.

        What cannot be read is counted, and refused with the reason where the sender is known.
        """
        if not readable(self.router):
            return None
        route, *frames = self.router.recv_multipart()
        if len(frames) != 1:
            self.dropped[Drop.BAD_FRAME] += 1
            return None
        for envelope in self._codec.envelopes(frames[0], self.dropped)[:1]:
            request_id = self._remember(route, envelope)
            try:
                return request_id, envelope.dst, self._codec.open(envelope)
            except DropError as refusal:
                self.dropped[refusal.reason] += 1
                self.answer(request_id, Refusal(f"{envelope.kind}: {refusal.reason}"))
        return None

    def answer(self, request_id: int, message: Message) -> None:
        """Answer a request; an asker that has left, or an answer given twice, is counted."""
        route, asked = self._asked.pop(request_id, (None, None))
        if route is None or asked is None:
            self.dropped[Drop.NO_ROUTE] += 1
            return
        try:
            frame = frame_of(self._codec, asked.dst, asked.src, message)
        except DropError as refusal:
            told = Refusal(f"the answer is {refusal.reason}")
            frame = frame_of(self._codec, asked.dst, asked.src, told)
        try:
            self.router.send_multipart([route, frame], zmq.NOBLOCK)
        except zmq.ZMQError:
            self.dropped[Drop.NO_ROUTE] += 1

    def _remember(self, route: bytes, envelope: Incoming) -> int:
        """Return the id of a request; of more than 256 open ones the oldest is forgotten."""
        self._count += 1
        self._asked[self._count] = (route, envelope)
        if len(self._asked) > PENDING_MAX:
            del self._asked[next(iter(self._asked))]
        return self._count


def ask(endpoint: str, peer: str, request: Message, codec: Codec, timeout_s: float) -> Message:
    """Return what a host, or the role of a peer on it, answers to a request.

    Parameters
    ----------
    endpoint, peer, request : see `Question`
    codec, timeout_s : see `ask_all`

    Raises
    ------
    UnreachableError : nobody answered in time.
    PeercellError : the host refused, or its answer cannot be read.
    """
    (answer,) = ask_all([Question(endpoint, peer, request)], codec, timeout_s)
    if isinstance(answer, PeercellError):
        raise answer
    return answer


def ask_all(
    questions: Sequence[Question], codec: Codec, timeout_s: float
) -> list[Message | PeercellError]:
    """Return what each host answers, or why there is no answer, in the order of the questions.

    They are asked at once, so that many who do not answer take no longer than one.

    Parameters
    ----------
    questions : any number
    codec : knows the requests and the answers
    timeout_s : s, for connecting and answering; for each `ASKED_MAX` of them
    """
    batches = (questions[k : k + ASKED_MAX] for k in range(0, len(questions), ASKED_MAX))
    return [answer for batch in batches for answer in _ask_batch(batch, codec, timeout_s)]


def _ask_batch(
    questions: Sequence[Question], codec: Codec, timeout_s: float
) -> Iterator[Message | PeercellError]:
    frames: dict[int, bytes] = {}
    waiting: dict[Socket, int] = {}
    poller = zmq.Poller()
    with ExitStack() as open_sockets:
        for number, question in enumerate(questions):
            # The context of the process, which ends with it: to end one here could hang when a
            # signal has interrupted the making or closing of its socket.
            dealer = open_sockets.enter_context(make(zmq.Context.instance(), zmq.DEALER))
            # With IMMEDIATE, libzmq throws away what was received and not yet read when a link
            # breaks: of the answers of hosts that answer and leave, one in ten was lost.
            dealer.setsockopt(zmq.IMMEDIATE, 0)
            connect(dealer, question.endpoint)
            dealer.send(frame_of(codec, OPERATOR, question.peer, question.request), zmq.NOBLOCK)
            poller.register(dealer, zmq.POLLIN)
            waiting[dealer] = number
        until_s = time.monotonic() + timeout_s
        while waiting and time.monotonic() < until_s:
            # In slices: a signal that comes just before a wait begins is not seen until it is over.
            for dealer, _ in poller.poll(SLICE_MS):
                poller.unregister(dealer)
                frames[waiting.pop(dealer)] = dealer.recv(zmq.NOBLOCK)
    for number, question in enumerate(questions):
        frame = frames.get(number)
        yield _silence(question, timeout_s) if frame is None else _opened(question, frame, codec)


def _silence(question: Question, timeout_s: float) -> UnreachableError:
    return UnreachableError(
        f"{question.peer} does not answer",
        f"nothing came from {question.endpoint} within {timeout_s:g} s",
        "peercell ps",
    )


def _opened(question: Question, frame: bytes, codec: Codec) -> Message | PeercellError:
    """Return the answer in a frame, or what was refused."""
    answers = codec.envelopes(frame, Counter())
    try:
        answer = codec.open(answers[0]) if answers else Refusal("the answer cannot be read")
    except DropError as refusal:
        answer = Refusal(f"its answer {answers[0].kind} is {refusal.reason}")
    if not isinstance(answer, Refusal):
        return answer
    what = f"{question.peer} refused {type(question.request).__name__}"
    return PeercellError(what, answer.why, answer.fix)


def frame_of(codec: Codec, src: str, dst: str, message: Message) -> bytes:
    """Return the frame of one request or answer; neither is numbered, and both hold until asked."""
    kind = codec.names[type(message)]
    return codec.frame([Envelope(VERSION, kind, src, dst, 0, 1, 1e11, message)])
