"""How a voltage answers to a power elsewhere: from two path lists, and nothing else.

An agent knows the branches between itself and the grid above, and tells the others once. Of a
radial network that is all: what two paths have in common, both feel. Nobody's load is needed.
"""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

SPANS_MAX = 1000

BranchName = Annotated[str, Meta(min_length=1, max_length=80)]
SlopePu = Annotated[float, Meta(ge=-1e3, le=1e3)]


class Span(Struct, frozen=True, array_like=True):
    """One branch of a path: pu of voltage by which a kW and a kvar raise what is behind it."""

    branch: BranchName
    per_kw: SlopePu
    per_kvar: SlopePu


Path = Annotated[tuple[Span, ...], Meta(max_length=SPANS_MAX)]
"""The branches from the grid above to a bus, in this order."""


class Track:
    """A path with its running sums, so that what it shares with another is found at once."""

    def __init__(self, path: Sequence[Span]) -> None:
        self.branches = tuple(span.branch for span in path)
        self._per_kw, self._per_kvar = [0.0], [0.0]
        for span in path:
            self._per_kw.append(self._per_kw[-1] + span.per_kw)
            self._per_kvar.append(self._per_kvar[-1] + span.per_kvar)

    def shared(self, other: "Track") -> tuple[float, float]:
        """Return by how many pu a kW and a kvar at one end raise the voltage at the other.

        Source: LinDistFlow (Baran and Wu 1989; Farivar, Chen and Low 2013): the sum of r and x of
        the branches that both paths share.
        """
        common = 0
        for mine, theirs in zip(self.branches, other.branches, strict=False):
            if mine != theirs:
                break
            common += 1
        return self._per_kw[common], self._per_kvar[common]

    def passes(self, branch: str) -> bool:
        """Return whether the path runs through a branch."""
        return branch in self.branches
