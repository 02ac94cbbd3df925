"""Reports of a cell as text for a terminal: what was understood, an operating point, a day."""

import shutil
import textwrap
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

import click

from peercell.broker.cellcheck import CellCheck
from peercell.broker.terminal.chart import Axes, Curve, chart
from peercell.broker.terminal.output import Row, table
from peercell.grid.study import Day, OperatingPoint, Slopes
from peercell.grid.summary import Summary
from peercell.grid.violations import Episode, Violation, ViolationKind

# More rows than a screen has help nobody; the other formats always hold all of them.
_ROWS_MAX = 40
_ROWS_WORST = 15
_COLUMNS_MAX = 110
_CHART_LINES = 10
_LABEL = 12
_WORDS = {
    ViolationKind.OVER_VOLTAGE: ("over voltage", "above"),
    ViolationKind.UNDER_VOLTAGE: ("under voltage", "below"),
    ViolationKind.OVERLOAD: ("overload", "above"),
}


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return lines of a label and its text, wrapped; what has no text is left out."""
    wrapper = textwrap.TextWrapper(
        width=width(),
        subsequent_indent=" " * _LABEL,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(wrapper.fill(f"{label:<{_LABEL}}{text}") for label, text in pairs if text)


def width() -> int:
    """Return how many columns a report may take."""
    return min(shutil.get_terminal_size((80, 24)).columns, _COLUMNS_MAX)


def summary_text(summary: Summary) -> str:
    """Return what was understood of a cell."""
    made_by = summary.provenance.command
    found = facts(
        [
            (summary.cell, summary.title),
            ("phases", "1 (balanced)" if summary.phases == 1 else "3 (unbalanced)"),
            ("network", _network_text(summary)),
            (
                "sources",
                ", ".join(f"{s.id} at bus {s.bus}, {s.v_pu:g} pu" for s in summary.sources),
            ),
            ("customers", _assets_text(summary)),
            ("limits", _limits_text(summary)),
            ("microgrids", _zones_text(summary)),
            ("profiles", _timeline_text(summary)),
            ("source", summary.provenance.source),
            ("licence", summary.provenance.licence),
            ("hash", summary.hash),
            *(("note", note) for note in summary.provenance.notes),
        ]
    )
    # Never wrapped: a command is there to be pasted.
    return f"{found}\n{'made by':<{_LABEL}}{made_by}" if made_by else found


def check_text(check: CellCheck) -> str:
    """Return what was understood of a cell, and how its power flow converges."""
    rows = (
        f", in at most {check.iterations_steps} over {check.summary.steps:,} rows of the profiles"
        if check.iterations_steps is not None
        else ""
    )
    flow = f"power flow converges in {count(check.iterations, 'iteration')}{rows}"
    slips = count(len(check.warnings), "warning") if check.warnings else "nothing looks wrong"
    return f"{summary_text(check.summary)}\n\n{flow}\n{slips}"


def _network_text(summary: Summary) -> str:
    """Return the counts of the network's elements in one line."""
    return ", ".join(
        [
            count(summary.buses, "bus", "buses"),
            *(count(number, kind) for kind, number in summary.branches.items()),
            count(summary.transformers, "transformer"),
            f"{count(summary.switches, 'switch', 'switches')} ({summary.switches_open} open)",
        ]
    )


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: 1 bus, 2 buses."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _assets_text(summary: Summary) -> str:
    kinds = ", ".join(f"{number} {kind}" for kind, number in summary.assets.items())
    return f"{summary.customers} with {kinds or 'no assets'}"


def _limits_text(summary: Summary) -> str:
    return (
        f"{summary.v_min_pu:g} to {summary.v_max_pu:g} pu, "
        f"loading up to {summary.loading_percent_max:g} %"
    )


def _zones_text(summary: Summary) -> str:
    names = ", ".join(
        f"{m.id} ({count(m.buses, 'bus', 'buses')}, {count(m.customers, 'customer')})"
        for m in summary.microgrids[:6]
    )
    more = f" and {len(summary.microgrids) - 6} more" if len(summary.microgrids) > 6 else ""
    ties = f"; {count(summary.ties, 'tie')}" if summary.ties else ""
    return f"{names}{more}{ties}" if names else ""


def _timeline_text(summary: Summary) -> str:
    if not summary.steps:
        return "none: one nominal snapshot"
    windows = ", ".join(
        f"{w.start:%Y-%m-%dT%H:%M} to {w.end:%Y-%m-%dT%H:%M}" for w in summary.windows
    )
    return (
        f"{summary.profiles} over {summary.days:g} days in steps of {summary.step_s / 60:g} min: "
        f"{windows}"
    )


