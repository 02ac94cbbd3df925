"""How a new record reaches everybody: told to a few at once, repaired by comparing now and then."""

import heapq
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from msgspec import Struct

from peercell.agents.admission import Admission
from peercell.agents.membership_messages import (
    AGES_PER_MESSAGE,
    RECORDS_PER_MESSAGE,
    AdmissionLearned,
    Gossip,
    RecordAge,
    RecordConflict,
    RecordLearned,
    RecordsWanted,
    RosterHash,
    RosterPage,
    Rumour,
)
from peercell.agents.protocol import Action, Record, Send, SetTimer
from peercell.agents.roster import PeerRecord, Roster
from peercell.agents.signing import Merged, SignedRecord

SPREAD_TIMER = "membership/spread"
REPAIR_TIMER = "membership/repair"


class GossipSettings(Struct, frozen=True):
    """How eagerly records are spread.

    Parameters
    ----------
    contacts : peers that one gossips with. With 100 peers, 8 get news to all within a second, 3
        within five; in messages both cost the same, since 3 leave more to repair
    spread_after_s : s, how long news are collected before they are told
    repair_s : s between comparisons with a random peer while there is news
    quiet_s : s between them when there has been none for `quiet_s`
    """

    contacts: int = 8
    spread_after_s: float = 0.1
    repair_s: float = 2.0
    quiet_s: float = 10.0


