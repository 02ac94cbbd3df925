"""What a whole run comes to: whether every interval was settled well, and in which numbers."""

from collections.abc import Iterator, Sequence
from math import fsum

from msgspec import Struct

from peercell.broker.accounts import Accounts
from peercell.broker.faults.plan import Step
from peercell.broker.faults.texts import step_text
from peercell.broker.outcomes.results import IntervalRow, Run
from peercell.broker.status.islands import absences
from peercell.broker.status.text import loading_text


class Verdict(Struct, frozen=True, kw_only=True):
    """A run in a few numbers.

    Parameters
    ----------
    converged : every interval was settled by all members together, in time, with a certificate
    unmet : why not; empty when it is
    faults : what was broken on purpose meanwhile
    intervals, settled : asked for, and settled by anybody
    islands_max : groups that settled any interval apart from each other; 1 for a whole cell
    rounds_max : that any interval took
    price_eur_per_kwh_min, price_eur_per_kwh_max : of all members and intervals
    price_spread_eur_per_kwh_max : between the members of one interval
    traded_kwh, unserved_kwh, cost_eur : of the whole run
    gap_eur : by how much at most all plans together cost more than the best ones
    relative_gap : the same by the cost
    saving_eur : of all members together, against each with the retailer alone
    v_min_pu, v_max_pu : of all buses and observed intervals; None without any
    loading_percent_max : of all branches with a rating; None without any
    violations : broken limits, added up over the observed intervals
    deviation_kwh_max : of a prosumer from its plan; None where none was measured
    seed : of the config
    trace_hash : of all that happened, equal for equal runs; None for processes
    rounds : of all intervals together
    messages : what became of all of them; None where nobody has counted
    """

    cell: str
    converged: bool
    unmet: tuple[str, ...]
    faults: tuple[str, ...] = ()
    intervals: int
    settled: int
    islands_max: int
    rounds_max: int
    price_eur_per_kwh_min: float | None
    price_eur_per_kwh_max: float | None
    price_spread_eur_per_kwh_max: float | None
    traded_kwh: float
    unserved_kwh: float
    cost_eur: float
    gap_eur: float
    relative_gap: float
    saving_eur: float
    v_min_pu: float | None
    v_max_pu: float | None
    loading_percent_max: float | None
    violations: int
    deviation_kwh_max: float | None
    seed: int
    trace_hash: str | None
    rounds: int
    messages: Accounts | None


TOO_LATE = "the run was over before it began"
"""Why a step of a plan of faults has done nothing."""


def verdict(run: Run, faults: Sequence[Step] = ()) -> Verdict:
    """Return what a run comes to in which some faults were on."""
    rows = run.intervals
    unmet = tuple(_unmet(run))
    cost, gap = fsum(row.cost_eur for row in rows), fsum(row.gap_eur for row in rows)
    loadings = [percent for row in rows if (percent := row.loading_percent_max) is not None]
    voltages = [(row.v_min_pu, row.v_max_pu) for row in rows]
    deviations = [d for row in rows if (d := row.deviation_kwh_max) is not None]
    return Verdict(
        cell=run.note.cell,
        converged=not unmet,
        unmet=unmet,
        faults=tuple(_faults(run, faults)),
        intervals=run.note.calendar.intervals,
        settled=len(rows),
        islands_max=max((row.islands for row in rows), default=0),
        rounds_max=max((row.rounds for row in rows), default=0),
        price_eur_per_kwh_min=min((row.price_eur_per_kwh_min for row in rows), default=None),
        price_eur_per_kwh_max=max((row.price_eur_per_kwh_max for row in rows), default=None),
        price_spread_eur_per_kwh_max=max(
            (row.price_eur_per_kwh_max - row.price_eur_per_kwh_min for row in rows), default=None
        ),
        traded_kwh=fsum(row.traded_kwh for row in rows),
        unserved_kwh=fsum(row.unserved_kwh for row in rows),
        cost_eur=cost,
        gap_eur=gap,
        relative_gap=gap / cost if cost > 0.0 else 0.0,
        saving_eur=fsum(row.saving_eur for row in rows),
        v_min_pu=min((low for low, _ in voltages if low is not None), default=None),
        v_max_pu=max((high for _, high in voltages if high is not None), default=None),
        loading_percent_max=max(loadings, default=None),
        violations=sum(row.violations or 0 for row in rows),
        deviation_kwh_max=max(deviations, default=None),
        seed=run.note.seed,
        trace_hash=run.trace_hash,
        rounds=sum(row.rounds for row in rows),
        messages=run.messages,
    )


def late_text(step: Step) -> str:
    """Return what became of a step of a plan whose time came after the end of the run."""
    return f"{step_text(step)}: {_no_effect(TOO_LATE)}"


def _no_effect(reason: str) -> str:
    return f"no effect, {reason}"


def _faults(run: Run, steps: Sequence[Step]) -> Iterator[str]:
    """Yield what was broken, and what that did where somebody has counted."""
    for place, step in enumerate(steps):
        if place >= len(run.effects):
            yield step_text(step)
            continue
        hits, refused = run.effects[place]
        yield f"{step_text(step)}: {_no_effect(refused) if refused else f'{hits} hits'}"


def _unmet(run: Run) -> Iterator[str]:
    """Yield what went wrong, an entry an interval."""
    rows = {row.interval: row for row in run.intervals}
    for number in range(run.note.calendar.intervals):
        if reason := _interval_unmet(run, number, rows.get(number)):
            yield reason


def _interval_unmet(run: Run, number: int, row: IntervalRow | None) -> str:
    if row is None:
        return f"interval {number} was settled by nobody"
    apart = tuple(absences(run.settled(number)))
    if row.certified:
        return "; ".join(apart)
    missing = [member for member in run.note.members if (number, member) not in run.settlements]
    if missing:
        return f"interval {number} was not settled by {', '.join(missing)}"
    gate = f"the gate closed before interval {number} was certified, gap {row.gap_eur:.2g} EUR"
    return "; ".join((*apart, gate))


def verdict_text(told: Verdict) -> str:
    """Return a verdict in a few lines; the last of them is the verdict itself."""
    return "\n".join(_lines(told))


def _lines(told: Verdict) -> list[str]:
    lines = [f"fault     {each}" for each in told.faults]
    if told.price_eur_per_kwh_min is not None and told.price_eur_per_kwh_max is not None:
        lines.append(
            f"prices    {told.price_eur_per_kwh_min:.4f} .. {told.price_eur_per_kwh_max:.4f}"
            f" EUR/kWh, at most {told.price_spread_eur_per_kwh_max or 0.0:.4f} apart in an interval"
        )
    lines.append(
        f"energy    {told.traded_kwh:.2f} kWh traded, {told.unserved_kwh:.2f} kWh not served;"
        f" {told.saving_eur:.2f} EUR saved against the retailer alone"
    )
    if told.v_min_pu is not None and told.v_max_pu is not None:
        deviation = told.deviation_kwh_max
        measured = "" if deviation is None else f", deliveries within {deviation:.2g} kWh of plan"
        lines.append(
            f"grid      {told.v_min_pu:.4f} .. {told.v_max_pu:.4f} pu"
            f"{loading_text(told.loading_percent_max)}, {told.violations} violations{measured}"
        )
    if told.converged:
        lines.append(
            f"converged in all {told.intervals} intervals, {told.rounds_max} rounds at most:"
            f" certified to {told.gap_eur:.1e} EUR ({told.relative_gap:.1e}) of the best plan"
        )
    else:
        good = told.intervals - len(told.unmet)
        lines.append(f"not converged: {good} of {told.intervals} intervals")
    return lines
