"""Whom a fault hits: selectors of peers and of links, on top of those of all commands.

role=trader          peers, in the grammar of `selector`; any:3 draws three of them by the seed
mg1.trader           as links: all from and to these peers
mg1<->mg4            the links between these, both ways; mg1->mg4 one way
mg1,mg2 from rest    the links between these and all others; the same as mg1,mg2<->rest
all                  all of them
"""

import re
from collections.abc import Mapping
from hashlib import blake2b

from msgspec import Struct

from peercell.broker.selector import SelectorError, select

_REST = "rest"
_FROM_REST = re.compile(r"(.+?)\s+from\s+rest")
_ARROW = re.compile(r"(.+?)\s*(<->|->)\s*(.+)")
_ANY = re.compile(r"any:(\d+)")


class Side(Struct, frozen=True):
    """Peers on one side of links: these, or all but these."""

    peers: frozenset[str] = frozenset()
    others: bool = False

    def __contains__(self, peer: str) -> bool:
        return (peer in self.peers) is not self.others


EVERYBODY = Side(others=True)


class Links(Struct, frozen=True):
    """Links from one side to another, and back when `both`."""

    start: Side = EVERYBODY
    end: Side = EVERYBODY
    both: bool = True

    def __contains__(self, link: tuple[str, str]) -> bool:
        src, dst = link
        if src in self.start and dst in self.end:
            return True
        return self.both and dst in self.start and src in self.end


ALL_LINKS = Links()


def peers_at(on: str, roles: Mapping[str, str], seed: int = 0) -> tuple[str, ...]:
    """Return the peers that a selector means, in the order of `roles`.

    Parameters
    ----------
    on : selector
    roles : role of each peer that there is
    seed : of what `any:3` draws

    Raises
    ------
    SelectorError : it means nobody, or draws more than there are.
    """
    terms = [term.strip() for term in on.split(",")]
    counts = [int(draw[1]) for term in terms if (draw := _ANY.fullmatch(term))]
    found = select(tuple(term for term in terms if not _ANY.fullmatch(term)), roles)
    if not counts:
        return found
    count = counts[0]
    if len(counts) > 1 or not 0 < count <= len(found):
        raise SelectorError(
            f'"{on}" cannot be drawn', f"there are {len(found)} peers to draw from", "any:1"
        )
    drawn = sorted(found, key=lambda peer: blake2b(f"{seed} {peer}".encode()).digest())[:count]
    return tuple(peer for peer in found if peer in drawn)


def links_at(on: str, roles: Mapping[str, str], seed: int = 0) -> Links:
    """Return the links that a selector means.

    Parameters
    ----------
    on, roles, seed : as of `peers_at`

    Raises
    ------
    SelectorError : it means no link.
    """
    if on.strip() == "all":
        return ALL_LINKS
    if found := _FROM_REST.fullmatch(on.strip()):
        start, both, end = found[1], True, _REST
    elif found := _ARROW.fullmatch(on.strip()):
        start, both, end = found[1], found[2] == "<->", found[3]
    else:
        return Links(_side(on, roles, seed))
    if start == _REST:
        links = Links(_but(end, roles, seed), _side(end, roles, seed), both)
    elif end == _REST:
        links = Links(_side(start, roles, seed), _but(start, roles, seed), both)
    else:
        links = Links(_side(start, roles, seed), _side(end, roles, seed), both)
    _check_some(on, links, roles)
    return links


def _check_some(on: str, links: Links, roles: Mapping[str, str]) -> None:
    starts = [peer for peer in roles if peer in links.start]
    ends = [peer for peer in roles if peer in links.end]
    if not starts or not ends or (starts == ends and len(ends) == 1):
        raise SelectorError(f'"{on}" means no link', "it leaves nobody on one of its sides")


def _side(on: str, roles: Mapping[str, str], seed: int) -> Side:
    return Side(frozenset(peers_at(on, roles, seed)))


def _but(on: str, roles: Mapping[str, str], seed: int) -> Side:
    return Side(frozenset(peers_at(on, roles, seed)), others=True)
