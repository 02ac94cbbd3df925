"""Every socket has the options of the house, and libzmq keeps what they promise."""

import socket
import time
from collections.abc import Callable, Iterator

import pytest
import zmq

from peercell.agents.errors import PeercellError
from peercell.broker import sockets
from peercell.broker.sockets import LOOPBACK, bind, check_numeric, endpoint_of, listen

Socket = zmq.Socket[bytes]
Make = Callable[[int], Socket]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make sockets of the house, and close them when the test is over."""
    context: zmq.Context[Socket] = zmq.Context()
    made: list[Socket] = []

    def one(kind: int) -> Socket:
        made.append(sockets.make(context, kind))
        return made[-1]

    yield one
    for each in made:
        each.close()
    context.term()


def accepted(push: Socket, frame: bytes, count_max: int) -> int:
    """Return how many copies of a frame a socket takes at once."""
    for count in range(count_max):
        try:
            push.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            return count
    return count_max


def connected(make: Make, endpoint: str) -> Socket:
    """Return a PUSH socket that has found its peer."""
    push = make(zmq.PUSH)
    push.connect(endpoint)
    assert push.poll(5000, zmq.POLLOUT)
    return push


@pytest.mark.parametrize("kind", [zmq.PULL, zmq.PUSH, zmq.ROUTER, zmq.DEALER])
def test_the_options_are_what_the_table_says(make: Make, kind: int) -> None:
    made = make(kind)
    assert {option: made.getsockopt(option) for option in sockets.OPTIONS} == sockets.OPTIONS


def test_the_table_says_what_the_measurements_ask_for() -> None:
    """One line a trap: a changed value has to be changed here too, with its reason."""
    assert sockets.OPTIONS == {
        zmq.LINGER: 0,
        zmq.IMMEDIATE: 1,
        zmq.SNDHWM: 64,
        zmq.RCVHWM: 64,
        zmq.SNDBUF: 32_768,
        zmq.RCVBUF: 32_768,
        zmq.MAXMSGSIZE: 1_048_576,
        zmq.BACKLOG: 1024,
        zmq.RECONNECT_IVL: 20,
        zmq.RECONNECT_IVL_MAX: 500,
        zmq.CONNECT_TIMEOUT: 1000,
        zmq.HANDSHAKE_IVL: 1500,
        zmq.HEARTBEAT_IVL: 10_000,
        zmq.HEARTBEAT_TIMEOUT: 30_000,
        zmq.HEARTBEAT_TTL: 30_000,
        zmq.TCP_MAXRT: 1_500,
        zmq.ZAP_ENFORCE_DOMAIN: 1,
    }
    assert sockets.ROUTER_OPTIONS == {zmq.ROUTER_MANDATORY: 1, zmq.ROUTER_HANDOVER: 1}


def test_a_router_tells_that_nobody_is_there(make: Make) -> None:
    """ROUTER_MANDATORY: without it the answer would vanish."""
    router = make(zmq.ROUTER)
    bind(router, LOOPBACK)
    with pytest.raises(zmq.ZMQError, match="Host unreachable"):
        router.send_multipart([b"nobody", b"answer"], zmq.NOBLOCK)


def test_a_second_link_of_the_same_name_takes_over_a_router(make: Make) -> None:
    """ROUTER_HANDOVER: without it a half-open link locks its successor out."""
    router = make(zmq.ROUTER)
    endpoint = bind(router, LOOPBACK)
    for word in (b"first", b"second"):
        dealer = make(zmq.DEALER)
        dealer.setsockopt(zmq.ROUTING_ID, b"same")
        dealer.connect(endpoint)
        assert dealer.poll(5000, zmq.POLLOUT)
        dealer.send(word)
        assert router.poll(5000)
        assert router.recv_multipart() == [b"same", word]


def test_two_senders_of_the_same_name_both_reach_a_pull(make: Make) -> None:
    pull = make(zmq.PULL)
    endpoint = bind(pull, LOOPBACK)
    for word in (b"first", b"second"):
        push = make(zmq.PUSH)
        push.setsockopt(zmq.ROUTING_ID, b"same")
        push.connect(endpoint)
        assert push.poll(5000, zmq.POLLOUT)
        push.send(word)
        assert pull.poll(5000)
        assert pull.recv() == word


def test_nothing_is_taken_for_a_peer_that_is_not_there(make: Make) -> None:
    """IMMEDIATE: without it, hundreds of stale messages greet a peer that comes back."""
    nobody = listen()
    endpoint = endpoint_of(nobody)
    nobody.close()
    push = make(zmq.PUSH)
    push.connect(endpoint)
    assert accepted(push, b"stale", 10) == 0


def test_nothing_is_taken_for_a_peer_that_accepts_and_never_speaks(make: Make) -> None:
    with listen() as silent:
        push = make(zmq.PUSH)
        push.connect(endpoint_of(silent))
        line, _ = silent.accept()
        with line:
            assert line.recv(10)
            assert accepted(push, b"early", 10) == 0


def test_a_peer_that_does_not_read_shows_after_some_hundred_messages(make: Make) -> None:
    """HWM and kernel buffers: with the defaults, tens of thousands would be taken."""
    pull = make(zmq.PULL)
    push = connected(make, bind(pull, LOOPBACK))
    taken = 0
    for _ in range(50):
        taken += accepted(push, b"x" * 1000, 5000)
        push.poll(2, zmq.POLLOUT)
    assert 128 <= taken <= 1000


def test_closing_with_an_unsent_message_does_not_hang() -> None:
    context: zmq.Context[Socket] = zmq.Context()
    pull, push = sockets.make(context, zmq.PULL), sockets.make(context, zmq.PUSH)
    push.connect(bind(pull, LOOPBACK))
    assert push.poll(5000, zmq.POLLOUT)
    assert accepted(push, b"x" * 1000, 5000) < 5000
    before_s = time.monotonic()
    push.close()
    pull.close()
    context.term()
    assert time.monotonic() - before_s < 2.0


def test_an_oversize_frame_costs_itself_and_no_later_one(make: Make) -> None:
    pull = make(zmq.PULL)
    push = connected(make, bind(pull, LOOPBACK))
    push.send(b"x" * (sockets.OPTIONS[zmq.MAXMSGSIZE] + 1))
    heard: list[bytes] = []
    deadline = time.monotonic() + 5.0
    while len(heard) < 3 and time.monotonic() < deadline:
        accepted(push, b"small", 1)
        if pull.poll(20):
            heard.append(pull.recv())
    assert heard == [b"small"] * 3


def test_a_listener_keeps_its_place_from_one_server_to_the_next(make: Make) -> None:
    """A peer that restarts is found where it was, by neighbours that knocked in between."""
    listener = listen()
    endpoint = endpoint_of(listener)
    push = make(zmq.PUSH)
    push.connect(endpoint)
    assert accepted(push, b"early", 1) == 0
    for word in (b"first", b"second"):
        pull = make(zmq.PULL)
        assert bind(pull, endpoint, listener.dup()) == endpoint
        assert push.poll(5000, zmq.POLLOUT)
        push.send(word)
        assert pull.poll(5000)
        assert pull.recv() == word
        pull.close()
        deadline = time.monotonic() + 5.0
        while push.poll(0, zmq.POLLOUT):
            assert time.monotonic() < deadline
    listener.close()


def has_ipv6() -> bool:
    """Return whether this machine has a loopback address of version 6; containers may not."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


