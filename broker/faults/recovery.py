"""How a cell has recovered from each step of a plan, and whether within the limits."""

from collections.abc import Mapping, Sequence
from math import fsum

from msgspec import Struct

from peercell.broker.faults.campaign import Sample, StepRecord, Watched, ended_s, lost_messages
from peercell.broker.outcomes.results import IntervalRow
from peercell.broker.plans.live import RunNote


class StepOutcome(Struct, frozen=True, kw_only=True):
    """What a step did to a cell.

    Parameters
    ----------
    id, step, what : of the fault; its name in the plan, and what it is
    begun_s, ended_s : s after the beginning of the plan
    peak_residual_eur_per_kwh : largest distance of a price from the one that was settled later;
        None if unknown
    peak_gap_eur : highest sum of what the newest plans may cost more than the best ones
    detected_s : s until the cell was not well; None when it stayed so
    healed_s : s from the end of the fault until it was well, and stayed so; None when it was not
    rounds : that the first interval took which was wholly traded afterwards; None without one
    relative_cost : by how much that one cost more than without faults, as a share; None if unknown
    lost : messages that went nowhere until then, by reason
    unaccounted : messages whose counts contradict each other
    value_lost_eur : what the intervals cost more that were traded meanwhile; None if unknown
    limit_s : within which it had to heal; None for no limit
    broken : what no cell may ever do and this one did, in words
    passed : whether it healed in time, an interval was traded afterwards to show that, nothing is
        unaccounted for and nothing broken
    """

    id: str
    step: str
    what: str
    begun_s: float
    ended_s: float
    peak_residual_eur_per_kwh: float | None
    peak_gap_eur: float
    detected_s: float | None
    healed_s: float | None
    rounds: int | None
    relative_cost: float | None
    lost: dict[str, int]
    unaccounted: int
    value_lost_eur: float | None
    limit_s: float | None
    broken: tuple[str, ...]
    passed: bool


class Recovery(Struct, frozen=True, kw_only=True):
    """What a plan did to a cell: each step, and whether all of them passed."""

    cell: str
    passed: bool
    steps: tuple[StepOutcome, ...]
    samples: tuple[Sample, ...]


def recovery(
    note: RunNote,
    watched: Watched,
    rows: Sequence[IntervalRow],
    costs_eur: Mapping[int, float],
    origin_s: float,
) -> Recovery:
    """Return how a cell has recovered from a plan.

    Parameters
    ----------
    note : of the run
    watched : what happened
    rows : the intervals that it has settled
    costs_eur : cost of each interval without faults; empty when unknown
    origin_s : s, Unix time at which the plan began
    """
    judge = _Judge(note, watched, {row.interval: row for row in rows}, costs_eur, origin_s)
    steps = tuple(judge.outcome(record) for record in watched.records)
    return Recovery(
        cell=note.cell,
        passed=all(step.passed for step in steps),
        steps=steps,
        samples=tuple(watched.samples),
    )


class _Judge(Struct):
    note: RunNote
    watched: Watched
    rows: dict[int, IntervalRow]
    costs_eur: Mapping[int, float]
    origin_s: float

    def outcome(self, record: StepRecord) -> StepOutcome:
        """Return what a step did."""
        over_s = ended_s(record)
        seen = self._window(record)
        healed_s = _healed_s([sample for sample in seen if sample.at_s >= over_s], over_s)
        after = self._first_after(over_s)
        counts = record.after
        unaccounted = 0 if counts is None else counts.unaccounted
        in_time = healed_s is not None and healed_s <= (record.step.limit_s or float("inf"))
        hurt = (s.at_s - record.begun_s for s in seen if s.unmet and s.at_s >= record.begun_s)
        until_s = over_s + (healed_s or 0.0)
        residuals = [off for each in seen if (off := each.residual_eur_per_kwh) is not None]
        broken = tuple(dict.fromkeys(said for each in seen for said in each.broken))
        return StepOutcome(
            id=record.row.id,
            step=record.step.name or record.row.what,
            what=record.row.what,
            begun_s=record.begun_s,
            ended_s=over_s,
            peak_residual_eur_per_kwh=max(residuals, default=None),
            peak_gap_eur=max((sample.gap_eur for sample in seen), default=0.0),
            detected_s=next(hurt, None),
            healed_s=healed_s,
            rounds=None if after is None else after.rounds,
            relative_cost=None if after is None else self._relative(after),
            lost=lost_messages(record),
            unaccounted=unaccounted,
            value_lost_eur=self._value_lost_eur(record.begun_s, until_s),
            limit_s=record.step.limit_s,
            broken=broken,
            passed=in_time and after is not None and not unaccounted and not broken,
        )

    def _window(self, record: StepRecord) -> list[Sample]:
        """Return how the cell was from the beginning of a step to that of the next one after it."""
        later = (other.begun_s for other in self.watched.records if other.begun_s > ended_s(record))
        end_s = min(later, default=float("inf"))
        return [each for each in self.watched.samples if record.begun_s <= each.at_s <= end_s]

    def _traded(self, interval: int) -> tuple[float, float]:
        """Return when an interval was traded, s after the beginning of the plan."""
        delivered_s = self.note.calendar.start_s(interval) - self.origin_s
        return delivered_s - self.note.calendar.interval_s, delivered_s

    def _first_after(self, over_s: float) -> IntervalRow | None:
        later = (row for each, row in sorted(self.rows.items()) if self._traded(each)[0] >= over_s)
        return next(later, None)

    def _relative(self, row: IntervalRow) -> float | None:
        cost_eur = self.costs_eur.get(row.interval)
        return None if not cost_eur else (row.cost_eur - cost_eur) / cost_eur

    def _value_lost_eur(self, begun_s: float, until_s: float) -> float | None:
        """Return what intervals cost more that were traded in a time; None when unknown."""
        hit = [
            each
            for each in range(self.note.calendar.intervals)
            if self._traded(each)[0] <= until_s and self._traded(each)[1] >= begun_s
        ]
        known = [each for each in hit if each in self.rows and each in self.costs_eur]
        if not known:
            return None
        return fsum(self.rows[each].cost_eur - self.costs_eur[each] for each in known)


