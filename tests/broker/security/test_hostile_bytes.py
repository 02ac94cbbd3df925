"""Mutated frames, by the thousand here and by the million with the slow tests: only refusals."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec import Raw
from tests.broker.security.callers_for_tests import House

from peercell.agents.grid_messages import SetPoints
from peercell.agents.grid_parts import SetPoint
from peercell.agents.membership_messages import MembershipMessage, Probe, RosterHash, Rumour
from peercell.agents.messages import Message
from peercell.agents.push_sum_messages import Sum
from peercell.agents.signing import SignedRecord
from peercell.agents.trading.messages import Confirmation, CurveQuote, Hello
from peercell.broker.gate import Gate
from peercell.broker.roles import CellMessage
from peercell.broker.wire import VERSION, Codec, Drop, Envelope

NOW_S = 1000.0
CODEC = Codec(CellMessage, MembershipMessage)
SAID: tuple[tuple[str, Message], ...] = (
    ("t", Hello(1, 2)),
    ("t", CurveQuote("cell0", 1, 2, 3, (0.25, 0.5), (0.25, 0.5), (0.001, 0.01))),
    ("t", Confirmation(1, 2, (1.0,), (0.0,), (0.3,), (0.4,))),
    ("t", Rumour((SignedRecord(b"x" * 200, b"y" * 64),))),
    ("p", RosterHash(2**52)),
    ("p", Probe(7)),
    ("v", Sum(1, 2, 3, b"0" * 64)),
)
ROLES = {"t": "trader", "p": "prosumer", "v": "voltage"}


def honest(seq: int) -> bytes:
    """Return a frame of several peers as a host would send it."""
    return CODEC.frame(
        [
            Envelope(
                VERSION,
                CODEC.names[type(message)],
                src,
                "b",
                1,
                seq * len(SAID) + at,
                NOW_S + 1,
                Raw(msgspec.msgpack.encode(message)),
            )
            for at, (src, message) in enumerate(SAID)
        ]
    )


def mutants(count: int, seed: int) -> Iterator[bytes]:
    """Yield frames with bits, bytes and pieces changed, doubled, cut out or cut off."""
    generator = np.random.default_rng(seed)
    originals = [honest(seq) for seq in range(64)]
    for block in range(0, count, 1000):
        dice = generator.integers(0, 2**32, size=(min(1000, count - block), 4)).tolist()
        for number, (how, first, second, value) in enumerate(dice):
            frame = bytearray(originals[number % len(originals)])
            at, to = sorted((first % len(frame), second % len(frame)))
            match how % 6:
                case 0:
                    frame[at] ^= 1 << value % 8
                case 1:
                    frame[at] = value % 256
                case 2:
                    del frame[at:to]
                case 3:
                    del frame[at:]
                case 4:
                    frame[at:at] = frame[at:to]
                case _:
                    frame[at:to] = value.to_bytes(4, "big")
            yield bytes(frame)


def size_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def bombard(count: int, seed: int) -> tuple[int, Counter[Drop]]:
    """Throw mutants at a gate that knows its senders; return what passed and what was refused."""
    house = House(ROLES, tuple(CODEC.kinds.values()), signed=frozenset({"Confirmation"}))
    house.burst = 1e12
    callers = {peer: house.caller(peer) for peer in ROLES}
    drops, refused, passed, shown = Counter[Drop](), Counter[Drop](), 0, 0
    for number, frame in enumerate(mutants(count, seed)):
        if number % 64 == 0:
            # Else all would end as numbers that were seen before.
            at_b = Gate(CODEC)
        for envelope in CODEC.envelopes(frame, drops):
            shown += 1
            caller = callers.get(envelope.src, callers["t"])
            passed += at_b.admit(envelope, NOW_S, caller) is not None
        house.noted.clear()
        refused.update(at_b.refused)
        at_b.refused.clear()
    assert passed + refused.total() == shown
    return passed, refused + drops


def test_mutated_frames_are_refused_and_counted() -> None:
    passed, refused = bombard(3_000, seed=1)
    assert passed > 0
    # Every check has had its turn.
    assert {
        Drop.BAD_FRAME,
        Drop.BAD_ENVELOPE,
        Drop.VERSION,
        Drop.SPOOFED,
        Drop.UNKNOWN_KIND,
        Drop.DUPLICATE,
        Drop.BAD_SIGNATURE,
        Drop.BAD_BODY,
    } <= set(refused)


@pytest.mark.slow
def test_a_million_mutated_frames_cost_no_memory() -> None:
    bombard(20_000, seed=2)
    before_bytes = size_bytes()
    for part in range(10):
        bombard(100_000, seed=10 + part)
    assert size_bytes() - before_bytes <= 5_000_000


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), 1e300])
def test_no_number_that_is_none_reaches_a_role(number: float) -> None:
    house = House(ROLES, tuple(CODEC.kinds.values()))
    at_b, caller = Gate(CODEC), house.caller("p")
    body = Raw(msgspec.msgpack.encode(SetPoints(1, (SetPoint("pv", number, 0.0),))))
    arrived = Envelope(VERSION, "SetPoints", "p", "b", 1, 1, NOW_S + 1, body)
    assert at_b.admit(arrived, NOW_S, caller) is None
    assert at_b.refused == {Drop.BAD_BODY: 1}


def test_nesting_ends_no_process() -> None:
    house = House(ROLES, tuple(CODEC.kinds.values()))
    at_b, caller, drops = Gate(CODEC), house.caller("t"), Counter[Drop]()
    deep = b"\x91" * 60_000 + b"\xc0"
    assert CODEC.envelopes(deep, drops) == []
    arrived = Envelope(VERSION, "Rumour", "t", "b", 1, 1, NOW_S + 1, Raw(deep))
    assert at_b.admit(arrived, NOW_S, caller) is None
    assert (dict(drops), dict(at_b.refused)) == ({Drop.BAD_FRAME: 1}, {Drop.BAD_BODY: 1})
