"""Whether the members of a market have settled an interval together, or as islands.

An island trades as well as it can and proves it, so a certificate does not tell it from a whole
cell. What tells is whom each member has heard.
"""

from collections.abc import Iterator, Sequence

from peercell.agents.trading.contract_messages import Settlement

NAMED_MAX = 3

Told = Sequence[tuple[str, Settlement]]
"""Members and what they have settled for one interval."""


def islands(told: Told) -> tuple[tuple[str, ...], ...]:
    """Return the groups of members that settled with each other, in the order of the members.

    Two members belong together when each has heard the other, or both belong with a third.
    """
    heard = {member: set(settlement.plan.heard) for member, settlement in told}
    groups: list[tuple[str, ...]] = []
    found: set[str] = set()
    for first in heard:
        if first in found:
            continue
        group, front = {first}, [first]
        while front:
            here = front.pop()
            beyond = {peer for peer in heard[here] - group if here in heard.get(peer, ())}
            group |= beyond
            front += beyond
        found |= group
        groups.append(tuple(member for member in heard if member in group))
    return tuple(groups)


def absences(told: Told) -> Iterator[str]:
    """Yield who has settled without hearing a neighbour, and whom it has not heard."""
    for member, settlement in told:
        if absent := settlement.plan.absent:
            yield f"{member} settled interval {settlement.interval} without hearing" + (
                f" {_named(absent)}" if settlement.plan.heard else " anybody"
            )


def _named(peers: Sequence[str]) -> str:
    more = f" and {len(peers) - NAMED_MAX} more" if len(peers) > NAMED_MAX else ""
    return ", ".join(peers[:NAMED_MAX]) + more
