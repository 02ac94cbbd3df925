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
    HostMessage,
    HostStatus,
    StatusQuery,
    UnreachableError,
    ask,
)
from peercell.broker.reactor import Reactor
from peercell.broker.sockets import endpoint_of, listen
from peercell.broker.wire import Codec, Drop

ON_CONTROL = Codec(AnyTestMessage, HostMessage)


def ask_while_turning(asked: Reactor, peer: str, request: Message) -> Message:
    """Ask from a second thread, as an operator's process would."""
    answers: list[Message | PeercellError] = []

    def operator() -> None:
        try:
            answers.append(ask(asked.control_endpoint, peer, request, ON_CONTROL, 5.0))
        except PeercellError as error:
            answers.append(error)

    thread = threading.Thread(target=operator)
    thread.start()
    settle([asked], lambda: bool(answers))
    thread.join()
    if isinstance(answers[0], PeercellError):
        raise answers[0]
    return answers[0]


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
