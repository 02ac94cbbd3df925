"""Where all members are, as they have announced it, and the largest safe step for methods of one.

Methods with one step for all need the largest curvature of what they descend on, which follows from
the announced paths alone.
"""

import numpy as np

from peercell.agents.control.paths import Track
from peercell.agents.control.voltage_messages import PathEntry

_ROUNDS = 30
_TINY = 1e-300


class Places:
    """What the members have announced.

    Attributes
    ----------
    tracks : way to the grid above, by number of the member.
    """

    def __init__(self) -> None:
        self.tracks: dict[int, Track] = {}
        self._told: dict[int, PathEntry] = {}
        self._step: float | None = None

    def take(self, member: int, entry: PathEntry) -> None:
        """Take in what a member has announced."""
        self.tracks[member] = Track(entry.path)
        self._told[member] = entry
        self._step = None

    def step_by_reach(self) -> float:
        """Return 1 by the curvature of squared voltages where each power is scaled by its reach."""
        return self._known_step(
            {member: (e.reach_kva, e.reach_kva) for member, e in self._told.items()}
        )

    def step_by_price(self) -> float:
        """Return 1 by the curvature of the dual where all devices follow their prices freely."""
        return self._known_step(
            {member: (e.kw_per_price, e.kvar_per_price) for member, e in self._told.items()}
        )

    def _known_step(self, reach: dict[int, tuple[float, float]]) -> float:
        if self._step is None:
            self._step = 1.0 / max(self._curvature(reach), _TINY)
        return self._step

    def _curvature(self, reach: dict[int, tuple[float, float]]) -> float:
        """Return the largest eigenvalue of slopes times reach times slopes, by power iteration."""
        members = sorted(self.tracks)
        movers = [member for member in members if any(reach[member])]
        slopes = np.array(
            [[self.tracks[k].shared(self.tracks[i]) for i in movers] for k in members]
        ).reshape(len(members), len(movers), 2)
        root = np.sqrt(np.array([reach[member] for member in movers]).reshape(len(movers), 2))
        scaled = np.concatenate([slopes[..., 0] * root[:, 0], slopes[..., 1] * root[:, 1]], axis=1)
        vector = np.ones(len(members))
        for _ in range(_ROUNDS):
            vector = scaled @ (scaled.T @ vector)
            vector /= max(float(np.linalg.norm(vector)), _TINY)
        return float(np.linalg.norm(scaled @ (scaled.T @ vector)))