def point_text(point: OperatingPoint) -> str:
    """Return an operating point: sums, voltages, loadings, and what is violated."""
    when = f"at {point.at:%Y-%m-%dT%H:%M}" if point.at else "at nominal power"
    direction = "the source feeds the cell" if point.source_kw > 0 else "the cell exports"
    head = facts(
        [
            (point.cell, f"solved {when} in {count(point.iterations, 'iteration')}"),
            ("source", f"{point.source_kw:,.1f} kW, {point.source_kvar:,.1f} kvar ({direction})"),
            ("losses", f"{point.losses_kw:,.2f} kW"),
        ]
    )
    parts = [head, _buses_table(point), _branches_table(point), _violations(point.violations)]
    return "\n\n".join(part for part in parts if part)


def point_rows(point: OperatingPoint) -> list[Row]:
    """Return a row a bus."""
    return [
        {"bus": name, "v_pu": bus.v_pu, "angle_deg": bus.angle_deg, "cause": bus.cause}
        for name, bus in point.buses.items()
    ]


def _buses_table(point: OperatingPoint) -> str:
    columns = {"bus": "", "v_pu": ".4f", "angle_deg": ".2f"}
    if any(bus.cause for bus in point.buses.values()):
        columns["cause"] = ""
    return _worst(point_rows(point), columns, "buses", lambda row: abs(_or(row["v_pu"], 1.0) - 1.0))


def _branches_table(point: OperatingPoint) -> str:
    rows: list[Row] = [
        {"branch": name, "p_from_kw": branch.p_from_kw, "loading_percent": branch.loading_percent}
        for name, branch in point.branches.items()
    ]
    columns = {"branch": "", "p_from_kw": ",.2f", "loading_percent": ".1f"}
    return _worst(rows, columns, "branches", lambda row: _or(row["loading_percent"], 0.0))


def _or(value: object, missing: float) -> float:
    return value if isinstance(value, float) else missing


def _worst(
    rows: Sequence[Row], columns: dict[str, str], what: str, badness: Callable[[Row], float]
) -> str:
    """Return a table of all rows where they fit a screen, else of the worst ones, worst first."""
    if len(rows) <= _ROWS_MAX:
        return table(rows, columns)
    shown = sorted(rows, key=badness, reverse=True)[:_ROWS_WORST]
    rest = f"the {len(shown)} most stressed of {len(rows):,} {what}; -o json has all of them"
    return f"{table(shown, columns)}\n({rest})"


def _violations(violations: Sequence[Violation]) -> str:
    """Return what is violated, a line each."""
    if not violations:
        return "no limit is violated"
    lines = [_violation(violation) for violation in violations[:_ROWS_MAX]]
    if len(violations) > _ROWS_MAX:
        lines.append(f"  and {len(violations) - _ROWS_MAX:,} more; -o json has all of them")
    return "\n".join([click.style(count(len(violations), "violation") + ":", fg="red"), *lines])


def _violation(violation: Violation) -> str:
    name, _ = _WORDS[violation.kind]
    value = _quantity(violation.value, violation.unit)
    return f"  {name:<14} {violation.element:<10} {value} (limit {violation.limit:g})"


def _quantity(value: float, unit: str) -> str:
    return f"{value:.4f} pu" if unit == "pu" else f"{value:,.1f} {unit}"


def day_text(day: Day) -> str:
    """Return a day: curves of voltage and loading, energy, and last what breaks."""
    minutes = day.step_s / 60
    parts = [
        f"{day.cell} on {day.date:%A} {day.date}, {len(day.steps)} steps of {minutes:g} min",
        _voltage_chart(day),
        _loading_chart(day),
        facts(_day_facts(day)),
        _episodes(day),
    ]
    return "\n\n".join(part for part in parts if part)


def _voltage_chart(day: Day) -> str:
    low = Curve([step.v_min_pu for step in day.steps], "blue")
    high = Curve([step.v_max_pu for step in day.steps], "cyan")
    limits = (day.v_min_limit_pu, day.v_max_limit_pu)
    axes = Axes(width(), _CHART_LINES, limits, _ticks(day), ".3f")
    return f"voltage, pu: highest and lowest bus, limits dashed\n{chart([low, high], axes)}"


