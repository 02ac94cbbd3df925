"""Who wants to hear of which part of the state, and when it has moved enough to tell."""

from collections.abc import Iterator
from dataclasses import dataclass

from peercell.agents.grid_messages import StateReport, Subscription
from peercell.agents.grid_parts import DeadBand, Reading, RefusalCode, RefusalFacts, Stamp, View
from peercell.grid.service_errors import RefusedError
from peercell.grid.service_reading import Picture


@dataclass(slots=True)
class _Subscriber:
    """A peer that wants to hear; `view` is None when it no longer does.

    `last` is what it heard last, `is_quiet` whether that was before the last refresh.
    """

    seq: int
    view: View | None
    dead_band: DeadBand
    last: Reading | None
    is_quiet: bool = False


class Subscribers:
    """The subscriptions of all peers, at most one each."""

    def __init__(self) -> None:
        self._of: dict[str, _Subscriber] = {}
        self._incarnations: dict[str, int] = {}

    def newest_seq(self, peer: str) -> int:
        """Return the `seq` of a peer's subscription, 0 without one."""
        return self._of[peer].seq if peer in self._of else 0

    def check(self, peer: str, request: Subscription) -> None:
        """Raise RefusedError when a newer subscription of the peer holds already."""
        known = self._of.get(peer)
        if known is not None and request.seq < known.seq:
            raise RefusedError(
                RefusalCode.STALE_SEQ,
                f"the subscription with seq {request.seq} came too late",
                f"seq {known.seq} of the same peer holds already",
                f"send it again with a seq above {known.seq}",
            ).with_facts(RefusalFacts(seq_newest=known.seq))

    def put(self, peer: str, request: Subscription, reading: Reading | None) -> None:
        """Take a subscription, whose first reading has just been told."""
        self._of[peer] = _Subscriber(request.seq, request.view, request.dead_band, reading)

    def changes(self, picture: Picture, stamp: Stamp) -> Iterator[tuple[str, StateReport]]:
        """Yield a report to each peer whose view has moved beyond its dead band."""
        for peer, subscriber in self._of.items():
            if subscriber.view is not None and subscriber.last is not None:
                reading = picture.reading(subscriber.view)
                if _has_moved(subscriber.last, reading, subscriber.dead_band):
                    yield peer, _told(subscriber, reading, stamp)

    def overdue(self, picture: Picture, stamp: Stamp) -> Iterator[tuple[str, StateReport]]:
        """Yield a report to each peer that has heard nothing since the last call."""
        for peer, subscriber in self._of.items():
            if subscriber.view is not None and subscriber.is_quiet:
                yield peer, _told(subscriber, picture.reading(subscriber.view), stamp)
            subscriber.is_quiet = True

    def meet(self, peer: str, incarnation: int) -> None:
        """Forget what an earlier life of a peer subscribed to."""
        if incarnation > self._incarnations.get(peer, incarnation):
            self._of.pop(peer, None)
        self._incarnations[peer] = max(incarnation, self._incarnations.get(peer, incarnation))


def _told(subscriber: _Subscriber, reading: Reading, stamp: Stamp) -> StateReport:
    subscriber.last, subscriber.is_quiet = reading, False
    return StateReport(subscriber.seq, stamp, reading)


def _has_moved(old: Reading, new: Reading, band: DeadBand) -> bool:
    """Return whether something that a view shows has moved beyond a dead band."""
    values = zip(_banded(old, band), _banded(new, band), strict=True)
    return any(_is_beyond(before, after, most) for (before, most), (after, _) in values) or (
        _broken(old) != _broken(new)
    )


def _banded(reading: Reading, band: DeadBand) -> Iterator[tuple[float | None, float]]:
    """Yield each value that a view shows, with how much it may move."""
    for v_pu in reading.voltages_pu:
        yield v_pu, band.voltage_pu
    for kw in reading.flows_kw:
        yield kw, band.power_kw
    for percent in reading.loadings_percent:
        yield percent, band.loading_percent
    for asset in reading.assets:
        for kilo in (asset.planned_kw, asset.planned_kvar, asset.p_kw, asset.q_kvar):
            yield kilo, band.power_kw
        yield asset.stored_kwh, band.power_kw
        yield asset.lent_kwh, band.power_kw
    for microgrid in reading.microgrids:
        yield microgrid.import_kw, band.power_kw
        yield microgrid.import_kvar, band.power_kw
        yield microgrid.v_min_pu, band.voltage_pu
        yield microgrid.v_max_pu, band.voltage_pu
        yield microgrid.loading_percent_max, band.loading_percent


def _is_beyond(before: float | None, after: float | None, most: float) -> bool:
    """Return whether a value came, went, or moved by more than it may."""
    if before is None or after is None:
        return before is not after
    return abs(after - before) > most


def _broken(reading: Reading) -> set[tuple[str, str]]:
    """Return which limits are broken, whatever by how much."""
    return {(broken.kind.value, broken.element) for broken in reading.violations}
