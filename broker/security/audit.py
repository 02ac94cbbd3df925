"""What a host writes down of those who say what they may not: a line, and then how many like it."""

import logging
from collections import Counter

from peercell.broker.wire import Drop

# s; so long a line stands for all like it.
QUIET_S = 60.0
# Beyond so many different ones at a time, only the number is kept.
LINES_MAX = 256

log = logging.getLogger(__name__)


class Audit:
    """The refusals of a host, each kind of them at most once a minute; nothing said is quoted."""

    def __init__(self) -> None:
        self._written_s: dict[tuple[str, ...], float] = {}
        self._since: Counter[tuple[str, ...]] = Counter()

    def note(self, reason: Drop, who: str, what: str, now_s: float) -> None:
        """Write down that somebody was refused, unless a line of the last minute says so.

        Parameters
        ----------
        reason : of the refusal
        who : peer, as far as it is known, and the user of its link
        what : that was refused: a kind of message, a name
        now_s : s, host time
        """
        key = (reason, who, what)
        written_s = self._written_s.get(key)
        if written_s is None and len(self._written_s) >= LINES_MAX:
            self._forget(now_s)
            if len(self._written_s) >= LINES_MAX:
                key = (reason, "others", "")
                written_s = self._written_s.get(key)
        if written_s is not None and now_s < written_s + QUIET_S:
            self._since[key] += 1
            return
        more = self._since.pop(key, 0)
        self._written_s[key] = now_s
        again = f", and {more} times since the last line" if more else ""
        log.warning("refused %s: %s from %s%s", *key[:1], key[2] or "more", key[1], again)

    def _forget(self, now_s: float) -> None:
        for key in [k for k, at_s in self._written_s.items() if at_s + QUIET_S <= now_s]:
            del self._written_s[key]
            self._since.pop(key, None)
