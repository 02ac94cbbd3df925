"""The textbook: push-sum as Kempe, Dobra and Gehrke (FOCS 2003) gave it, without any repair."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]


def plain_push_sum(
    links: Sequence[Sequence[int]], inputs: Real, loss: float, rng: np.random.Generator
) -> Iterator[tuple[Real, Real]]:
    """Yield masses and weights after each round, in which all push one half to a random neighbour.

    Parameters
    ----------
    links : neighbours of each member by index; none stands for all members
    inputs : (members,) one number each
    loss : share of the halves that get lost
    """
    size = len(inputs)
    mass, weight = inputs.copy(), np.ones(size)
    degree = np.array([len(near) for near in links] or [size] * size)
    table = np.zeros((size, degree.max()), dtype=np.int64)
    for row, near in enumerate(links):
        table[row, : len(near)] = near
    while True:
        drawn = rng.integers(0, degree)
        targets = table[np.arange(size), drawn] if len(links) else drawn
        kept = rng.random(size) >= loss
        mass, weight = (_halved(each, targets, kept) for each in (mass, weight))
        yield mass, weight


def _halved(each: Real, targets: NDArray[np.int64], kept: NDArray[np.bool_]) -> Real:
    """Return what everybody has after half of it went to a target, unless it got lost."""
    half = 0.5 * each
    return half + np.bincount(targets[kept], half[kept], minlength=len(each))
