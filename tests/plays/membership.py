"""Members on the stage: `a#2.1` is the record of a, second life, first in it."""

from collections.abc import Sequence

import numpy as np
from tests.agents.network_for_tests import identity
from tests.plays.stage import Stage, number

from peercell.agents.liveness import LivenessSettings
from peercell.agents.membership import Member, MembershipSettings
from peercell.agents.membership_messages import (
    Leave,
    PeerAlive,
    PeerReturned,
    PeerSuspected,
    Probe,
    ProbeAnswer,
    ProbeRequest,
    RecordConflict,
    RecordLearned,
    RecordsWanted,
    RosterHash,
    RosterPage,
    Rumour,
)
from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    Commanded,
    Event,
    PeerDown,
    PeerUp,
    Record,
    Role,
    Send,
    Started,
)
from peercell.agents.roster import record_of
from peercell.agents.signing import SignedRecord


class Word(Message, frozen=True):
    """What the roles behind the members say to their partners once."""


class Heard(Message, frozen=True):
    """Fact: what the role behind a member was told of another peer."""

    what: str


class Partner:
    """Says a word to its partners when it starts, and records what it is told of peers."""

    def __init__(self, partners: tuple[str, ...]) -> None:
        self.partners = partners

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        del now_s
        match event:
            case Started():
                return [Send(peer, Word()) for peer in self.partners]
            case PeerUp(peer=peer, incarnation=incarnation):
                return [Record(Heard(f"{peer} is up, life {incarnation}"))]
            case PeerDown(peer=peer):
                return [Record(Heard(f"{peer} is down"))]
            case _:
                return []


class Membership:
    """Members whose roles talk with the partners that the play names, and with no others."""

    def __init__(self) -> None:
        self.partners: dict[str, tuple[str, ...]] = {}
        self.seeds: tuple[str, ...] = ()
        self.lives: dict[str, int] = {}
        self.hides_gossip = False

    def role(self, name: str) -> Role:
        """See Cast.role."""
        life = self.lives[name] = self.lives.get(name, 0) + 1
        settings = MembershipSettings(
            seeds=tuple(seed for seed in self.seeds if seed != name), liveness=LivenessSettings()
        )
        chance = np.random.default_rng([life, *name.encode()])
        role = Partner(self.partners.get(name, ()))
        return Member(role, identity(name, life), (), chance, settings)

    def text(self, thing: Message) -> str:
        """See Cast.text."""
        gossip = "" if self.hides_gossip else self._gossip(thing)
        return gossip or self._probing(thing) or self._fact(thing)

    def _gossip(self, thing: Message) -> str:
        match thing:
            case Rumour(records=records):
                return f"rumour {' '.join(map(_record, records))}"
            case RosterHash():
                return "do you know what I know?"
            case RosterPage(ages=ages):
                known = " ".join(f"{age.peer}#{age.incarnation}.{age.serial}" for age in ages)
                return f"I know {known}"
            case RecordsWanted(peers=peers):
                return f"tell me of {' '.join(peers)}"
            case Word():
                return "a word"
            case _:
                return ""

    def _probing(self, thing: Message) -> str:
        match thing:
            case Probe():
                return "are you there?"
            case ProbeAnswer():
                return "I am here"
            case ProbeRequest(peer=peer):
                return f"can you hear {peer}?"
            case PeerAlive(peer=peer):
                return f"{peer} is alive"
            case _:
                return ""

    def _fact(self, thing: Message) -> str:
        match thing:
            case RecordLearned(signed=signed):
                record = record_of(signed)
                return f"learns {_record(signed)}{' has left' if record.left else ''}"
            case PeerSuspected(peer=peer, silence_s=silence_s):
                return f"suspects {peer}, silent for {number(silence_s)} s"
            case PeerReturned(peer=peer, silence_s=silence_s):
                return f"hears {peer} again after {number(silence_s)} s"
            case RecordConflict(peer=peer):
                return f"two records of {peer}"
            case Heard(what=what):
                return f"tells its role: {what}"
            case _:
                return ""

    def do(self, stage: Stage, verb: str, words: Sequence[str]) -> list[str]:
        """See Cast.do: `partners a b c` (a talks with b and c), `seed a`, `leave a`."""
        match verb, words:
            case "hide", ["gossip"]:
                self.hides_gossip = True
            case "partners", [name, *others]:
                self.partners[name] = tuple(others)
            case "seed", seeds:
                self.seeds = tuple(seeds)
            case "leave", [name]:
                return stage.give(name, Commanded(1, Leave()))
            case _:
                raise KeyError(verb)
        return []


def _record(signed: SignedRecord) -> str:
    record = record_of(signed)
    return f"{record.peer}#{record.incarnation}.{record.serial}"
