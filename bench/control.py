"""How soon and how cheaply gossip keeps voltages in limits: beside the optimum and beside droop.

The real voltage agents control the reference cases on a virtual clock, against the real physics; a
tick is a second, so the numbers do not depend on the machine. Run from the checkout; prints a page
of Markdown, and ends with code 1 when a goal is missed:

    OPENBLAS_NUM_THREADS=1 PYTHONPATH=src:. python -m bench.control > docs/results/control.md

The pictures of the page are written beside it, to docs/images. With --quick it takes the small
cases, one seed and no day: a smoke test, not a measurement.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.control_day import Compared, day_of
from bench.control_runs import (
    CONDITIONS,
    LARGE,
    LOSS,
    SMALL,
    Condition,
    Measured,
    by_droop,
    by_gradient,
    by_optimum,
    by_peers,
    case_of,
    is_lost,
    is_over,
    wrong_by,
)
from bench.measure import Goals, table
from bench.pool import Job, measure

from peercell.broker.plots.control import (
    DayCurves,
    TicksTaken,
    draw_energy,
    draw_profile,
    draw_ticks,
)
from peercell.grid.controlled_feeder import ControlledFeeder, Outcome

IMAGES = Path("docs/images")
OVER = ("rural1-ov", "rural2-ov", "rural3-ov", "semiurb4-ov", "cigre-lv-ov", "case33-ov")
UNDER = (
    "rural1-uv",
    "rural2-uv",
    "rural3-uv",
    "semiurb4-uv",
    "cigre-lv-uv70",
    "cigre-lv-uv80",
    "cigre-lv-uv90",
    "case33-uv",
)
CONGESTED = "rural1-congestion"
# Of standard droop's curtailed energy, on the worst day.
DAYS = {"rural1-ov": 0.25, "rural2-ov": 0.25, "rural3-ov": 0.25, "semiurb4-ov": 0.70}
WRONG = ((0.5, 0.5), (0.7, 0.7), (1.3, 1.3), (2.0, 2.0), (0.7, 1.3), (1.3, 0.7))
COMMAND = "OPENBLAS_NUM_THREADS=1 PYTHONPATH=src:. python -m bench.control"


@dataclass(frozen=True)
class Study:
    """What was measured on which cases."""

    names: Sequence[str]
    seeds: int
    found: Mapping[Job, Any]

    def runs(self, name: str, condition: Condition) -> list[Measured]:
        """Return the runs of a case under a condition."""
        return [self.found[job] for job in runs_of(name, condition, self.seeds)]

    def kept(self, name: str, condition: Condition) -> list[Measured]:
        """Return those of them in which somebody could have kept the limits."""
        return [run for run in self.runs(name, condition) if not is_lost(name, run)]

    def optimum(self, name: str) -> Outcome:
        """Return what the central optimum reaches."""
        best: Outcome = self.found[by_optimum, (name,)]
        return best


def runs_of(name: str, condition: Condition, seeds: int) -> list[Job]:
    """Return the runs of a case; a large one has one seed."""
    return [(by_peers, (name, condition, seed)) for seed in range(1 if name in LARGE else seeds)]


def jobs(names: Sequence[str], seeds: int, days: Sequence[str]) -> Iterator[Job]:
    """Yield all that is to be measured, what takes longest first."""
    yield from ((day_of, (name,)) for name in days)
    for name in sorted(names, key=lambda name: name not in LARGE):
        yield by_optimum, (name,)
        for condition in CONDITIONS:
            yield from runs_of(name, condition, seeds)
        if name != CONGESTED:
            yield by_droop, (name,)
            yield by_gradient, (name,)
        if name in OVER:
            yield from ((wrong_by, (name, *factors)) for factors in WRONG)


def goal_ticks(name: str, condition: Condition) -> int:
    """Return in how many ticks a case is to be in limits for good."""
    if condition.goal_over == condition.goal_under or is_over(name):
        return condition.goal_over
    return condition.goal_under


def soon(study: Study, goals: Goals) -> Iterator[str]:
    """Yield how many ticks each case takes under each condition, and check the goals."""
    rows = []
    for name in study.names:
        feeder = ControlledFeeder(case_of(name))
        before = feeder.outcome(*feeder.uncontrolled)
        extreme = before.v_max_pu if is_over(name) else before.v_min_pu
        agents = study.runs(name, LOSS)[0].agents
        cells = [name, f"{extreme:.4f}", f"{agents} / {len(feeder.case.devices)}"]
        for condition in CONDITIONS:
            kept = study.kept(name, condition)
            lost = len(study.runs(name, condition)) - len(kept)
            cells.append(spread([run.result.ticks for run in kept]) + " (*)" * lost)
            for run in kept:
                what = f"{name}, {condition.name}"
                goals.most(f"{what}, ticks", run.result.ticks, goal_ticks(name, condition))
                goals.least(f"{what}, in limits", run.result.in_limits, 1)
        traffic = [run.result.bytes_per_agent_s for run in study.runs(name, LOSS)]
        goals.most(f"{name}, bytes an agent and tick", max(traffic), 3000)
        rows.append([*cells, f"{max(traffic):,.0f}"])
    heads = [condition.name for condition in CONDITIONS]
    yield from table(
        " | ".join(["case", "pu before", "agents / devices", *heads, "bytes an agent and tick"]),
        rows,
    )
    yield "(*) A run in which nobody could keep the limits with the devices that were left."
    yield ""


def spread(values: Sequence[int]) -> str:
    """Return the least and the most of some numbers."""
    if not values:
        return ""
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def cheap(study: Study, goals: Goals) -> Iterator[str]:
    """Yield what each case costs beside the optimum, and check the goals."""
    rows, gaps = [], []
    for name in study.names:
        best = study.optimum(name)
        runs = study.runs(name, LOSS)
        worst = max(runs, key=lambda run: run.result.objective)
        gap = 100.0 * (worst.result.objective / best.objective - 1.0)
        gaps.append(gap)
        goals.most(f"{name}, % above the optimum", gap, 1.0)
        rows.append(
            [
                name,
                f"{best.curtailed_kw:.2f}",
                f"{worst.result.curtailed_kw:.2f}",
                f"{best.reactive_kvar:.1f}",
                f"{worst.result.reactive_kvar:.1f}",
                f"{best.objective:.4f}",
                f"{worst.result.objective:.4f}",
                f"{gap:.3f}",
            ]
        )
    goals.most("median % above the optimum", median(gaps), 0.3)
    yield from table(
        "case | kW off the plan, optimum | peers | kvar, optimum | peers "
        "| objective, optimum | peers | % above",
        rows,
    )
    yield f"The median is {median(gaps):.3f} % above the optimum, at the same margins."
    yield ""


def beside(study: Study) -> Iterator[str]:
    """Yield what other ways reach at the same operating points."""
    rows = []
    for name in (name for name in study.names if name != CONGESTED):
        usual: Outcome = study.found[by_droop, (name,)]
        gradient = study.found[by_gradient, (name,)].result
        held = f"{gradient.ticks}" if gradient.in_limits else "not in limits"
        extreme = usual.v_max_pu if is_over(name) else usual.v_min_pu
        rows.append(
            [
                name,
                f"{study.optimum(name).curtailed_kw:.1f}",
                f"{study.runs(name, LOSS)[0].result.curtailed_kw:.1f}",
                f"{gradient.curtailed_kw:.1f}",
                held,
                f"{usual.curtailed_kw:.1f}",
                f"{extreme:.4f}",
            ]
        )
    yield from table(
        "case | optimum | peers | gradient | its ticks | standard droop | its extreme, pu", rows
    )


def days(study: Study, goals: Goals) -> Iterator[str]:
    """Yield the energies of the worst days, check the goals, and draw them."""
    rows, curves = [], []
    for name, share in DAYS.items():
        found: Compared = study.found[day_of, (name,)]
        rows += day_rows(name, found)
        peers, usual, tuned = (
            found.ways[way].curtailed_kwh for way in ("peers", "standard droop", "tuned droop")
        )
        goals.most(f"{name}, day: share of standard droop", peers / usual, share)
        goals.most(f"{name}, day: kWh beside tuned droop", peers, 1.05 * tuned + 0.1)
        kept = {way: day.curtailed_kw for way, day in found.ways.items()}
        title = name.removesuffix("-ov")
        curves.append(DayCurves(title, found.ways["peers"].hours, kept))
    for ending in ("svg", "png"):
        draw_energy(curves, IMAGES / f"control-energy.{ending}")
    yield from table("cell | way | curtailed kWh | of the sun | highest pu | losses kWh", rows)


def day_rows(name: str, found: Compared) -> list[list[str]]:
    """Return a row for each way over a day."""
    return [
        [
            name.removesuffix("-ov") if number == 0 else "",
            way,
            f"{day.curtailed_kwh:,.1f}",
            f"{day.curtailed_kwh / found.available_kwh:.1%}",
            f"{day.v_max_pu:.4f}",
            f"{day.losses_kwh:,.0f}",
        ]
        for number, (way, day) in enumerate(found.ways.items())
    ]


def wrong_models(study: Study, goals: Goals) -> Iterator[str]:
    """Yield what agents reach that are wrong about the network."""
    rows = []
    for name in (name for name in study.names if name in OVER):
        cells = [name]
        for r_by, x_by in WRONG:
            found = study.found[wrong_by, (name, r_by, x_by)]
            gap = 100.0 * (found.objective / study.optimum(name).objective - 1.0)
            cells.append(f"{found.ticks} ({gap:.2f} %)" if found.in_limits else "not in limits")
            goals.least(f"{name}, R x {r_by:g}, X x {x_by:g}: in limits", found.in_limits, 1)
        rows.append(cells)
    heads = [f"R x {r_by:g}, X x {x_by:g}" for r_by, x_by in WRONG]
    yield from table(" | ".join(["case", *heads]), rows)


def draw(study: Study) -> None:
    """Draw the ticks of all cases, and a feeder before and after."""
    over = [name for name in study.names if name in OVER]
    highest = {name: study.runs(name, LOSS)[0].highest_pu[:120] for name in over}
    taken = [
        TicksTaken(
            condition.name,
            {
                name: max(run.result.ticks for run in study.kept(name, condition))
                for name in study.names
            },
            condition.goal_over,
        )
        for condition in CONDITIONS
    ]
    for ending in ("svg", "png"):
        draw_ticks(highest, 1.05, taken, IMAGES / f"control-ticks.{ending}")
        for name in ("rural3-ov", "case33-uv"):
            after = study.runs(name, LOSS)[0].powers
            feeder = ControlledFeeder(case_of(name))
            path = IMAGES / f"control-{name}.{ending}"
            draw_profile(feeder, feeder.uncontrolled, after, path)


HEAD = f"""# Voltages in limits, by gossip alone

