"""What the cell reports, kept for whoever wants to look: the newest facts of all, in order."""

from collections import deque
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Commanded, Event, Received, Reply
from peercell.agents.signing import Count, Instant, PeerId

FACTS_KEPT = 4096
FACT_BYTES_MAX = 16 * 1024
# An answer fits into a frame of the default size.
ANSWER_BYTES_MAX = 48 * 1024


class ObservedFact(Struct, frozen=True, array_like=True):
    """A fact, who recorded it, and when it arrived here.

    Parameters
    ----------
    number : 1, 2, 3 … in order of arrival
    peer : who recorded it
    at_s : s, Unix time of its arrival
    fact : the message as MessagePack, its kind first
    """

    number: Count
    peer: PeerId
    at_s: Instant
    fact: Annotated[bytes, Meta(max_length=FACT_BYTES_MAX)]


class FactsQuery(Message, frozen=True):
    """A request of an operator: what came after the fact of this number."""

    after: Count = 0


class FactsAnswer(Message, frozen=True):
    """The oldest facts that are kept and asked for; ask again from the last one for more.

    `skipped` counts the facts in between that were too many to keep.
    """

    facts: Annotated[tuple[ObservedFact, ...], Meta(max_length=FACTS_KEPT)]
    skipped: Count = 0


ObserverMessage = FactsQuery | FactsAnswer


class Observer:
    """Hears every fact and says nothing by itself: nobody waits for it, so it may die."""

    def __init__(self) -> None:
        self._facts: deque[ObservedFact] = deque(maxlen=FACTS_KEPT)
        self._count = 0
        self._encode = msgspec.msgpack.Encoder().encode

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        match event:
            case Received(sender=sender, message=fact):
                self._count += 1
                encoded = self._encode(fact)
                if len(encoded) <= FACT_BYTES_MAX:
                    self._facts.append(ObservedFact(self._count, sender, now_s, encoded))
            case Commanded(request_id=request_id, request=FactsQuery(after=after)):
                return [Reply(request_id, self._after(after))]
        return []

    def _after(self, number: int) -> FactsAnswer:
        room = ANSWER_BYTES_MAX
        facts: list[ObservedFact] = []
        for each in self._facts:
            if each.number <= number:
                continue
            room -= len(each.fact) + 128
            if room < 0:
                break
            facts.append(each)
        skipped = facts[0].number - number - 1 if facts and number < facts[0].number else 0
        return FactsAnswer(tuple(facts), skipped)
