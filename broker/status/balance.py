"""What became of all messages of a cell, link by link, and whether its peers agree about it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from msgspec import Struct

from peercell.broker.gate import Heard
from peercell.broker.operator_port import HostStatus


class Messages(Struct, frozen=True, kw_only=True):
    """What became of all that the processes which run now have sent.

    sent = applied + dropped + in_flight, and handed = sent + unsent + waiting. Arrivals are counted
    first and departures then, so what is sent in between is in flight.

    Parameters
    ----------
    handed : by the roles
    sent : taken by the network
    applied : heard by a role
    dropped : gone after they were sent, by reason: `refused` by their receiver; `missing`, never
        seen though later ones were; `expired`, held back by a fault until they were worthless;
        `ended`, sent to an earlier run of their receiver, which has counted them itself or taken
        them along
    in_flight : sent, and nothing later has arrived from that sender at that receiver
    unsent : given up before they were sent, by reason
    waiting : in the outboxes
    refused : arrivals that were turned away, by reason; copies, and messages of earlier runs of
        their sender, are in no other count
    unaccounted : by how many messages these counts contradict each other; not 0 means a defect, or
        somebody who speaks in the name of another
    """

    handed: int
    sent: int
    applied: int
    dropped: dict[str, int]
    in_flight: int
    unsent: dict[str, int]
    waiting: int
    refused: dict[str, int]
    unaccounted: int


class _Link(NamedTuple):
    """What one peer has counted of another that runs still, and what that one has told it.

    `withheld` are those told that a fault held back until they were worthless.
    """

    heard: Heard
    sent: int
    withheld: int


def balance(
    hosts: Mapping[str, HostStatus], later: Mapping[str, HostStatus], processes: Iterable[str]
) -> Messages:
    """Return what became of all messages.

    Parameters
    ----------
    hosts : counts of each peer that has answered
    later : the same, asked when all of these had answered
    processes : one peer of each process: what a process counts as a whole is to be counted once
    """
    first = [peer for peer in processes if peer in hosts and peer in later]
    wrong = sum(later[peer].unaccounted for peer in first)
    applied = 0
    dropped: Counter[str] = Counter()
    for heard, sent, withheld in _links(hosts, later):
        if heard.top > sent:
            wrong += heard.top - sent
            continue
        applied += heard.applied
        # One that an earlier run of the receiver would have missed counts as `ended`.
        expired = min(withheld, heard.missing + sent - heard.top)
        missing = max(0, heard.missing - expired)
        ended = max(0, heard.earlier)
        dropped.update(refused=heard.refused, missing=missing, expired=expired, ended=ended)
    sent = sum(host.sent for host in later.values())
    refused = _sum(host.refused for host in hosts.values())
    refused.update(_sum(hosts[peer].unattributed for peer in first))
    return Messages(
        handed=sum(host.handed for host in later.values()),
        sent=sent,
        applied=applied,
        dropped={reason: count for reason, count in dropped.items() if count},
        in_flight=sent - applied - dropped.total(),
        unsent=dict(_sum(host.unsent for host in later.values())),
        waiting=sum(later[peer].waiting for peer in first),
        refused=dict(refused),
        unaccounted=wrong,
    )


def _links(hosts: Mapping[str, HostStatus], later: Mapping[str, HostStatus]) -> Iterator[_Link]:
    """Yield what peers have heard of the present run of others."""
    for dst, host in hosts.items():
        for src, heard in host.heard.items():
            sender = later.get(src)
            if sender is None or heard.incarnation < sender.incarnation:
                continue
            # What was heard of a run that is still to come, nobody has sent.
            mine = heard.incarnation == sender.incarnation
            sent, withheld = (sender.told, sender.withheld) if mine else ({}, {})
            yield _Link(heard, sent.get(dst, 0), withheld.get(dst, 0))


def _sum(counts: Iterable[dict[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total
