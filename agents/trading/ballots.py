"""How do thousands tell each other in few bytes who has voted? By blocks of the roster.

The roster is cut into blocks of at most 1,024 members. Members of one block tell each other its
votes one by one; others hear of the block, in one bit, once all in it have voted. So a tally of
10,000 members takes 130 bytes and not 1,250, and what all hear together grows as their number and
not as its square. Whatever is told is true of its own, in any order and any number of times, since
votes are a union of sets and a tally may leave out what it likes.
"""

from collections.abc import Sequence
from functools import lru_cache

from peercell.agents.overlay import overlay
from peercell.agents.trading.messages import BLOCK_BYTES_MAX, BlockVotes

BLOCK_MAX = 8 * BLOCK_BYTES_MAX
"""Members of a block at most: with fewer there are more blocks, with more it has longer votes."""
RINGS = 3
"""Rings of the overlay on which votes travel: six peers tell them on as fast as eight."""

Told = tuple[bytes, tuple[BlockVotes, ...]]
"""What a tally says of votes: bits of the roster, or of its blocks and the votes in some others."""


def vote_peers(roster: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return whom each member tells of votes: an overlay, most of it within its block.

    One ring goes through all members and the others through each block, so that the votes of a
    block come together fast; where there is one block, it is the plain `overlay`.
    """
    length = 8 * _block_bytes(len(roster))
    if length >= len(roster):
        return overlay(roster, RINGS)
    peers = {name: set(near) for name, near in overlay(roster, 1).items()}
    for begin in range(0, len(roster), length):
        for name, near in overlay(roster[begin : begin + length], RINGS - 1).items():
            peers[name].update(near)
    return {name: tuple(sorted(near)) for name, near in peers.items()}


def all_voted(votes: bytes, size: int) -> bool:
    """Return whether all members of a roster have voted, by the bits that a tally begins with."""
    full = _full_blocks(size)
    everyone = (1 << (len(full) if len(full) > 1 else size)) - 1
    return int.from_bytes(votes, "little") == everyone


class Ballots:
    """What one member tells of the votes that it knows, and reads in what others tell.

    Parameters
    ----------
    own : place of the member in the roster
    size : members of the roster; > 0
    """

    def __init__(self, own: int, size: int) -> None:
        self._size = size
        self._full = _full_blocks(size)
        self._bytes = len(self._full[0])
        self._own = self.block(own)
        self._written: tuple[int, int] | None = None
        self._told = b""
        self._open: tuple[BlockVotes, ...] = ()
        self._home: tuple[BlockVotes, ...] = ()

    def write(self, votes: int, excused: int, place: int) -> Told:
        """Return what to tell the member at a place, of the votes that are known.

        Members of the own block hear all of its votes. Of a block in which somebody is down
        everyone hears all votes: it is never whole, and a member may be left with links to others.

        Parameters
        ----------
        votes : a bit for each member of the roster who has voted
        excused : and for each who is down
        """
        if self._written != (votes, excused):
            self._write(votes, excused)
            self._written = (votes, excused)
        return self._told, self._home if self.block(place) == self._own else self._open

    def read(self, told: bytes, blocks: Sequence[BlockVotes]) -> int:
        """Return which members have voted by what was told, as bits over the roster."""
        if len(self._full) == 1:
            return self._inside(0, told)
        votes = _whole_blocks(self._size, told)
        for each in blocks:
            if each.block < len(self._full):
                votes |= self._inside(each.block, each.votes) << 8 * self._bytes * each.block
        return votes

    def _inside(self, block: int, votes: bytes) -> int:
        """Return the votes in a block without what is beyond its members."""
        return int.from_bytes(votes, "little") & int.from_bytes(self._full[block], "little")

    def _write(self, votes: int, excused: int) -> None:
        size = self._bytes * len(self._full)
        there = votes.to_bytes(size, "little")
        if len(self._full) == 1:
            self._told = there
            return
        down = excused.to_bytes(size, "little") if excused else b""
        whole = 0
        hurt: list[BlockVotes] = []
        home: tuple[BlockVotes, ...] = ()
        for k, full in enumerate(self._full):
            begin, end = k * self._bytes, k * self._bytes + len(full)
            if there.startswith(full, begin):
                whole |= 1 << k
            elif down and down[begin:end].strip(b"\0"):
                hurt.append(BlockVotes(k, there[begin:end]))
            elif k == self._own:
                home = (BlockVotes(k, there[begin:end]),)
        self._told = whole.to_bytes((len(self._full) + 7) // 8, "little")
        self._open = tuple(hurt)
        self._home = (*home, *hurt)

    def block(self, place: int) -> int:
        """Return the block of a place."""
        return place // (8 * self._bytes)


def _block_bytes(size: int) -> int:
    """Return the bytes of the votes of a block: blocks are of nearly one length."""
    blocks = -(-size // BLOCK_MAX)
    return -(-size // (8 * blocks))


@lru_cache(maxsize=4)
def _full_blocks(size: int) -> tuple[bytes, ...]:
    """Return the votes of each block when all in it have voted; the last one may be shorter."""
    length = _block_bytes(size)
    everyone = ((1 << size) - 1).to_bytes((size + 7) // 8, "little")
    return tuple(everyone[k : k + length] for k in range(0, len(everyone), length))


@lru_cache(maxsize=1024)
def _whole_blocks(size: int, told: bytes) -> int:
    """Return the votes of the blocks that are told to be whole, as bits over the roster."""
    mask, blocks = int.from_bytes(told, "little"), _full_blocks(size)
    nothing = bytes(len(blocks[0]))
    parts = (full if mask >> k & 1 else nothing for k, full in enumerate(blocks))
    return int.from_bytes(b"".join(parts), "little")
