"""The host in simulation: a Mesa model whose agents are the peers, on a virtual clock.

The same roles as in processes, the same encoding of messages, the same gate in front of each role,
the same faults. Equal roles, faults and seed give equal runs, bit for bit: `trace_hash` tells.
Time goes from event to event; Mesa's own step lets a second pass and collects what is asked for.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, assert_never

from mesa import DataCollector, Model
from msgspec import Raw, msgpack, structs

from peercell.agents.errors import PeercellError
from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    CancelTimer,
    Commanded,
    Event,
    Received,
    Record,
    Remember,
    Reply,
    Role,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.broker.accounts import Accounts
from peercell.broker.faults.fate import UNHURT, Parcel, spoilt
from peercell.broker.faults.kinds import Memory
from peercell.broker.faults.network import LinkFaults
from peercell.broker.faults.shim import Shim
from peercell.broker.outbound import LIFETIME_S
from peercell.broker.security.caller import Caller
from peercell.broker.simulated_peer import INBOX_MAX, Alarm, Arrival, Line, Peer, up_to
from peercell.broker.simulated_time import Call, Deed, SimulatedTime
from peercell.broker.simulated_words import Words, far_end
from peercell.broker.trace import Trace
from peercell.broker.wire import VERSION, Drop, Envelope, Incoming

M = TypeVar("M", bound=Message)
# s after which a peer that cannot save tries again to start.
NO_SPACE_S = 1.0


class Simulation(Model):
    """Runs roles by name until nothing is left to do, a time, or a condition.

    Parameters
    ----------
    network : what the network does to messages all the time
    seed : of its chance
    near : roles that stand beside all the others, as a meter does: messages from and to them arrive
        at once and always

    Attributes
    ----------
    sent, duplicated : messages that roles sent, and copies of them that the network made, or that a
        rogue said again or in the name of another
    applied, in_flight : messages that roles have heard, and that are under way
    sent_by_kind, bytes_by_kind : of what was sent
    facts : what roles recorded: (time, role, fact), oldest first
    replies, awaited : answers to commands, and what to tell of one that is still to come, by id
    shim : faults of links and words that are on
    lives : how many lives of each peer have ended, by its turn: who sends needs no more of it
    """

    def __init__(
        self,
        network: LinkFaults | None = None,
        seed: int = 0,
        near: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(rng=seed)
        network = network or LinkFaults()
        self.sent = self.duplicated = self.applied = self.in_flight = 0
        self.sent_by_kind: Counter[str] = Counter()
        self.bytes_by_kind: Counter[str] = Counter()
        self.facts: list[tuple[float, str, Message]] = []
        self.replies: dict[int, Message] = {}
        self.awaited: dict[int, Callable[[Message], None]] = {}
        self.lives: list[int] = []
        self.shim = Shim()
        for number, active in enumerate(network.active(seed)):
            self.shim.begin(f"network {number}", active)
        self.datacollector = DataCollector(
            {"now_s": "now_s", "sent": "sent", "applied": "applied", "in_flight": "in_flight"}
        )
        self._expiry = (-1.0, 0.0)
        self._time = SimulatedTime(deliver=self._deliver)
        self._steady_s, self._near = network.steady_s, near
        self._lost: Counter[Drop] = Counter()
        self._turns: dict[str, int] = {}
        self._peers: list[Peer] = []
        self._words = Words()
        self._trace = Trace()

    @property
    def now_s(self) -> float:
        """Virtual time, s."""
        return self._time.now_s

    def step(self) -> None:
        """Let a second pass, and collect: Mesa's way to go on."""
        until_s = self.now_s + 1.0
        self.run(until_s)
        self._time.now_s = until_s
        self.datacollector.collect(self)

    def start(self, name: str, role: Role, at_s: float = 0.0) -> None:
        """Run a role from a time on, in place of an earlier one of that name."""
        self.at(at_s, self._begin, self.peer(name), lambda: role)

    def enlist(
        self, name: str, make: Callable[[], Role], at_s: float = 0.0, role_name: str = ""
    ) -> None:
        """Run what `make` makes from a time on, and again whenever the peer is restarted."""
        peer = self.peer(name)
        peer.make, peer.role_name = make, role_name
        self.at(at_s, self._begin, peer, make)

    def restart(self, name: str, at_s: float) -> None:
        """Let a peer that was enlisted begin a new life at a time.

        Raises
        ------
        PeercellError : it was not.
        """
        peer = self.peer(name)
        if peer.make is None:
            raise PeercellError(f"{name} cannot be restarted", "nobody knows how it is made")
        self.at(at_s, self._begin, peer, peer.make)

    def crash(self, name: str, at_s: float, state: Memory = Memory.KEPT) -> None:
        """End a role at a time, with all that is under way to it; `state` is what it then knows."""
        self.at(at_s, self._end, self.peer(name))
        self.at(at_s, self.peer(name).forget, state)

    def pace(self, name: str, share: float = 1.0, *, paused: bool = False) -> None:
        """Let a peer have a share of its time from now on, or none."""
        peer = self.peer(name)
        peer.share, peer.paused = share, paused
        if peer.inbox is None:
            peer.inbox = deque()
        self._wake(peer)

    def command(self, name: str, request_id: int, request: Message, at_s: float) -> None:
        """Command a role at a time; its answer is found in `replies`."""
        self.give(name, Commanded(request_id, request), at_s)

    def give(self, name: str, event: Event, at_s: float) -> None:
        """Give a role an event at a time, as its host would."""
        self.at(at_s, self._meet, self.peer(name), event)

    def at(self, at_s: float, action: Callable[..., None], *given: Any) -> None:
        """Do something with what is given, at a time, before what comes to peers then."""
        self._time.at(at_s, action, *given)

    def run(self, until_s: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Run up to a time, or until a condition holds after an event; return whether it does."""
        return self._time.run(until_s, done)

    def peer(self, name: str) -> Peer:
        """Return a peer, also one that has not been started yet."""
        return self._peers[self._turn(name)]

    def role(self, name: str) -> Role:
        """Return the role that runs by a name; KeyError when none does."""
        role = self._peers[self._turns[name]].role
        if role is None:
            raise KeyError(name)
        return role

    def facts_of(self, kind: type[M]) -> list[tuple[float, str, M]]:
        """Return what the roles recorded of one kind: (time, role, fact), oldest first."""
        return [(at, name, fact) for at, name, fact in self.facts if isinstance(fact, kind)]

    @property
    def peers(self) -> tuple[Peer, ...]:
        """All peers that there are or were."""
        return tuple(self._peers)

    @property
    def kinds(self) -> Mapping[str, type[Message]]:
        """All messages that anybody has said, by the names of their kinds."""
        return self._words.kinds

    @property
    def dropped(self) -> Counter[Drop]:
        """Messages that are gone, by reason."""
        return sum((peer.refused for peer in self._peers), Counter(self._lost))

    @property
    def accounts(self) -> Accounts:
        """What became of all messages up to now."""
        return Accounts(
            sent=self.sent,
            duplicated=self.duplicated,
            applied=self.applied,
            dropped={str(reason): count for reason, count in sorted(self.dropped.items())},
            in_flight=self.in_flight,
        )

    @property
    def trace_hash(self) -> str:
        """Digest of all that happened: when, to whom, what it was told and what it did."""
        return self._trace.hexdigest()

    # Lives.

    def _turn(self, name: str) -> int:
        turn = self._turns.get(name)
        if turn is None:
            turn = self._turns[name] = len(self._peers)
            self._peers.append(Peer(self, name, turn))
            self.lives.append(0)
        return turn

    def _begin(self, peer: Peer, make: Callable[[], Role]) -> None:
        if peer.disk_full:
            self.at(self.now_s + NO_SPACE_S, self._begin, peer, make)
            return
        self._end(peer)
        if not peer.unique_id:
            peer.unique_id = len(self.agents) + 1
            self.register_agent(peer)
        peer.begin(make(), self._words, self.now_s)
        self._meet(peer, Started(dict(peer.memory)))

    def _end(self, peer: Peer) -> None:
        peer.end()
        # What waited comes to a peer that is not there any more, and is counted.
        held, peer.inbox = peer.inbox or (), None
        for deed in held:
            self._time.do(deed)

    # Events.

    def _meet(self, peer: Peer, event: Event) -> None:
        """Give a peer an event that is no message and no timer."""
        if not self._holds(peer, Call(peer.turn, self._meet, (peer, event))):
            self._happen(peer, event, _encode(event))

    def _deliver(self, delivery: Arrival | Alarm) -> None:
        peer = self._peers[delivery.turn]
        if isinstance(delivery, Arrival):
            self._arrive(peer, delivery)
        elif peer.timers.get(delivery.timer) is delivery and not self._holds(peer, delivery):
            del peer.timers[delivery.timer]
            self._happen(peer, TimerFired(delivery.timer), delivery.timer.encode())

    def _arrive(self, peer: Peer, arrival: Arrival) -> None:
        """Let a message reach a peer, if that still lives as when it was sent."""
        if peer.role is None or self.lives[peer.turn] != arrival.life:
            self.in_flight -= 1
            self._lost[Drop.DOWN] += 1
            return
        if self._holds(peer, arrival):
            return
        self.in_flight -= 1
        envelope = arrival.envelope
        message = peer.gate.admit(envelope, peer.clock_s(self.now_s), arrival.caller)
        if message is not None:
            self.applied += 1
            heard = f"{envelope.src} {envelope.incarnation} {envelope.seq}".encode()
            self._happen(peer, Received(envelope.src, message), heard)

    def _holds(self, peer: Peer, deed: Deed) -> bool:
        """Let something wait while a peer stands still; return whether it does."""
        inbox = peer.inbox
        if inbox is None:
            return False
        wakes_s = peer.wakes_s(self.now_s)
        if not inbox and wakes_s <= self.now_s:
            return False
        if len(inbox) >= INBOX_MAX and isinstance(deed, Arrival):
            self.in_flight -= 1
            self._lost[Drop.OUTBOX_FULL] += 1
            return True
        if not inbox and not peer.paused:
            self.at(wakes_s, self._wake, peer)
        inbox.append(deed)
        return True

    def _wake(self, peer: Peer) -> None:
        """Let all happen that has waited for a peer, if it goes on by now."""
        if peer.wakes_s(self.now_s) > self.now_s or peer.inbox is None:
            return
        held, peer.inbox = peer.inbox, None
        for deed in held:
            self._time.do(deed)
        if peer.share < 1.0 and peer.inbox is None:
            peer.inbox = deque()

    def _happen(self, peer: Peer, event: Event, what: bytes) -> None:
        role = peer.role
        if role is None:
            return
        self._trace.event(self.now_s, peer.key, what)
        actions = role.step(event, peer.clock_s(self.now_s))
        if peer.failpoint is not None:
            self._act_or_fail(peer, actions)
            return
        for action in actions:
            self._act(peer, action)

    # Actions.

    def _act_or_fail(self, peer: Peer, actions: Sequence[Action]) -> None:
        """Do what a role asks for up to the point where it is to end."""
        if peer.failpoint is None or peer.make is None:
            return
        point, restart_after_s, state = peer.failpoint
        done, ends = up_to(point, actions)
        for action in done:
            self._act(peer, action)
        if ends:
            self._end(peer)
            peer.forget(state)
            self.at(self.now_s + restart_after_s, self._begin, peer, peer.make)

    def _act(self, peer: Peer, action: Action) -> None:
        # First of all, and not as a case: these come by the dozen, and to match costs thrice.
        if isinstance(action, Send):
            if peer.unsaved and peer.withholds(action.message):
                self.sent += 1
                return
            self._send(peer, action.to, action.message)
            return
        self._trace.note(_encode(action))
        match action:
            case SetTimer(name=timer, after_s=after_s):
                alarm = peer.timers[timer] = Alarm(peer.turn, timer)
                self._time.put(self.now_s + after_s, alarm)
            case CancelTimer(name=timer):
                peer.timers.pop(timer, None)
            case Record(fact=fact):
                self.facts.append((self.now_s, peer.name, fact))
            case Remember(name=name, what=what):
                peer.remember(name, what)
            case Reply(request_id=request_id, answer=answer):
                self.replies[request_id] = answer
                if (tell := self.awaited.pop(request_id, None)) is not None:
                    tell(answer)
            case _:
                assert_never(action)

    def _send(self, peer: Peer, to: str, message: Message) -> None:
        line = peer.lines.get(to)
        if line is None:
            line = peer.lines[to] = Line(self._turn(to))
        number, line.said = line.said, line.said + 1
        now_s, shim, twist = self._time.now_s, self.shim, None
        if shim.has_words:
            twist = shim.twist(Parcel(peer.name, to, peer.incarnation, number), message)
            message = twist.message
        kind, body, raw = self._words.say(message)
        if peer.role_name:
            peer.kinds.add(kind)
        self.sent += 1
        self.sent_by_kind[kind] += 1
        self.bytes_by_kind[kind] += len(body)
        self._trace.note(to.encode())
        self._trace.note(body)
        fate, at_s = UNHURT, now_s
        if not self._near or (peer.name not in self._near and to not in self._near):
            at_s += self._steady_s
            if shim:
                parcel = Parcel(peer.name, to, peer.incarnation, number)
                fate = shim.fate(parcel, now_s, len(body))
                if fate.lost:
                    self._lost[Drop.FAULT] += 1
                    return
        # One number for the thousands of messages that may be said at one time.
        if self._expiry[0] != (sent_s := peer.clock_s(now_s)):
            self._expiry = sent_s, sent_s + LIFETIME_S
        said = Raw(spoilt(body)) if fate.corrupted else raw
        envelope = Envelope(
            VERSION, kind, peer.name, to, peer.incarnation, number + 1, self._expiry[1], said
        )
        delays_s = fate.delays_s if twist is None else (*fate.delays_s, *twist.again_s)
        self.duplicated += len(delays_s) - 1
        for delay_s in delays_s:
            self._post(line.turn, envelope, at_s + delay_s)
        for name in () if twist is None else twist.names:
            self.duplicated += 1
            seq = peer.forged[name, to] = peer.forged.get((name, to), 0) + 1
            forged = structs.replace(envelope, src=name, seq=seq, body=raw)
            self._post(line.turn, forged, at_s, far_end(peer.name))

    def _post(self, turn: int, said: Incoming, at_s: float, by: Caller | None = None) -> None:
        self.in_flight += 1
        self._time.put(at_s, Arrival(turn, self.lives[turn], said, by))


_encode = msgpack.Encoder().encode