Made by `{COMMAND}` at commit COMMIT.
A tick is a second on a virtual clock, so the numbers are the same on any machine. Two seeds, one of
rural2 and rural3; where one number stands it is the worst. The
[cases](../../tests/reference/control/README.md) are stress tests; their format is in
[the control case](../reference/control-case.md).

## Ticks until all limits hold for good

Fan-out 2. Late: 30 % loss, messages take 0 to 2 ticks, clocks are up to 2 ticks off. Crash: 30 %
loss, and a tenth of the agents dies when the limits have held; counted from then, at the buses of
those that live.
"""
PICTURES = """![voltages over ticks, and ticks to the limits](../images/control-ticks.svg)

![voltages along rural3 before and after](../images/control-rural3-ov.svg)

![voltages along the 33-bus feeder before and after](../images/control-case33-uv.svg)
"""
CHEAP = """## Cost beside the optimum

The optimum knows every load and line at once and is exact for the power flow; margins are the same.
Below 0, a voltage is still between the margin and the limit.
"""
BESIDE = """## Other ways at the same points: kW off the plan

Gradient is the first algorithm of the paper, which knows no cost. Standard droop uses Q from 1.03
to 1.05 pu and cuts P from 1.04 to 1.05 pu, as a share of the rating; flexible load and batteries
answer alike below 0.97 and 0.96 pu.
"""
DAY = """## Energy of the worst day

