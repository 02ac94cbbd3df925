"""What operators ask a host and its roles, and what they are told when something is wrong."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from tests.broker.hosts_for_tests import Puppet, host, settle
from tests.broker.messages_for_tests import AnyTestMessage, Note

from peercell.agents.errors import PeercellError
from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Commanded, Event, Reply
from peercell.broker.operator_port import (
    ASKED_MAX,
    HostMessage,
    HostStatus,
    Question,
    StatusQuery,
    UnreachableError,
    ask,
    ask_all,
)
from peercell.broker.reactor import Reactor
from peercell.broker.sockets import endpoint_of, listen
from peercell.broker.wire import Codec, Drop

ON_CONTROL = Codec(AnyTestMessage, HostMessage)


def ask_while_turning(asked: Reactor, peer: str, request: Message) -> Message:
    """Ask from a second thread, as an operator's process would."""
    (answer,) = ask_all_while_turning(asked, [Question(asked.control_endpoint, peer, request)])
    if isinstance(answer, PeercellError):
        raise answer
    return answer


def ask_all_while_turning(
    asked: Reactor, questions: list[Question], timeout_s: float = 5.0
) -> list[Message | PeercellError]:
    """Ask a host and others from a second thread."""
    answers: list[Message | PeercellError] = []
    thread = threading.Thread(
        target=lambda: answers.extend(ask_all(questions, ON_CONTROL, timeout_s))
    )
    thread.start()
    settle([asked], lambda: bool(answers))
    thread.join()
    return answers


def counting(event: Event) -> list[Action]:
    match event:
        case Commanded(request_id=request_id, request=Note(number=number)):
            return [Reply(request_id, Note("", number + 1))]
        case _:
            return []


def test_an_operator_asks_role_and_host() -> None:
    with host(("a", Puppet(counting))) as at_a:
        assert ask_while_turning(at_a, "a", Note("", 41)) == Note("", 42)
        answer = ask_while_turning(at_a, "a", StatusQuery())
        assert isinstance(answer, HostStatus)
        assert (answer.peer, answer.incarnation, answer.links) == ("a", 1, 0)


def test_many_are_asked_at_once() -> None:
    """Who answers one question only when the other has come as well would else be waited for."""
    open_requests: list[int] = []

    def when_both_have_come(event: Event) -> list[Action]:
        match event:
            case Commanded(request_id=request_id):
                open_requests.append(request_id)
        return [Reply(each, Note("", 1)) for each in open_requests if len(open_requests) == 2]

    with host(("a", Puppet(when_both_have_come))) as at_a:
        twice = [Question(at_a.control_endpoint, "a", Note("", number)) for number in (1, 2)]
        assert ask_all_while_turning(at_a, twice) == [Note("", 1)] * 2


def test_each_answer_belongs_to_its_question() -> None:
    with host(("a", Puppet(counting))) as at_a, listen() as silent:
        here = at_a.control_endpoint
        questions = [
            Question(endpoint_of(silent), "s", Note("", 1)),
            Question(here, "a", Note("", 2)),
            Question(here, "b", Note("", 3)),
            *(Question(here, "a", Note("", number)) for number in range(ASKED_MAX)),
        ]
        unreachable, first, refused, *rest = ask_all_while_turning(at_a, questions, 1.0)
    assert isinstance(unreachable, UnreachableError)
    assert unreachable.what == "s does not answer"
    assert first == Note("", 3)
    assert isinstance(refused, PeercellError)
    assert refused.what == "b refused Note"
    assert rest == [Note("", number + 1) for number in range(ASKED_MAX)]


def test_an_operator_who_asks_the_wrong_peer_is_told_so() -> None:
    with host(("a", Puppet())) as at_a, pytest.raises(PeercellError) as refusal:
        ask_while_turning(at_a, "b", StatusQuery())
    assert refusal.value.why == "no b here, only a"


def test_an_operator_of_tomorrow_is_told_what_is_unknown() -> None:
    class Tomorrow(Message, frozen=True):
        pass

    codec = Codec(AnyTestMessage, HostMessage, Tomorrow)
    answers: list[PeercellError] = []

    def operator() -> None:
        with pytest.raises(PeercellError) as refusal:
            ask(at_a.control_endpoint, "a", Tomorrow(), codec, 5.0)
        answers.append(refusal.value)

    with host(("a", Puppet())) as at_a:
        thread = threading.Thread(target=operator)
        thread.start()
        settle([at_a], lambda: bool(answers))
        thread.join()
    assert answers[0].why == "Tomorrow: unknown-kind"


def test_nobody_there_is_an_error_with_its_own_exit_code() -> None:
    with listen() as silent, pytest.raises(UnreachableError) as refusal:
        ask(endpoint_of(silent), "a", StatusQuery(), ON_CONTROL, 0.05)
    assert refusal.value.exit_code == 4


def test_a_question_can_be_broken_off() -> None:
    """Ctrl-C while nobody answers: the process ends, whatever the sockets were about to do."""
    code = """if True:
        import signal, sys
        from peercell.broker.operator_port import HostMessage, StatusQuery, ask
        from peercell.broker.wire import Codec
        # A shell's background jobs are started with SIGINT ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # Before: msgspec swallows what a signal raises while it makes a decoder.
        codec = Codec(HostMessage)
        print("asking", flush=True)
        ask(sys.argv[1], "a", StatusQuery(), codec, 30.0)
    """
    with listen() as silent:
        asking = subprocess.Popen(
            [sys.executable, "-c", code, endpoint_of(silent)],
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with asking:
            assert asking.stdout is not None
            assert asking.stdout.readline() == b"asking\n"
            asking.send_signal(signal.SIGINT)
            assert asking.wait(10) == -signal.SIGINT


def test_an_answer_to_nobody_is_counted() -> None:
    with host(("a", Puppet())) as at_a:
        at_a._act(at_a._places["a"].seat, [Reply(77, Note("to nobody"))], 0.0)
        assert at_a._control.dropped[Drop.NO_ROUTE] == 1


def test_an_answer_to_somebody_who_left_is_counted() -> None:
    """The socket notices a moment later that somebody left, so the first answers may be taken."""
    silent = Puppet()
    with host(("a", silent)) as at_a:
        for attempt in range(1, 51):
            with pytest.raises(UnreachableError):
                ask(at_a.control_endpoint, "a", Note("", attempt), ON_CONTROL, 0.05)
            settle([at_a], lambda: _commands(silent) == attempt)  # noqa: B023 - called at once
            at_a._act(at_a._places["a"].seat, [Reply(attempt, Note("late"))], 0.0)
            if at_a._control.dropped[Drop.NO_ROUTE]:
                return
        pytest.fail("fifty answers to nobody were taken")


def _commands(puppet: Puppet) -> int:
    return sum(isinstance(event, Commanded) for event in puppet.told)