class Spreader:
    """The gossip of one peer about its roster.

    Parameters
    ----------
    me : own id
    roster : what is known; only `learn` adds to it
    seeds : peers to turn to while the roster is empty
    generator : seeded; decides with whom to compare
    settings : how eagerly
    """

    def __init__(
        self,
        me: str,
        roster: Roster,
        seeds: Sequence[str],
        generator: np.random.Generator,
        settings: GossipSettings,
    ) -> None:
        self._me = me
        self._roster = roster
        self._seeds = seeds
        self._generator = generator
        self._settings = settings
        self._untold: dict[str, None] = {}
        self._recent_s: dict[str, float] = {}
        self._news_s = 0.0
        self._contacts: list[str] = []
        self._contacts_of = -1

    def start(self, now_s: float) -> list[Action]:
        """Turn to the seeds, and begin to compare now and then."""
        self._news_s = now_s
        asked = RosterHash(self._roster.hash)
        own = self.rumour([self._me])
        told: list[Action] = [Send(seed, said) for seed in self._seeds for said in (own, asked)]
        return [*told, self._next_repair(now_s)]

    def learn(self, signed: SignedRecord, now_s: float) -> tuple[PeerRecord | None, list[Action]]:
        """Take a record in; return it if it is news, and what is to be done about it."""
        merged, record = self._roster.merge(signed, now_s)
        if record is not None and merged is Merged.CONFLICT:
            return None, [Record(RecordConflict(record.peer, record.incarnation))]
        if record is None or merged is not Merged.NEWS:
            return None, []
        return record, [Record(RecordLearned(signed)), *self._news_of(record.peer, now_s)]

    def admit(self, signed: SignedRecord, now_s: float) -> tuple[Admission | None, list[Action]]:
        """Take an admission in; return it if it is news, and what is to be done about it."""
        admission = self._roster.admit(signed, now_s)
        if admission is None:
            return None, []
        return admission, [Record(AdmissionLearned(signed)), *self._news_of(admission.peer, now_s)]

    def _news_of(self, peer: str, now_s: float) -> list[Action]:
        """Return what it takes to tell the others of a peer."""
        actions: list[Action] = []
        if now_s - self._news_s >= self._settings.quiet_s:
            self._news_s = now_s
            actions.append(self._next_repair(now_s))
        self._news_s = now_s
        if not self._untold:
            actions.append(SetTimer(SPREAD_TIMER, self._settings.spread_after_s))
        self._untold[peer] = None
        self._recent_s.pop(peer, None)
        self._recent_s[peer] = now_s
        return actions

    def rumour(self, peers: Sequence[str]) -> Rumour:
        """Return what is known of at most 16 peers, as a message."""
        roster, told = self._roster, peers[:RECORDS_PER_MESSAGE]
        return Rumour(
            tuple(roster.signed(peer) for peer in told if peer in roster),
            tuple(roster.members.signed(peer) for peer in told if roster.members.get(peer)),
        )

    def hear(self, sender: str, message: Gossip) -> list[Action]:
        """Return the answer to anything but a rumour, whose records go through `learn`."""
        match message:
            case RosterHash(hash=theirs):
                if theirs == self._roster.hash:
                    return []
                return [*self._news(sender), *self._pages(sender)]
            case RosterPage():
                return self._compare(sender, message)
            case RecordsWanted(peers=peers):
                return self._rumours(sender, [peer for peer in peers if self._known(peer)])
            case Rumour():
                return []

    def fire(self, timer: str, now_s: float) -> list[Action]:
        """Return what is to be said when a timer of this page runs out."""
        if timer == SPREAD_TIMER:
            return self._spread()
        self._roster.forget_expired(now_s)
        oldest_s = now_s - self._settings.quiet_s
        self._recent_s = {peer: s for peer, s in self._recent_s.items() if s > oldest_s}
        actions: list[Action] = []
        if contacts := self.contacts():
            peer = contacts[int(self._generator.integers(len(contacts)))]
            actions += [*self._news(peer), Send(peer, RosterHash(self._roster.hash))]
        return [*actions, self._next_repair(now_s)]

    def _spread(self) -> list[Action]:
        told = list(self._untold)[:RECORDS_PER_MESSAGE]
        for peer in told:
            del self._untold[peer]
        rumour = self.rumour(told)
        actions: list[Action] = [Send(peer, rumour) for peer in self.contacts()]
        if self._untold:
            actions.append(SetTimer(SPREAD_TIMER, self._settings.spread_after_s))
        return actions

    def _news(self, to: str) -> list[Action]:
        """Return the newest records, which the other most likely lacks: this saves two messages."""
        newest = [peer for peer in reversed(self._recent_s) if self._known(peer)]
        return [Send(to, self.rumour(newest))] if newest else []

    def _pages(self, to: str) -> list[Action]:
        """Return the ages of all known records in pages that together cover every id."""
        peers = self._roster.named()
        actions: list[Action] = []
        for start in range(0, max(1, len(peers)), AGES_PER_MESSAGE):
            page = peers[start : start + AGES_PER_MESSAGE]
            after = peers[start + AGES_PER_MESSAGE : start + AGES_PER_MESSAGE + 1]
            ages = tuple(RecordAge(peer, *self._roster.age(peer)) for peer in page)
            first = page[0] if start else ""
            actions.append(Send(to, RosterPage(first, after[0] if after else "", ages)))
        return actions

    def _compare(self, sender: str, page: RosterPage) -> list[Action]:
        """Return what the sender of a page lacks, and the question for what is lacking here."""
        theirs = {each.peer: (each.incarnation, each.serial, each.admission) for each in page.ages}
        covered = [
            peer
            for peer in self._roster.named()
            if peer >= page.first and (not page.end or peer < page.end)
        ]
        actions = self._rumours(sender, self._roster.newer_than(theirs, covered))
        if wanted := self._roster.older_than(theirs):
            actions.append(Send(sender, RecordsWanted(tuple(wanted))))
        return actions

    def _rumours(self, to: str, peers: Sequence[str]) -> list[Action]:
        starts = range(0, len(peers), RECORDS_PER_MESSAGE)
        return [Send(to, self.rumour(peers[start:])) for start in starts]

    def _known(self, peer: str) -> bool:
        return peer in self._roster or self._roster.members.get(peer) is not None

    def contacts(self) -> list[str]:
        """Return the peers that this one gossips with: few, at random, and always the same.

        They are those whose name hashes lowest together with the own one, so a newcomer changes few
        of them, and nobody opens links to everybody, which cost more than the talk on them.
        """
        if self._contacts_of != self._roster.hash:
            others = [peer for peer in self._roster.present() if peer != self._me]
            self._contacts = heapq.nsmallest(
                self._settings.contacts, others, key=lambda peer: _distance(self._me, peer)
            )
            self._contacts_of = self._roster.hash
        return self._contacts or [seed for seed in self._seeds if seed != self._me]

    def _next_repair(self, now_s: float) -> SetTimer:
        settings = self._settings
        news = now_s - self._news_s < settings.quiet_s
        after_s = settings.repair_s if news else settings.quiet_s
        # Peers that were started together would otherwise compare together for ever.
        return SetTimer(REPAIR_TIMER, after_s * float(self._generator.uniform(0.8, 1.2)))


# Contacts are chosen anew with each record that is learned.
@lru_cache(maxsize=8192)
def _distance(me: str, peer: str) -> bytes:
    return blake2b(f"{me} {peer}".encode(), digest_size=8).digest()