NO_IPV6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


@pytest.mark.parametrize("address", ["127.0.0.1", pytest.param("::1", marks=NO_IPV6)])
def test_a_listener_names_its_endpoint(address: str, make: Make) -> None:
    with listen(address) as listener:
        endpoint = endpoint_of(listener)
        check_numeric(endpoint)
        pull = make(zmq.PULL)
        assert bind(pull, endpoint, listener.dup()) == endpoint


def test_a_port_that_is_taken_is_an_error_that_says_so(make: Make) -> None:
    with listen() as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PeercellError, match=f"cannot listen at 127.0.0.1 port {port}"):
            listen(port=port)
        with pytest.raises(PeercellError, match="cannot listen at tcp"):
            bind(make(zmq.PULL), endpoint_of(listener))


@pytest.mark.parametrize("endpoint", ["tcp://localhost:5555", "tcp://mg1.example:1", "tcp://:1"])
def test_a_host_name_never_reaches_zeromq(endpoint: str) -> None:
    with pytest.raises(PeercellError, match="no numeric endpoint"):
        check_numeric(endpoint)


@pytest.mark.parametrize(
    "endpoint", ["tcp://127.0.0.1:5555", "tcp://[::1]:5555", "tcp://0.0.0.0:*", "ipc:///tmp/x"]
)
def test_a_numeric_endpoint_passes(endpoint: str) -> None:
    check_numeric(endpoint)


def test_a_listener_has_the_small_buffers_that_its_links_inherit() -> None:
    with listen() as listener:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            # Linux doubles what is asked for.
            assert listener.getsockopt(socket.SOL_SOCKET, option) <= 2 * sockets.BUFFER_BYTES


def test_segments_of_a_link_are_well_below_its_buffers() -> None:
    with listen() as listener, socket.create_connection(listener.getsockname()) as knocking:
        there, _ = listener.accept()
        with there:
            for end in (knocking, there):
                segment = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
                assert segment <= sockets.SEGMENT_BYTES_MAX < sockets.BUFFER_BYTES / 4
