"""A peer in simulation: a Mesa agent that holds a role, and all that its host would hold for it."""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

from mesa import Agent, Model
from msgspec import Struct

from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Record, Remember, Role, Send
from peercell.broker.faults.kinds import Failpoint, Memory
from peercell.broker.gate import Gate
from peercell.broker.security.caller import Caller
from peercell.broker.simulated_time import Deed, Delivery
from peercell.broker.wire import Codec, Drop, Incoming

# What waits for a peer that stands still: what its neighbours' outboxes and its socket would hold.
INBOX_MAX = 4096
# s; a slow peer stands still for a part of each.
BEAT_S = 0.1


AROUND = {
    Remember: (Failpoint.BEFORE_SAVE, Failpoint.AFTER_SAVE),
    Record: (Failpoint.BEFORE_RECORD, Failpoint.AFTER_RECORD),
    Send: (Failpoint.BEFORE_SEND, Failpoint.AFTER_SEND),
}
"""The points before and after what a role asks for."""


def up_to(point: Failpoint, actions: Sequence[Action]) -> tuple[Sequence[Action], bool]:
    """Return the actions that are done up to a point, and whether it is among them."""
    for place, action in enumerate(actions):
        before, after = AROUND.get(type(action), (None, None))
        if point in {before, after}:
            return actions[: place + (point is after)], True
    return actions, False


class Peer(Agent):
    """One peer, running or not.

    Attributes
    ----------
    name : id
    turn : its place in what happens to all at one time, from 0
    make : makes its role anew; None where nobody can
    role : what thinks in this life; None while it is down
    role_name : which of the roles that is, as an operator would admit it; "" where nobody has said
    incarnation : of this life, higher than that of all earlier ones that it remembers
    gate : what lets messages of this life through
    lines : to each other peer that it has spoken to in this life
    forged : messages of this life in another name to one peer
    kinds : of all that it has ever said, where it is known which role it is
    timers : that are set, each with when it goes off
    ahead_s, drift : of its clock: s, and s more each s
    paused, share : whether it stands still, and which share of its time it gets
    inbox : what waits while it stands still; None where it never does
    failpoint : where it ends, s after which it starts again, and what it then still knows
    disk_full : it can save nothing, so it cannot start
    memory : what is on its disk for its next life
    forgot : whether it has ever lost that, or got an older one in its place
    unsaved : what is to be there and is not, as there was no room; nothing may bind it before
    """

    def __init__(self, model: Model, name: str, turn: int) -> None:
        # What each message needs comes first, and so lies together: the peers of a large cell fit
        # into no cache, and its time goes by fetching them.
        self.role: Role | None = None
        self.gate = Gate(_NOTHING)
        self.inbox: deque[Deed] | None = None
        self.key = name.encode()
        self.ahead_s = 0.0
        self.drift = 0.0
        self.failpoint: tuple[Failpoint, float, Memory] | None = None
        self.unsaved = _ALL_SAVED
        self.timers: dict[str, Alarm] = {}
        self.lines: dict[str, Line] = {}
        self.name = name
        self.turn = turn
        self.incarnation = 0
        self.role_name = ""
        self.kinds: set[str] = set()
        # Not by `Agent.__init__`: it counts in a table of the class that keeps every model alive.
        self.model = model
        self.unique_id = 0
        self.pos = None
        self.make: Callable[[], Role] | None = None
        self.forged: dict[tuple[str, str], int] = {}
        self.paused = False
        self.share = 1.0
        self.disk_full = False
        self.memory: dict[str, bytes] = {}
        self.forgot = False
        self._memory_before: dict[str, bytes] = {}
        self._refused_before: Counter[Drop] = Counter()

    def begin(self, role: Role, codec: Codec, now_s: float) -> None:
        """Begin a life; runs are numbered as by the hosts of processes."""
        self.role = role
        self.incarnation = max(int(1000 * self.clock_s(now_s)), self.incarnation + 1)
        self.gate = Gate(codec)

    def end(self) -> None:
        """End a life, if it lives: what was said, heard and set in it is gone."""
        if self.role is None:
            return
        self.role = None
        self.model.lives[self.turn] += 1
        self._refused_before.update(self.gate.refused)
        self.gate = Gate(_NOTHING)
        self.lines = {}
        self.forged = {}
        self.timers = {}
        self.unsaved = _ALL_SAVED
        self.paused, self.share, self.failpoint = False, 1.0, None

    def remember(self, name: str, what: bytes) -> None:
        """Keep something for the next life, as soon as there is room."""
        self.unsaved = {**self.unsaved, name: what}
        self.save()

    def save(self) -> bool:
        """Return whether all that it is to remember is on its disk, after having tried again."""
        if not self.disk_full:
            self.memory.update(self.unsaved)
            self.unsaved = _ALL_SAVED
        return not self.unsaved

    def withholds(self, message: Message) -> bool:
        """Return whether it must not say something, which is counted, as it cannot save."""
        withheld = message.binds and not self.save()
        self._refused_before[Drop.UNSAVED] += withheld
        return withheld

    def back_up(self) -> None:
        """Keep a copy of its disk, for a life that is to begin with that."""
        self._memory_before = dict(self.memory)

    def forget(self, state: Memory) -> None:
        """Let its next life know less of the earlier ones."""
        self.forgot |= state is not Memory.KEPT
        match state:
            case Memory.LOST:
                self.incarnation = 0
                self.memory = {}
            case Memory.OLD:
                self.incarnation = min(self.incarnation, 1)
                self.memory = dict(self._memory_before)
            case Memory.KEPT:
                pass

    def arm(self, point: Failpoint, restart_after_s: float, state: Memory = Memory.KEPT) -> None:
        """Let it end when it comes to a point of its work, if it runs and can be made again."""
        if self.runs and self.make is not None:
            self.failpoint = (point, restart_after_s, state)

    def clock_s(self, now_s: float) -> float:
        """Return what its clock says at a time."""
        return now_s + self.ahead_s + self.drift * now_s

    def wakes_s(self, now_s: float) -> float:
        """Return when it goes on: now while it runs, and never by itself while it is paused."""
        if self.paused:
            return float("inf")
        beat_s = now_s % BEAT_S
        return now_s if beat_s < self.share * BEAT_S else now_s - beat_s + BEAT_S

    @property
    def life(self) -> int:
        """Number of its lives that have ended."""
        ended: int = self.model.lives[self.turn]
        return ended

    @property
    def runs(self) -> bool:
        """Whether it is up."""
        return self.role is not None

    @property
    def is_crowded(self) -> bool:
        """Whether more waits for it than may: messages, and besides a few timers and commands."""
        return self.inbox is not None and len(self.inbox) > 2 * INBOX_MAX

    @property
    def refused(self) -> Counter[Drop]:
        """Messages that its gates turned away, by reason."""
        return self._refused_before + self.gate.refused


class Line(Struct, gc=False):
    """From one peer to another.

    Parameters
    ----------
    turn : of the other
    said : messages up to now
    """

    turn: int
    said: int = 0


class Alarm(Delivery, gc=False):
    """A timer that goes off in its peer's turn, if that has not set or cancelled it since.

    Parameters
    ----------
    timer : name
    """

    timer: str


class Arrival(Delivery, gc=False):
    """A message that comes to a peer, in its turn.

    Parameters
    ----------
    life : of its lives the one that may hear it
    envelope : with the message
    caller : who says it, where that is not who is named
    """

    life: int
    envelope: Incoming
    caller: Caller | None


_NOTHING = Codec()
_ALL_SAVED: Mapping[str, bytes] = {}
