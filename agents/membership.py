"""A peer among others: a role, what it knows of the cell, and whom of its neighbours it hears.

`Member` wraps a role and is a role itself, so that every host can run it. The wrapped role is told
`PeerUp` and `PeerDown` about those it talks with; of gossip and probes it hears nothing.
"""

from collections.abc import Sequence
from typing import get_args

import numpy as np
from msgspec import Struct, structs

from peercell.agents.admission import Charter, Members
from peercell.agents.gossip import GossipSettings, Spreader
from peercell.agents.liveness import LivenessSettings, Neighbours
from peercell.agents.membership_messages import (
    Admit,
    Admitted,
    ChangeKeys,
    KeysChanging,
    KeyStep,
    KnownPeer,
    Leave,
    MembershipMessage,
    MembershipRequest,
    PeerAlive,
    PeerReturned,
    PeerSuspected,
    Probe,
    ProbeAnswer,
    ProbeRequest,
    RecordConflict,
    RecordsWanted,
    RosterAnswer,
    RosterHash,
    RosterPage,
    RosterQuery,
    Rumour,
)
from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    Commanded,
    Event,
    PeerDown,
    PeerUp,
    Received,
    Record,
    Reply,
    Role,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.agents.roster import PeerRecord, Roster, signed
from peercell.agents.signing import Sign, SignedRecord, Verify

CHECK_TIMER = "membership/check"
LEASE_TIMER = "membership/lease"
KEY_TIMERS = {step: f"membership/keys-{step.name.lower()}" for step in KeyStep}
ANSWER_PEERS = 64
FAVOURS_MAX = 64

_OWN = frozenset(get_args(MembershipMessage))


class Speaker(Struct, frozen=True):
    """Who a peer is, and how it proves it.

    Parameters
    ----------
    peer, role, incarnation, endpoint, signing_key, curve_key : as in `PeerRecord`
    sign : signs bytes with the signing key
    verify : checks the signatures of others
    """

    peer: str
    role: str
    incarnation: int
    endpoint: str
    signing_key: bytes
    sign: Sign
    verify: Verify
    curve_key: bytes = b""


class MembershipSettings(Struct, frozen=True):
    """How a peer finds and watches others.

    Parameters
    ----------
    seeds : peers to turn to first; their endpoints are the host's business
    observer : peer that gets a copy of every fact the role records; "" for none
    charter : who belongs to the cell
    key_spread_s : s within which new keys are taken that the operator has named, by chance
    old_keys_s : s during which old keys hold after others have been told of new ones
    lease_s : s after which a record is forgotten; renewed at half of it
    gossip, liveness : their parts
    """

    seeds: tuple[str, ...] = ()
    observer: str = ""
    charter: Charter = Charter()
    key_spread_s: float = 10.0
    old_keys_s: float = 30.0
    lease_s: float = 86_400.0
    gossip: GossipSettings = GossipSettings()
    liveness: LivenessSettings = LivenessSettings()


