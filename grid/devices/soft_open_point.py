"""Which powers a soft open point can hold at its ends: what goes in comes out, less losses."""

from dataclasses import dataclass

import numpy as np

from peercell.grid.admittance import Real
from peercell.grid.devices.quantity import Quantity, number, setting


@dataclass(frozen=True)
class SoftOpenPoint:
    """Two converters back to back, in the place of an open switch; several as arrays.

    P1 + P2 + A (|S1| + |S2|) = 0 and |S1|, |S2| ≤ S; Q1 and Q2 are free.

    Attributes
    ----------
    rating_kva : S of each converter; >= 0.
    loss_share : A, loss of each converter as a share of its apparent power; from 0 to 0.5.

    Raises
    ------
    DeviceError : a setting outside its range.

    Source: Cao, Wu, Jenkins, Wang and Green, "Benefits analysis of soft open points for electrical
    distribution network operation", Applied Energy 165 (2016) 36-47.
    """

    rating_kva: Quantity
    loss_share: Quantity = 0.02

    def __post_init__(self) -> None:
        setting("rating_kva", self.rating_kva, 0.0, 1e12)
        setting("loss_share", self.loss_share, 0.0, 0.5)

    def give(self, p1_kw: Quantity, q1_kvar: Quantity, q2_kvar: Quantity) -> "SoftOpenPointPower":
        """Return the injections at both ends when these are wanted.

        P2 follows from the balance. A wish beyond the rating is first cut to it, each power by
        itself; then all powers shrink together until both ends fit. The balance holds at every
        size, because the losses shrink along.

        Raises
        ------
        DeviceError : a power is not a number.
        """
        rating = np.asarray(self.rating_kva, np.float64)
        p1 = np.clip(number("p1_kw", p1_kw), -rating, rating)
        q1 = np.clip(number("q1_kvar", q1_kvar), -rating, rating)
        q2 = np.clip(number("q2_kvar", q2_kvar), -rating, rating)
        p2 = self._other_end(p1, q1, q2)
        largest = np.maximum(np.hypot(p1, q1), np.hypot(p2, q2))
        fits = largest <= rating
        share = np.where(fits, 1.0, rating / np.where(fits, 1.0, largest))
        return SoftOpenPointPower(p1 * share, q1 * share, p2 * share, q2 * share)

    def losses_kw(self, power: "SoftOpenPointPower") -> Real:
        """Return what both converters turn into heat."""
        ends = np.hypot(power.p1_kw, power.q1_kvar) + np.hypot(power.p2_kw, power.q2_kvar)
        return np.asarray(self.loss_share * ends)

    def _other_end(self, p1: Real, q1: Real, q2: Real) -> Real:
        """Return P2, the root of P2 + A hypot(P2, Q2) = -(P1 + A |S1|), in closed form."""
        loss = np.asarray(self.loss_share, np.float64)
        needed = p1 + loss * np.hypot(p1, q1)
        rest = 1.0 - loss**2
        return np.asarray(-(needed + loss * np.sqrt(needed**2 + rest * q2**2)) / rest)


@dataclass(frozen=True)
class SoftOpenPointPower:
    """Injections of a soft open point at its two ends, positive = into the grid."""

    p1_kw: Real
    q1_kvar: Real
    p2_kw: Real
    q2_kvar: Real
