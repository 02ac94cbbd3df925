"""What active and reactive power an inverter can give, and what it gives of what is wanted."""

import math
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from peercell.grid.admittance import Real
from peercell.grid.devices.quantity import Quantity, number, setting

# Beyond this, a wanted power is as good as infinite; its square is still a number.
_LARGE = 1e150
# Below this power factor a triangle is wider than any rating, and its tangent overflows.
_NO_TRIANGLE = 1e-9
# Where the circle is vertical, the last bit of P is worth 1e-8 of the rating in Q.
_SAME_Q = 1e-7


class Priority(Enum):
    """What an inverter keeps when it cannot give both P and Q as wanted."""

    ACTIVE = auto()
    REACTIVE = auto()
    NEAREST = auto()


@dataclass(frozen=True)
class Inverter:
    """One inverter, or several as arrays.

    Its working range is P² + Q² ≤ S², |Q| ≤ `reactive_kvar_max` and, with a power factor limit,
    |Q| ≤ |P| tan(arccos(`power_factor_min`)). Without that limit (0, the default) it can give
    reactive power without sun, as a STATCOM.

    Attributes
    ----------
    rating_kva : S, apparent power; >= 0.
    power_factor_min : from 0 to 1.
    reactive_kvar_max : >= 0.

    Raises
    ------
    DeviceError : a setting outside its range.

    Source: the triangular and the rectangular characteristic of VDE-AR-N 4105; for the capability
    of 44 % of the rating, IEEE 1547-2018, category B.
    """

    rating_kva: Quantity
    power_factor_min: Quantity = 0.0
    reactive_kvar_max: Quantity = math.inf

    def __post_init__(self) -> None:
        setting("rating_kva", self.rating_kva, 0.0, 1e12)
        setting("power_factor_min", self.power_factor_min, 0.0, 1.0)
        setting("reactive_kvar_max", self.reactive_kvar_max, 0.0, math.inf)

    def reactive_limit(self, p_kw: Quantity) -> Real:
        """Return the largest |Q| in kvar next to an active power within the rating."""
        active = np.abs(number("p_kw", p_kw))
        rating = np.asarray(self.rating_kva, np.float64)
        circle = np.sqrt(np.maximum(rating - active, 0.0) * (rating + active))
        cosine, sine = self._angle()
        limited = cosine > 0.0
        triangle = np.where(limited, active * sine / np.where(limited, cosine, 1.0), np.inf)
        return np.minimum(np.minimum(circle, triangle), self.reactive_kvar_max)

    def give(
        self,
        p_kw: Quantity,
        q_kvar: Quantity,
        range_kw: tuple[Quantity, Quantity],
        priority: Priority = Priority.ACTIVE,
    ) -> tuple[Real, Real]:
        """Return the P and Q that the inverter gives when these are wanted.

        Parameters
        ----------
        p_kw, q_kvar : wanted injection, of any size.
        range_kw : least and most P of what stands behind the inverter now: (0, available) for PV,
            (-charging, discharging) for a battery. The rating narrows it; an empty range is its
            lower end.
        priority : ACTIVE keeps P and cuts Q, REACTIVE keeps Q and moves P, NEAREST takes the point
            of the working range with the least distance in the P-Q plane.

        Raises
        ------
        DeviceError : a power is not a number.
        """
        rating = np.asarray(self.rating_kva, np.float64)
        low = np.clip(number("range_kw", range_kw[0]), -rating, rating)
        high = np.maximum(np.clip(number("range_kw", range_kw[1]), -rating, rating), low)
        active = np.clip(number("p_kw", p_kw), -_LARGE, _LARGE)
        reactive = np.clip(number("q_kvar", q_kvar), -_LARGE, _LARGE)
        active, reactive = np.broadcast_arrays(active, reactive)
        if priority is Priority.REACTIVE:
            active = self._active_beside(active, np.abs(reactive), low, high)
        elif priority is Priority.NEAREST:
            active = self._active_nearest(active, np.abs(reactive), low, high)
        active = np.clip(active, low, high)
        limit = self.reactive_limit(active)
        return active, np.clip(reactive, -limit, limit)

    def _angle(self) -> tuple[Real, Real]:
        """Return cosine and sine of the largest angle between P and S."""
        limit = np.asarray(self.power_factor_min, np.float64)
        cosine = np.where(limit < _NO_TRIANGLE, 0.0, limit)
        return cosine, np.sqrt((1.0 - cosine) * (1.0 + cosine))

    def _cap(self) -> tuple[Real, Real]:
        """Return the largest |Q| of the working range, and the least |P| that allows it."""
        cosine, sine = self._angle()
        cap = np.minimum(self.reactive_kvar_max, np.asarray(self.rating_kva) * sine)
        return cap, np.where(sine > 0.0, cap * cosine / np.where(sine > 0.0, sine, 1.0), 0.0)

    def _active_beside(self, active: Real, reactive: Real, low: Real, high: Real) -> Real:
        """Return the P closest to the wanted one that leaves room for |Q|, or for most of it."""
        cosine, sine = self._angle()
        _, knee = self._cap()
        best = [np.clip(knee, low, high), np.clip(-knee, low, high)]
        room = np.maximum(self.reactive_limit(best[0]), self.reactive_limit(best[1]))
        wanted = np.minimum(reactive, room)
        rating = np.asarray(self.rating_kva, np.float64)
        outer = np.sqrt(np.maximum(rating - wanted, 0.0) * (rating + wanted))
        inner = np.minimum(wanted * cosine / np.where(sine > 0.0, sine, 1.0), outer)
        right = np.clip(np.clip(active, inner, outer), low, high)
        left = np.clip(np.clip(active, -outer, -inner), low, high)
        choices = np.stack(np.broadcast_arrays(right, left, *best))
        missing = np.maximum(wanted - self.reactive_limit(choices), 0.0)
        fits = missing <= missing.min(axis=0) + _SAME_Q * rating
        return _pick(choices, np.where(fits, np.abs(choices - active), np.inf))

    def _active_nearest(self, active: Real, reactive: Real, low: Real, high: Real) -> Real:
        """Return P of the point of the working range with the least distance.

        It lies inside, on an edge or at a corner. The list holds the foot of the perpendicular on
        each edge, and each corner, moved into the range; so the best of them is the answer.
        """
        cosine, sine = self._angle()
        cap, knee = self._cap()
        rating = np.asarray(self.rating_kva, np.float64)
        size = np.hypot(active, reactive)
        arc = rating * active / np.where(size > 0.0, size, 1.0)
        rim = np.sqrt(np.maximum(rating - cap, 0.0) * (rating + cap))
        right = np.maximum(active * cosine + reactive * sine, 0.0) * cosine
        left = -np.maximum(-active * cosine + reactive * sine, 0.0) * cosine
        points = [active, low, high, arc, right, left, knee, -knee, rim, -rim, 0.0 * rating]
        choices = np.clip(np.stack(np.broadcast_arrays(*points)), low, high)
        beside = np.minimum(reactive, self.reactive_limit(choices))
        # The squared distance without its constant part, which would drown the rest of a far point.
        score = choices * (choices - 2.0 * active) + beside * (beside - 2.0 * reactive)
        return _pick(choices, score)


def _pick(choices: Real, score: Real) -> Real:
    """Return for each device the choice with the lowest score."""
    best = np.argmin(score, axis=0)
    return np.asarray(np.take_along_axis(choices, best[np.newaxis], axis=0)[0])