96 quarter hours, each controlled from a cold start. Tuned droop is the best of 96 settings at the
worst of them, which nobody could know in advance.
"""
ENERGY = "![curtailed power over the day](../images/control-energy.svg)\n"
MODEL = """## Agents that are wrong about the network

Ticks, and % above the optimum: every resistance and reactance that the agents know is multiplied,
those of the network stay. Where R and X are wrong in opposite ways limits hold, but P and Q
are traded at a wrong rate.
"""


def commit() -> str:
    """Return the short name of the commit that is measured."""
    asked = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def page(study: Study, goals: Goals, *, quick: bool) -> Iterator[str]:
    """Yield the page, line by line."""
    yield HEAD.replace("COMMIT", commit())
    yield from soon(study, goals)
    if not quick:
        yield PICTURES
    yield CHEAP
    yield from cheap(study, goals)
    yield BESIDE
    yield from beside(study)
    if not quick:
        yield DAY
        yield from days(study, goals)
        yield ENERGY
    yield MODEL
    yield from wrong_models(study, goals)
    yield "## Goals"
    yield ""
    yield from [f"- missed: {line}" for line in goals.missed] or ["All goals are reached."]


def main() -> int:
    """Print the page and draw its pictures; return 1 when a goal was missed."""
    quick = "--quick" in sys.argv[1:]
    names = SMALL if quick else (*OVER, *UNDER, CONGESTED)
    seeds = 1 if quick else 2
    workers = os.cpu_count() or 1
    study = Study(names, seeds, measure(jobs(names, seeds, () if quick else tuple(DAYS)), workers))
    goals = Goals()
    for line in page(study, goals, quick=quick):
        print(line)
    if not quick:
        draw(study)
    return 1 if goals.missed else 0


if __name__ == "__main__":
    sys.exit(main())
