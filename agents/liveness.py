"""Which neighbours are there: each peer judges for itself, softly, and doubts itself first.

Any message is a sign of life. After silence comes a probe, after the second missed one two others
are asked, after the third the neighbour is suspected: it is no longer counted on, and still probed.
A peer whose own timers are late, or that hears none of several neighbours, gives all of them more
time (Dadgar, Phillips and Currey, "Lifeguard: local health awareness for more accurate failure
detection", 2018).
"""

from collections.abc import Iterator

from msgspec import Struct

HEALTH_MAX = 8


class LivenessSettings(Struct, frozen=True):
    """When a neighbour is missed.

    Parameters
    ----------
    silence_s : s without a message before it is probed
    answer_s : s that it has to answer a probe
    misses : unanswered probes until it is suspected; helpers are asked one before that
    helpers : neighbours that are asked whether they hear it
    retry_s_max : s between two probes of a suspected neighbour at most
    """

    silence_s: float = 4.0
    answer_s: float = 1.0
    misses: int = 3
    helpers: int = 2
    retry_s_max: float = 30.0


class Verdict(Struct, frozen=True):
    """What a check found: whom to probe, about whom to ask helpers, who is newly suspected."""

    probe: tuple[str, ...]
    ask: tuple[str, ...]
    suspect: tuple[str, ...]


class _Neighbour(Struct):
    """`probed_s` is None while nothing is asked; `patience_s` is how long the answer may take."""

    heard_s: float
    patience_s: float
    probed_s: float | None = None
    misses: int = 0
    suspected: bool = False


class Neighbours:
    """The neighbours of one peer and what is thought of each.

    Parameters
    ----------
    settings : when one is missed
    """

    def __init__(self, settings: LivenessSettings) -> None:
        self._settings = settings
        self._watched: dict[str, _Neighbour] = {}
        self._doubt = 0

    def __contains__(self, peer: object) -> bool:
        return peer in self._watched

    def __iter__(self) -> Iterator[str]:
        return iter(self._watched)

    @property
    def doubt(self) -> int:
        """Own health, 0 for good up to 8: each step gives every neighbour as much time again."""
        return self._doubt

    def watch(self, peer: str, now_s: float) -> None:
        """Begin to watch a neighbour, or believe in it anew because it has restarted."""
        self._watched[peer] = _Neighbour(now_s, self._settings.answer_s)

    def forget(self, peer: str) -> None:
        """Watch a neighbour no longer."""
        self._watched.pop(peer, None)

    def heard(self, peer: str, now_s: float) -> float | None:
        """Note a sign of life; return how long a suspected neighbour was silent, else None."""
        neighbour = self._watched.get(peer)
        if neighbour is None:
            return None
        silence_s = now_s - neighbour.heard_s
        neighbour.heard_s = now_s
        if neighbour.probed_s is None:
            return None
        was_suspected = neighbour.suspected
        self.watch(peer, now_s)
        return silence_s if was_suspected else None

    def vouched(self, peer: str) -> None:
        """Note that somebody else hears a neighbour: it lives, though the way to it may be cut."""
        neighbour = self._watched.get(peer)
        if neighbour is not None and not neighbour.suspected:
            neighbour.misses = 0

    def silence_s(self, peer: str, now_s: float) -> float:
        """Return how long a watched neighbour has been silent."""
        return now_s - self._watched[peer].heard_s

    def suspected(self, peer: str) -> bool:
        """Return whether a neighbour is suspected; False when it is not watched."""
        neighbour = self._watched.get(peer)
        return neighbour is not None and neighbour.suspected

    def due_s(self) -> float | None:
        """Return when the next check is worth it, or None when nobody is watched."""
        return min(map(self._due_s, self._watched.values()), default=None)

    def check(self, now_s: float, late_s: float) -> Verdict:
        """Return what silence there is.

        Parameters
        ----------
        now_s : s, host time
        late_s : s by which this check itself comes too late: above half the time that a neighbour
            has to answer, nobody is accused, since the answers may be waiting on this side
        """
        late = late_s > self._settings.answer_s / 2
        due = [peer for peer, each in self._watched.items() if self._due_s(each) <= now_s]
        ask, suspect = [], []
        for peer in due:
            neighbour = self._watched[peer]
            if neighbour.probed_s is not None and not late:
                neighbour.misses += 1
                if neighbour.suspected:
                    doubled_s = 2 * neighbour.patience_s
                    neighbour.patience_s = min(doubled_s, self._settings.retry_s_max)
                elif neighbour.misses == self._settings.misses - 1:
                    ask.append(peer)
                elif neighbour.misses >= self._settings.misses:
                    neighbour.suspected = True
                    suspect.append(peer)
            neighbour.probed_s = now_s
        self._note_health(late=late)
        return Verdict(tuple(due), tuple(ask), tuple(suspect))

    def _due_s(self, neighbour: _Neighbour) -> float:
        stretch = 1 + self._doubt
        if neighbour.probed_s is None:
            return neighbour.heard_s + self._settings.silence_s * stretch
        return neighbour.probed_s + neighbour.patience_s * stretch

    def _note_health(self, *, late: bool) -> None:
        """Doubt oneself more when late or deaf to all of several neighbours, else less."""
        missed = sum(each.misses > 0 for each in self._watched.values())
        deaf = missed == len(self._watched) > 1
        self._doubt = min(HEALTH_MAX, self._doubt + 1) if late or deaf else max(0, self._doubt - 1)
