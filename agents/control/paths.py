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


def common_slopes(one: Sequence[Span], other: Sequence[Span]) -> tuple[float, float]:
    """Return by how many pu a kW and a kvar at one end of two paths raise the voltage at the other.

    Source: LinDistFlow (Baran and Wu 1989; Farivar, Chen and Low 2013): the sum of r and x of the
    branches that both paths share.
    """
    per_kw = per_kvar = 0.0
    for mine, theirs in zip(one, other, strict=False):
        if mine.branch != theirs.branch:
            break
        per_kw += mine.per_kw
        per_kvar += mine.per_kvar
    return per_kw, per_kvar


def passes(path: Sequence[Span], branch: str) -> bool:
    """Return whether a path runs through a branch."""
    return any(span.branch == branch for span in path)