def _healed_s(seen: Sequence[Sample], over_s: float) -> float | None:
    """Return how long after the end of a fault a cell was well from then on; None if it was not."""
    if not seen or seen[-1].unmet:
        return None
    ill = [sample.at_s for sample in seen if sample.unmet]
    well_s = min(sample.at_s for sample in seen if not ill or sample.at_s > ill[-1])
    return well_s - over_s


def recovery_text(found: Recovery) -> str:
    """Return how a cell has recovered, a line a step."""
    return "\n".join(_line(number, step) for number, step in enumerate(found.steps, start=1))


def _line(number: int, step: StepOutcome) -> str:
    healed = "not well again" if step.healed_s is None else f"well after {step.healed_s:.1f} s"
    limit = "" if step.limit_s is None else f" (limit {step.limit_s:g} s)"
    wrong = f", {step.unaccounted} messages unaccounted for" if step.unaccounted else ""
    wrong += "".join(f", BROKEN: {said}" for said in step.broken)
    if step.rounds is None:
        wrong += ", but no interval was traded afterwards"
    verdict = "PASS" if step.passed else "FAIL"
    peak = _shown(step.peak_residual_eur_per_kwh, ".2g")
    return (
        f"step {number}  {step.step:<32} residual peaked at {peak} EUR/kWh, {healed}"
        f"{wrong}   {verdict}{limit}"
    )


def recovery_markdown(found: Recovery, picture: str) -> str:
    """Return the report of a plan.

    Parameters
    ----------
    picture : name of the file beside it; "" for none
    """
    lines = [
        f"# How cell {found.cell} has recovered",
        "",
        f"{'All steps passed.' if found.passed else 'Some steps failed.'} Times are in s;"
        " `healed` counts from the end of the fault,",
        "`residual` is the largest distance of a price from the one that was settled later;",
        "`rounds` and `dearer` are of the first interval that was wholly traded afterwards; `lost`"
        " are messages",
        "that went nowhere, by reason, and `value lost` compares the cost of all intervals"
        " meanwhile with a run without faults.",
        "",
        "| step | from … to | peak residual EUR/kWh | peak gap EUR | detected | healed | rounds"
        " | dearer | lost | unaccounted | value lost EUR | limit | |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        *(_row(step) for step in found.steps),
    ]
    shown = ["", f"![Residual and gap over time]({picture})"] if picture else []
    return "\n".join([*lines, *shown, ""])


def _row(step: StepOutcome) -> str:
    lost = ", ".join(f"{count} {reason}" for reason, count in step.lost.items()) or "0"
    cells = (
        step.step,
        f"{step.begun_s:.1f} … {step.ended_s:.1f}",
        _shown(step.peak_residual_eur_per_kwh, ".2g"),
        f"{step.peak_gap_eur:.2g}",
        _shown(step.detected_s, ".1f"),
        _shown(step.healed_s, ".1f"),
        _shown(step.rounds, "d"),
        _shown(step.relative_cost, ".1e"),
        lost,
        str(step.unaccounted),
        _shown(step.value_lost_eur, ".2f"),
        _shown(step.limit_s, "g"),
        "PASS" if step.passed else "FAIL",
    )
    return f"| {' | '.join(cells)} |"


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form).replace("-0.00", "0.00")