def _loading_chart(day: Day) -> str:
    """Return the curve of the transformers, of the lines where there is no transformer."""
    for name, values in (
        ("transformer", [step.transformer_percent for step in day.steps]),
        ("line", [step.line_percent for step in day.steps]),
    ):
        known = [value for value in values if value is not None]
        if known:
            axes = Axes(width(), _CHART_LINES, (day.loading_limit_percent,), _ticks(day), ".0f")
            title = f"loading, %: highest {name}, limit dashed"
            return f"{title}\n{chart([Curve([*known], 'cyan')], axes)}"
    return ""


def _ticks(day: Day) -> list[str]:
    """Return five times, from the start of the first step to the end of the last."""
    first, last = day.steps[0].at, day.steps[-1].at + timedelta(seconds=day.step_s)
    times = [first + (last - first) * quarter / 4 for quarter in range(5)]
    return [f"{time:%H:%M}" for time in times[:-1]] + [_end(first, last)]


def _end(start: datetime, end: datetime) -> str:
    """Return the end of a stretch of a day; midnight after it is 24:00."""
    return "24:00" if end.date() > start.date() else f"{end:%H:%M}"


def _day_facts(day: Day) -> list[tuple[str, str]]:
    high, low, most = day.v_max, day.v_min, day.loading_max
    peak = max(day.steps, key=lambda step: step.source_kw)
    trough = min(day.steps, key=lambda step: step.source_kw)
    return [
        (
            "voltage",
            f"{low.value:.4f} pu (bus {low.element} at {low.at:%H:%M}) to "
            f"{high.value:.4f} pu (bus {high.element} at {high.at:%H:%M})",
        ),
        (
            "loading",
            f"up to {most.value:.1f} % ({most.element} at {most.at:%H:%M})" if most else "",
        ),
        ("import", _exchange(day.import_kwh, peak.source_kw, peak.at)),
        ("export", _exchange(day.export_kwh, -trough.source_kw, trough.at)),
        ("losses", f"{day.losses_kwh:,.1f} kWh"),
    ]


def _exchange(energy_kwh: float, peak_kw: float, at: datetime) -> str:
    peak = f", at most {peak_kw:,.1f} kW at {at:%H:%M}" if peak_kw > 0.0 else ""
    return f"{energy_kwh:,.1f} kWh{peak}"


def _episodes(day: Day) -> str:
    if not day.episodes:
        return "no limit is violated"
    buses = "buses" if day.phases == 1 else "phases of buses"
    steps = f"limits are violated in {day.violated_steps} of {len(day.steps)} steps:"
    return "\n".join([click.style(steps, fg="red"), *(_episode(e, buses) for e in day.episodes)])


def _episode(episode: Episode, buses: str) -> str:
    """Return what breaks, when, where: in one line; `buses` is what has a voltage."""
    name, side = _WORDS[episode.kind]
    voltage = episode.kind is not ViolationKind.OVERLOAD
    number = len(episode.elements)
    at = f"bus {episode.element}" if voltage else episode.element
    what = at if number == 1 else f"{number} {buses if voltage else 'elements'}"
    where = f" at {at}" if number > 1 else ""
    hours = f"{episode.start:%H:%M}-{_end(episode.start, episode.end)}"
    return (
        f"  {hours}  {name:<13} {what} {side} {episode.limit:g} {episode.unit}, "
        f"worst {_quantity(episode.worst, episode.unit)}{where} at {episode.at:%H:%M}"
    )


def slopes_text(slopes: Slopes) -> str:
    """Return how voltages answer to power at a bus, the strongest first."""
    rows = sorted(slope_rows(slopes), key=lambda row: -abs(_or(row["dv_dp_pu_per_kw"], 0.0)))
    columns = {"bus": "", "dv_dp_pu_per_kw": ".3e", "dv_dq_pu_per_kvar": ".3e"}
    method = "exact" if slopes.exact else "first order"
    when = f"at {slopes.at:%Y-%m-%dT%H:%M}" if slopes.at else "at nominal power"
    return (
        f"{slopes.cell}: voltage per power fed in at bus {slopes.bus}, {method}, {when}\n\n"
        f"{table(rows, columns)}"
    )


def slope_rows(slopes: Slopes) -> list[Row]:
    """Return a row a bus."""
    return [
        {
            "bus": name,
            "dv_dp_pu_per_kw": slope.dv_dp_pu_per_kw,
            "dv_dq_pu_per_kvar": slope.dv_dq_pu_per_kvar,
        }
        for name, slope in slopes.buses.items()
    ]
