"""A plain port at which strangers say one signed thing and cost next to nothing, come what may."""

import select
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.signing import SignedRecord
from peercell.broker.security.door import (
    VISITORS_MAX,
    WORD_BYTES_MAX,
    Door,
    DoorError,
    Watch,
    Welcome,
    knock,
)
from peercell.broker.sockets import listen

WORD = SignedRecord(b"word", b"s" * 64)
WELCOME = Welcome("", 12.0, SignedRecord(b"record", b"r" * 64))


class House:
    """A host of nothing but a door."""

    def __init__(self) -> None:
        self.watched: dict[int, Callable[[], None]] = {}
        self.heard: list[SignedRecord] = []
        listener = listen()
        self.address: tuple[str, int] = listener.getsockname()[:2]
        self.door = Door(listener, self.hear, Watch(self.watched.__setitem__, self.end))

    def hear(self, word: SignedRecord) -> Welcome:
        """Answer what is said."""
        self.heard.append(word)
        return WELCOME

    def end(self, descriptor: int) -> None:
        """Look after a descriptor no more."""
        del self.watched[descriptor]

    def turn(self, wait_s: float = 0.2) -> bool:
        """Wait a moment for something to happen, deal with it, and return whether it did."""
        ready, *_ = select.select(list(self.watched), [], [], wait_s)
        for descriptor in ready:
            if descriptor in self.watched:
                self.watched[descriptor]()
        return bool(ready)


@pytest.fixture
def house() -> Iterator[House]:
    """Return a host of a door."""
    opened = House()
    yield opened
    opened.door.close()
    assert opened.watched == {}


def test_who_brings_a_word_is_heard_and_answered(house: House) -> None:
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(knock, house.address, WORD)
        while not answer.done():
            house.turn(0.02)
    assert answer.result() == WELCOME
    assert house.heard == [WORD]


@pytest.mark.parametrize("said", [b"", b"\xc1", b"GET / HTTP/1.0\r\n\r\n", b"\x92\xc4"])
def test_anything_else_is_answered_and_not_heard(house: House, said: bytes) -> None:
    with socket.create_connection(house.address, 2.0) as link:
        link.sendall(said)
        link.shutdown(socket.SHUT_WR)
        while house.turn():
            pass
        assert b"no admission" in link.recv(4096)
    assert house.heard == []


@given(st.binary(max_size=WORD_BYTES_MAX))
def test_whatever_is_said_is_a_word_or_none(said: bytes) -> None:
    heard: list[SignedRecord] = []

    def hear(word: SignedRecord) -> Welcome:
        heard.append(word)
        return WELCOME

    with listen() as listener:
        watch = Watch(lambda _descriptor, _call: None, lambda _descriptor: None)
        answer = Door(listener, hear, watch)._answer(said)
    assert bool(heard) is (answer == WELCOME)
    assert heard or "no admission" in answer.refusal


def test_who_says_too_much_is_shown_out(house: House) -> None:
    with socket.create_connection(house.address, 2.0) as link:
        link.sendall(b"x" * (WORD_BYTES_MAX + 1))
        while house.turn():
            pass
        assert len(house.watched) == 1
        assert link.recv(16) == b""
    assert house.heard == []


def test_visitors_that_say_nothing_make_room_for_those_that_do(house: House) -> None:
    idle = [socket.create_connection(house.address, 2.0) for _ in range(VISITORS_MAX * 2)]
    while house.turn():
        pass
    assert len(house.watched) == VISITORS_MAX + 1
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(knock, house.address, WORD)
        while not answer.done():
            house.turn(0.02)
    assert answer.result() == WELCOME
    for link in idle:
        link.close()
    while house.turn():
        pass
    assert len(house.watched) == 1


def test_a_closed_door_is_told_with_what_to_try(house: House) -> None:
    with listen() as nobody:
        address = nobody.getsockname()[:2]
    with pytest.raises(DoorError) as closed:
        knock(address, WORD, timeout_s=0.5)
    assert "--door" in closed.value.fix
    assert closed.value.exit_code == 4


def test_what_is_no_door_is_told_so() -> None:
    with listen() as other, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(knock, other.getsockname()[:2], WORD, 2.0)
        link, _ = other.accept()
        link.sendall(b"SSH-2.0-OpenSSH\r\n")
        link.close()
        with pytest.raises(DoorError):
            answer.result()
