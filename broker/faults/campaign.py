"""A plan of faults on a running cell: what begins when, and what the cell did about it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import fsum
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct, structs

from peercell.agents.trading.messages import PriceVector
from peercell.broker.clock import steady_clock
from peercell.broker.faults.plan import FaultPlan, Step
from peercell.broker.faults.running import FaultRow, add_fault
from peercell.broker.plans.live import RunNote
from peercell.broker.status.balance import Messages
from peercell.broker.status.live import Told, ask_cell
from peercell.broker.status.picture import Picture, picture

POLL_S = 0.1
# s after the last fault in which a cell without a limit has to be well again.
PATIENCE_S = 60.0


class Sample(Struct, frozen=True):
    """How a cell was at a time of a campaign.

    Parameters
    ----------
    at_s : s after its beginning
    gap_eur : by how much the newest plans of all members may cost more than the best ones
    unmet : what kept it from being well
    broken : what no cell may ever do
    residual_eur_per_kwh : largest distance of a member's price from the one that it has settled
        later for the same interval; None when nobody trades one that was settled
    """

    at_s: float
    gap_eur: float
    unmet: tuple[str, ...]
    broken: tuple[str, ...] = ()
    residual_eur_per_kwh: float | None = None


@dataclass
class StepRecord:
    """What is known of a step: when it was on, and the messages before and after."""

    step: Step
    row: FaultRow
    begun_s: float
    before: Messages | None
    after: Messages | None = None


@dataclass
class Campaign:
    """The steps of a plan, each to begin in its time.

    Parameters
    ----------
    folder, note : of the run
    plan : with a seed in every step
    origin_s : s, Unix time from which the times of the plan count
    """

    folder: Path
    note: RunNote
    plan: FaultPlan
    origin_s: float
    begun: list[StepRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        steps = self.plan.seeded(self.note.seed).steps
        self._to_come = sorted(steps, key=lambda step: step.at_s)

    @property
    def to_come(self) -> tuple[Step, ...]:
        """Steps that have not begun yet."""
        return tuple(self._to_come)

    def begin_due(self, now_s: float, messages: Messages | None = None) -> list[StepRecord]:
        """Let the steps begin whose time has come, and return them.

        Raises
        ------
        PeercellError : one hits nobody, or the cell does not answer.
        """
        due = []
        while self._to_come and self._to_come[0].at_s <= now_s - self.origin_s:
            step = self._to_come.pop(0)
            row = add_fault(self.folder, self.note, step)
            due.append(StepRecord(step, row, now_s - self.origin_s, messages))
        self.begun += due
        return due

    def during(self, pause: Callable[[float], None]) -> Callable[[float], None]:
        """Return how to wait so many s while steps begin in their time."""
        clock = steady_clock()

        def wait(length_s: float) -> None:
            self.begin_due(clock())
            pause(length_s)

        return wait


@dataclass
class Watched:
    """What a campaign has come to: its steps, and how the cell was meanwhile."""

    records: list[StepRecord]
    samples: list[Sample]


def watch_campaign(
    campaign: Campaign, say: Callable[[str], None], pause: Callable[[float], None]
) -> Watched:
    """Return what a cell did about a plan, when it is well again or ought to be.

    Parameters
    ----------
    campaign : whose time counts from now
    say : is told of each step
    pause : waits so many s; may raise

    Raises
    ------
    PeercellError : a step hits nobody, or the cell does not answer any more.
    """
    clock = steady_clock()
    samples: list[Sample] = []
    prices = _Prices([], {})
    while True:
        told, seen = _look(campaign, clock())
        due = campaign.begin_due(clock(), seen.messages)
        for record in due:
            say(f"{record.begun_s:6.1f} s  {record.row.id}  {record.row.what}")
        at_s = clock() - campaign.origin_s
        samples.append(Sample(at_s, _gap_eur(told), seen.unmet, seen.broken))
        prices.take(told)
        _close(campaign.begun, samples[-1], seen.messages)
        if not campaign.to_come and _is_settled(campaign, samples[-1]):
            pairs = zip(samples, prices.residuals_eur_per_kwh(), strict=True)
            found = [structs.replace(each, residual_eur_per_kwh=off) for each, off in pairs]
            return Watched(campaign.begun, found)
        pause(POLL_S)


class _Prices(NamedTuple):
    """Prices that members had at each look, and those that they settled; by interval and member."""

    looks: list[dict[tuple[int, str], PriceVector]]
    settled: dict[tuple[int, str], PriceVector]

    def take(self, told: Told) -> None:
        """Take in the prices of one more look."""
        look = {}
        for member, status in told.market.items():
            if status.interval is not None and status.price_eur_per_kwh is not None:
                look[status.interval, member] = status.price_eur_per_kwh
            if (last := status.last) is not None:
                self.settled[last.interval, member] = last.plan.price_eur_per_kwh
        self.looks.append(look)

    def residuals_eur_per_kwh(self) -> Iterator[float | None]:
        """Yield how far prices were off at each look from what was settled later."""
        for look in self.looks:
            off = [
                max(abs(a - b) for a, b in zip(price, self.settled[key], strict=True))
                for key, price in look.items()
                if key in self.settled
            ]
            yield max(off, default=None)


def _look(campaign: Campaign, now_s: float) -> tuple[Told, Picture]:
    told = ask_cell(campaign.folder, campaign.note, messages=True)
    return told, picture(campaign.note, told, now_s)


def _gap_eur(told: Told) -> float:
    lasts = (status.last for status in told.market.values())
    return fsum(last.plan.gap_eur for last in lasts if last is not None)


def ended_s(record: StepRecord) -> float:
    """Return when a step was over, s after the beginning of the campaign."""
    return record.begun_s + record.step.end_s - record.step.at_s


def _close(records: Sequence[StepRecord], sample: Sample, messages: Messages | None) -> None:
    """Note the counts of messages when the cell is well again after a step."""
    for record in records:
        if record.after is None and sample.at_s > ended_s(record) and not sample.unmet:
            record.after = messages


def _is_settled(campaign: Campaign, sample: Sample) -> bool:
    """Return whether the cell is well again, or had all the time that it may take.

    An interval is to be settled that was wholly traded afterwards, if there is still one.
    """
    records = campaign.begun
    calendar = campaign.note.calendar
    over_s = max((ended_s(record) for record in records), default=0.0)
    deliveries = (
        calendar.start_s(interval) - campaign.origin_s for interval in range(calendar.intervals)
    )
    later = (each for each in deliveries if each - calendar.interval_s >= over_s)
    if sample.at_s < next(later, 0.0):
        return False
    return all(
        sample.at_s > ended_s(record)
        and (
            record.after is not None
            or sample.at_s > ended_s(record) + (record.step.limit_s or PATIENCE_S)
        )
        for record in records
    )


def lost_messages(record: StepRecord) -> dict[str, int]:
    """Return the messages that went nowhere during a step and until it healed, by reason."""
    if record.before is None or record.after is None:
        return {}
    return dict(_gone(record.after) - _gone(record.before))


def _gone(messages: Messages) -> Counter[str]:
    """Return all that was not heard, by reason; what newer words replaced is not missed."""
    gone = Counter(messages.unsent)
    gone.update({reason: n for reason, n in messages.dropped.items() if reason != "refused"})
    gone.update(messages.refused)
    del gone["superseded"]
    return gone