class Member:
    """A role that finds others and is found.

    Parameters
    ----------
    role : what is wrapped
    speaker : the peer
    known : records from an earlier run
    generator : seeded
    settings : how to find and watch others
    """

    def __init__(
        self,
        role: Role,
        speaker: Speaker,
        known: Sequence[SignedRecord],
        generator: np.random.Generator,
        settings: MembershipSettings,
    ) -> None:
        self._role = role
        self._speaker = speaker
        self._known = known
        self._generator = generator
        self._settings = settings
        self._roster = Roster(speaker.verify, Members(settings.charter, speaker.verify))
        self._spreader = Spreader(
            speaker.peer, self._roster, settings.seeds, generator, settings.gossip
        )
        self._neighbours = Neighbours(settings.liveness)
        self._acquainted: set[str] = set()
        self._up: dict[str, int] = {}
        self._favours: dict[int, tuple[str, str]] = {}
        self._serial = 0
        self._nonce = 0
        self._check_s: float | None = None

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        match event:
            case Received():
                return self._receive(event, now_s)
            case TimerFired(name=name) if name.startswith("membership/"):
                return self._fire(name, now_s)
            case Commanded(request=Leave() | Admit() | ChangeKeys() | RosterQuery() as request):
                return self._obey(event.request_id, request, now_s)
            case Started():
                return self._start(now_s) + self._tell(event, now_s)
            case _:
                return self._tell(event, now_s)

    def _obey(self, request_id: int, request: MembershipRequest, now_s: float) -> list[Action]:
        """Return what an operator, or the host, has asked for."""
        match request:
            case Leave():
                return self._leave(now_s)
            case Admit():
                return self._admit(request, request_id, now_s)
            case ChangeKeys():
                return self._change_keys(request, now_s)
            case RosterQuery(first=first):
                return [Reply(request_id, self._page(first, now_s))]

    def _receive(self, event: Received, now_s: float) -> list[Action]:
        """Note that the sender lives, and pass on what is for the role."""
        actions = self._note_life(event.sender, now_s)
        if type(event.message) in _OWN:
            return actions + self._hear(event.sender, event.message, now_s)
        return actions + self._meet(event.sender, now_s) + self._tell(event, now_s)

    def _start(self, now_s: float) -> list[Action]:
        """Return what a peer does first: remember, say who it is, ask what is new."""
        actions: list[Action] = []
        for record in self._known:
            actions += self._learn(record, now_s)
        return [*actions, *self._renew(now_s), *self._spreader.start(now_s)]

    def _renew(self, now_s: float, *, left: bool = False) -> list[Action]:
        """Return the actions that make the own record newer."""
        self._serial += 1
        me = self._speaker
        record = PeerRecord(
            me.peer,
            me.role,
            me.incarnation,
            self._serial,
            me.endpoint,
            me.signing_key,
            now_s + self._settings.lease_s,
            left,
            me.curve_key,
        )
        renewal = SetTimer(LEASE_TIMER, self._settings.lease_s / 2)
        return [*self._learn(signed(record, me.sign), now_s), renewal]

    def _leave(self, now_s: float) -> list[Action]:
        """Return the farewell: neighbours and some others hear that this is no failure."""
        actions = self._renew(now_s, left=True)
        farewell = self._spreader.rumour([self._speaker.peer])
        told = {*self._neighbours, *self._spreader.contacts()}
        return actions + [Send(peer, farewell) for peer in sorted(told)]

    def _learn(self, arrived: SignedRecord, now_s: float) -> list[Action]:
        """Take a record in, and tell the role when it is about somebody it talks with."""
        record, actions = self._spreader.learn(arrived, now_s)
        if record is None:
            return actions
        peer, me = record.peer, self._speaker
        if peer == me.peer:
            if record.incarnation > me.incarnation:
                actions.append(Record(RecordConflict(peer, record.incarnation)))
        elif peer in self._acquainted:
            if record.left:
                self._neighbours.forget(peer)
                actions += self._fall(peer, now_s)
            else:
                self._neighbours.watch(peer, now_s)
                actions += self._rise(peer, now_s) + self._plan_check(now_s)
        return actions

    def _learn_admission(self, arrived: SignedRecord, now_s: float) -> list[Action]:
        """Take an admission in; a peer that it leaves no record is down for the role at once."""
        admission, actions = self._spreader.admit(arrived, now_s)
        if admission is None:
            return []
        if admission.peer == self._speaker.peer and not admission.revoked:
            actions += self._renew(now_s)
            if admission.keys[0].curve != self._speaker.curve_key:
                # Not all peers at once: each has to be dialled anew by all others.
                wait_s = float(self._generator.uniform(0.0, self._settings.key_spread_s))
                return [*actions, SetTimer(KEY_TIMERS[KeyStep.TAKE], wait_s)]
            return actions
        if admission.peer not in self._roster:
            self._neighbours.forget(admission.peer)
            actions += self._fall(admission.peer, now_s)
        return actions

    def _admit(self, request: Admit, request_id: int, now_s: float) -> list[Action]:
        """Return what an operator's admissions lead to, and the answer."""
        admissions = request.admissions
        actions = [act for each in admissions for act in self._learn_admission(each, now_s)]
        taken = sum(map(self._roster.members.knows, admissions))
        return [*actions, Reply(request_id, Admitted(taken, len(admissions) - taken))]

    def _change_keys(self, told: ChangeKeys, now_s: float) -> list[Action]:
        """Return what tells the others of new keys; those it talks with hear it before anybody."""
        self._speaker = structs.replace(self._speaker, **structs.asdict(told))
        actions = self._renew(now_s)
        news = self._spreader.rumour([self._speaker.peer])
        actions += [Send(peer, news) for peer in sorted(self._neighbours)]
        return [*actions, SetTimer(KEY_TIMERS[KeyStep.SPEAK], self._settings.gossip.repair_s)]

    def _change_step(self, step: KeyStep) -> list[Action]:
        """Return a step of a change of keys, of which the host does its part."""
        told = Record(KeysChanging(self._speaker.peer, step))
        last = SetTimer(KEY_TIMERS[KeyStep.END], self._settings.old_keys_s)
        return [told, last] if step is KeyStep.SPEAK else [told]

    def _hear(self, sender: str, message: Message, now_s: float) -> list[Action]:
        """Return the answer to a message of the membership itself."""
        match message:
            case Rumour(records=records, admissions=admissions):
                actions: list[Action] = []
                for admission in admissions:
                    actions += self._learn_admission(admission, now_s)
                for record in records:
                    actions += self._learn(record, now_s)
                return actions
            case RosterHash() | RosterPage() | RecordsWanted():
                return self._spreader.hear(sender, message)
            case Probe(nonce=nonce):
                return [Send(sender, ProbeAnswer(nonce))]
            case ProbeAnswer(nonce=nonce):
                asker, peer = self._favours.pop(nonce, ("", ""))
                return [Send(asker, PeerAlive(peer))] if peer == sender else []
            case ProbeRequest(peer=peer):
                return self._do_favour(sender, peer)
            case PeerAlive(peer=peer):
                self._neighbours.vouched(peer)
        return []

    def _do_favour(self, asker: str, peer: str) -> list[Action]:
        """Return a probe on behalf of another peer; the oldest of 64 open ones is forgotten."""
        self._nonce += 1
        self._favours[self._nonce] = (asker, peer)
        if len(self._favours) > FAVOURS_MAX:
            del self._favours[next(iter(self._favours))]
        return [Send(peer, Probe(self._nonce))]

    def _fire(self, timer: str, now_s: float) -> list[Action]:
        match timer:
            case "membership/check":
                return self._check(now_s)
            case "membership/lease":
                return self._renew(now_s)
            case _ if timer in KEY_TIMERS.values():
                return self._change_step(next(s for s in KeyStep if KEY_TIMERS[s] == timer))
            case _:
                return self._spreader.fire(timer, now_s)

    def _check(self, now_s: float) -> list[Action]:
        """Look who is silent: probe, ask helpers, and tell the role who is suspected."""
        planned_s = now_s if self._check_s is None else self._check_s
        self._check_s = None
        verdict = self._neighbours.check(now_s, now_s - planned_s)
        actions: list[Action] = []
        for peer in verdict.probe:
            self._nonce += 1
            actions.append(Send(peer, Probe(self._nonce)))
        for peer in verdict.ask:
            actions += [Send(helper, ProbeRequest(peer)) for helper in self._helpers(peer)]
        for peer in verdict.suspect:
            silence_s = self._neighbours.silence_s(peer, now_s)
            actions.append(Record(PeerSuspected(peer, silence_s)))
            actions += self._fall(peer, now_s)
        return actions + self._plan_check(now_s)

    def _helpers(self, about: str) -> list[str]:
        """Return some neighbours that are themselves heard."""
        able = [
            peer
            for peer in self._neighbours
            if peer != about and not self._neighbours.suspected(peer)
        ]
        count = min(self._settings.liveness.helpers, len(able))
        drawn = self._generator.permutation(len(able))[:count]
        return [able[int(index)] for index in drawn]

    def _plan_check(self, now_s: float) -> list[Action]:
        """Return the timer of the next check, if it has to be set or moved up."""
        due_s = self._neighbours.due_s()
        if due_s is None or (self._check_s is not None and self._check_s <= due_s):
            return []
        self._check_s = max(due_s, now_s)
        return [SetTimer(CHECK_TIMER, self._check_s - now_s)]

    def _note_life(self, sender: str, now_s: float) -> list[Action]:
        """Note that a peer was heard; tell the role when it had been given up."""
        silence_s = self._neighbours.heard(sender, now_s)
        if silence_s is None:
            return []
        returned = Record(PeerReturned(sender, silence_s))
        return [returned, *self._rise(sender, now_s), *self._plan_check(now_s)]

    def _meet(self, peer: str, now_s: float) -> list[Action]:
        """Begin to watch a peer that the role talks with, and introduce oneself."""
        if peer in self._acquainted or peer in (self._speaker.peer, self._settings.observer):
            return []
        self._acquainted.add(peer)
        self._neighbours.watch(peer, now_s)
        hello = Send(peer, self._spreader.rumour([self._speaker.peer]))
        return [hello, *self._rise(peer, now_s), *self._plan_check(now_s)]

    def _rise(self, peer: str, now_s: float) -> list[Action]:
        """Tell the role that a peer is up, once for each incarnation and return."""
        record = self._roster.get(peer)
        if record is None or record.left or self._up.get(peer, -1) >= record.incarnation:
            return []
        self._up[peer] = record.incarnation
        return self._tell(PeerUp(peer, record.incarnation), now_s)

    def _fall(self, peer: str, now_s: float) -> list[Action]:
        """Tell the role that a peer is down, if it was told that it is up."""
        incarnation = self._up.pop(peer, None)
        return [] if incarnation is None else self._tell(PeerDown(peer, incarnation), now_s)

    def _tell(self, event: Event, now_s: float) -> list[Action]:
        """Return what the role does, with introductions to new peers and copies to the observer."""
        actions: list[Action] = []
        for action in self._role.step(event, now_s):
            if isinstance(action, Send):
                actions += self._meet(action.to, now_s)
            elif isinstance(action, Record) and self._settings.observer:
                actions.append(Send(self._settings.observer, action.fact))
            actions.append(action)
        return actions

    def _page(self, first: str, now_s: float) -> RosterAnswer:
        """Return what is known of 64 peers, the first of them not before an id."""
        peers = [peer for peer in self._roster.peers() if peer >= first]
        known = tuple(
            KnownPeer(
                self._roster.signed(peer),
                self._neighbours.suspected(peer),
                self._neighbours.silence_s(peer, now_s) if peer in self._neighbours else -1.0,
            )
            for peer in peers[:ANSWER_PEERS]
        )
        return RosterAnswer(known, peers[ANSWER_PEERS] if len(peers) > ANSWER_PEERS else "")
