"""How fast and how right the power flow is beside pandapower, power-grid-model and OpenDSS.

Every engine gets the same cell, the same changed powers and returns the same: all voltage
magnitudes, all branch loadings, the losses. Times are medians of CPU time of this one process, the
engines taking turns, so ratios hold where absolute numbers do not. Run from the checkout; prints a
page of Markdown, and ends with code 1 when a goal is missed:

    OPENBLAS_NUM_THREADS=1 PYTHONPATH=src:. python -m bench.power_flow > docs/results/power_flow.md

With --quick it takes a few rounds only and no year: a smoke test, not a measurement.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from statistics import median

import numpy as np
from bench.measure import Goals, cpu_us, table
from bench.queries import (
    NUMBA,
    Changes,
    all_days,
    all_voltages,
    by_engine,
    by_feeder,
    by_opendss,
    by_pandapower,
    by_power_grid_model,
)
from power_grid_model import CalculationMethod
from tests.oracles.fused import Oracle, largest_difference_pu
from tests.oracles.opendss import OpenDssOracle
from tests.oracles.pandapower_net import PandapowerOracle
from tests.oracles.pgm import PowerGridModelOracle

from peercell.broker.cells import load_cell, shipped_names
from peercell.grid.admittance import Real
from peercell.grid.feeder import Feeder
from peercell.grid.model import Cell
from peercell.grid.profiles import power_at

CELLS = ("rural1", "case33", "cigre-lv3", "semiurb4", "mvlv108", "rural3")
DAY_STEPS, YEAR_STEPS = 96, 35_040
COMMAND = "OPENBLAS_NUM_THREADS=1 PYTHONPATH=src:. python -m bench.power_flow"


def differences(cell: Cell, changes: Changes) -> dict[str, float]:
    """Return the largest |dV| in pu to each other engine over three queries."""
    feeder = Feeder(cell)
    oracles: list[Oracle] = [PowerGridModelOracle(cell), OpenDssOracle(cell)]
    if cell.phases == 1:
        oracles.append(PandapowerOracle(cell))
    return {
        oracle.name: max(
            largest_difference_pu(
                feeder.solve(*changes.powers(draw)),
                feeder.node_ids,
                oracle.solve(*changes.powers(draw)),
            )
            for draw in range(3)
        )
        for oracle in oracles
    }


def best(times: Mapping[str, float]) -> float:
    """Return the time of power-grid-model's faster exact algorithm."""
    return min(times["newton"], times["current"])


def single(rounds: int, goals: Goals) -> Iterator[str]:
    """Yield the table of single queries, 15 to 130 buses."""
    rows = []
    for name in CELLS:
        loaded = load_cell(name)
        cell, changes = loaded.cell, Changes.of(loaded)
        newton, current = CalculationMethod.newton_raphson, CalculationMethod.iterative_current
        times = cpu_us(
            {
                "feeder": by_feeder(cell, changes),
                "engine": by_engine(cell, changes),
                "runpp": by_pandapower(cell, changes),
                "newton": by_power_grid_model(cell, changes, newton),
                "current": by_power_grid_model(cell, changes, current),
                "opendss": by_opendss(cell, changes, 3),
                "opendss of one phase": by_opendss(cell, changes, 1),
            },
            rounds,
        )
        apart = differences(cell, changes)
        times["PGM"] = best(times)
        ratios = {other: times[other] / times["engine"] for other in times}
        for other, goal in (("runpp", 400.0), ("PGM", 3.0), ("opendss", 1.8)):
            goals.least(f"{name}, single query against {other}", ratios[other], goal)
        for other, pu in apart.items():
            goals.most(f"{name}, |dV| to {other}", pu, 1e-8)
        others = ("runpp", "PGM", "opendss", "opendss of one phase")
        rows.append(
            [
                f"{name} ({len(cell.buses)})",
                f"{times['engine']:,.0f}",
                *(_against(times[key], times["engine"]) for key in others),
                _against(times["feeder"], times["engine"]),
                *(f"{apart[key]:.0e}" for key in ("runpp", "PGM", "OpenDSS")),
            ]
        )
    head = "cell (buses) | engine | runpp | PGM | OpenDSS | OpenDSS, one phase | Feeder.solve"
    yield from table(f"{head} | dV runpp | dV PGM | dV OpenDSS", rows)


def year(days: int, rounds: int, goals: Goals) -> Iterator[str]:
    """Yield the table of a year in quarter hours at 129 buses, the recorded days in turn."""
    loaded = load_cell("rural3")
    feeder, oracle = Feeder(loaded.cell), PowerGridModelOracle(loaded.cell)
    recorded = range(loaded.cell.timeline.steps)
    parts = [recorded[first : first + DAY_STEPS] for first in recorded[::DAY_STEPS]]
    powers = [power_at(loaded.cell, loaded.profiles, part) for part in parts]
    times = cpu_us(all_days(feeder, oracle, powers, days), rounds)
    a_step = {name: time / (days * DAY_STEPS) for name, time in times.items()}
    own, *theirs = a_step.values()
    runpp = cpu_us({"": by_pandapower(loaded.cell, Changes.of(loaded))}, 50)[""]
    goals.least("year against runpp", runpp / own, 1000.0)
    goals.least("year against PGM's better batch", min(theirs) / own, 1.8)
    yield from table(
        f"engine | us a step | {YEAR_STEPS:,} steps in s | of ours",
        [
            [name, f"{us:,.1f}", f"{us * YEAR_STEPS / 1e6:,.2f}", _ratio(us / own)]
            for name, us in (a_step | {"runpp, from 50 calls": runpp}).items()
        ],
    )
    apart = _batch_difference(feeder, oracle, *powers[0])
    goals.most("year, |V| to PGM", apart, 1e-8)
    yield f"Measured over {days * DAY_STEPS:,} steps in calls of a day: larger results spend their"
    yield f"time in fresh memory. Magnitudes agree with PGM's within {apart:.0e} pu."
    yield ""


def _batch_difference(
    feeder: Feeder, oracle: PowerGridModelOracle, p_kw: Real, q_kvar: Real
) -> float:
    """Return the largest difference in |V| between two batches, in pu."""
    update = oracle.update(np.arange(p_kw.shape[1]), p_kw, q_kvar)
    newton = CalculationMethod.newton_raphson
    theirs = oracle.calculate_batch(update, newton, {"node": ["u_pu"]})["node"]["u_pu"]
    ours = np.abs(feeder.solve_steps(p_kw, q_kvar).voltage)
    return float(np.abs(theirs[:, oracle.rows_of(feeder.node_ids)] - ours).max())


def unbalanced(rounds: int, goals: Goals) -> Iterator[str]:
    """Yield the table of the European feeder, 2,721 nodes."""
    loaded = load_cell("eu-lv")
    cell, changes = loaded.cell, Changes.of(loaded)
    voltages = cpu_us(all_voltages(cell, changes), rounds)
    goals.least("eu-lv against runpp_3ph", voltages["runpp_3ph"] / voltages["ours"], 800.0)
    goals.least("eu-lv against OpenDSS", voltages["OpenDSS"] / voltages["ours"], 8.0)
    everything = cpu_us(
        {
            "ours": by_feeder(cell, changes),
            "PGM": by_power_grid_model(cell, changes, CalculationMethod.iterative_current),
            "OpenDSS": by_opendss(cell, changes, 3),
        },
        rounds,
    )
    rows = [
        [
            what,
            *(_against(times[name], times["ours"]) if name in times else "" for name in voltages),
        ]
        for what, times in (("all voltages", voltages), ("and loadings, losses", everything))
    ]
    yield from table("query | ours | runpp_3ph | PGM, iterative current | OpenDSS", rows)
    for other, pu in differences(cell, changes).items():
        goals.most(f"eu-lv, |dV| to {other}", pu, 1e-7)
        yield f"All complex voltages agree with {other}'s within {pu:.0e} pu."
    yield ""


def _against(time_us: float | None, ours_us: float) -> str:
    if time_us is None:
        return ""
    return f"{time_us:,.0f} ({_ratio(time_us / ours_us)})"


def _ratio(ratio: float) -> str:
    return f"{ratio:,.0f}x" if ratio > 50.0 else f"{ratio:.1f}x"


# What a process does before its first query; a process of its own, so that nothing is shared.
_LOADING = """
import json, sys, time
start = time.process_time()
from peercell.broker.cells import load_cell
from peercell.grid.feeder import Feeder
imported = time.process_time()
loaded = load_cell(sys.argv[1])
read = time.process_time()
peak = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
loaded_mib = peak()
Feeder(loaded.cell)
ready = time.process_time()
heavy = [name for name in ("pandapower", "pandas", "simbench", "scipy") if name in sys.modules]
print(json.dumps([imported - start, read - imported, ready - read, loaded_mib, peak(), heavy]))
"""


def loading(goals: Goals) -> Iterator[str]:
    """Yield the table of what it takes to load each shipped cell."""
    rows = []
    for name in shipped_names():
        tries = [
            json.loads(subprocess.check_output([sys.executable, "-c", _LOADING, name]))
            for _ in range(3)
        ]
        imports, read, ready = (median(t[k] for t in tries) * 1e3 for k in range(3))
        loaded_mib, peak_mib, heavy = tries[0][3:]
        goals.most(f"{name}, ms to load", read, 100.0)
        goals.most(f"{name}, MiB when loaded", loaded_mib, 60.0)
        numbers = [f"{number:.0f}" for number in (imports, read, ready, loaded_mib, peak_mib)]
        rows.append([name, *numbers, ", ".join(heavy) or "none"])
    yield from table(
        "cell | imports, ms | load, ms | Feeder, ms | MiB loaded | MiB with Feeder | heavy modules",
        rows,
    )


def page(rounds: int, days: int, goals: Goals) -> Iterator[str]:
    """Yield the page of results."""
    packages = ("numpy", "pandapower", "power-grid-model", "OpenDSSDirect.py")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    yield "# Power flow: speed and agreement"
    yield ""
    yield f"Made by `{COMMAND}`."
    yield f"CPU time, medians, engines taking turns; {os.cpu_count()} cores shared with others,"
    yield f"{os.environ.get('OPENBLAS_NUM_THREADS', 'any number of')} BLAS thread,"
    yield f"Python {platform.python_version()}, {versions},"
    yield f"{'with' if NUMBA else 'without'} numba for pandapower."
    yield "Ratios say how many times slower the other is; absolute numbers depend on the hour."
    yield ""
    yield "## One query: five changed injections to all |V|, all loadings, the losses (us)"
    yield ""
    yield "Ours is the engine, which takes the changes alone, as PGM and OpenDSS do; `Feeder.solve`"
    yield "takes the power of every asset and sums it by node. The rest stays at its first noon."
    yield "PGM is power-grid-model's faster exact algorithm, OpenDSS runs at a tolerance of 1e-8."
    yield "It is used with three phases; a circuit of one phase is the least that it can be given."
    yield "It starts from its last answer; ours from no load, so that equal states give equal bits."
    yield ""
    yield from single(rounds, goals)
    yield "## A year in quarter hours, 129 buses"
    yield ""
    yield from year(days, 3, goals)
    yield "## Unbalanced: the European low-voltage feeder, 2,721 nodes"
    yield ""
    yield from unbalanced(rounds, goals)
    yield "## Loading a cell in a fresh process"
    yield ""
    yield from loading(goals)
    yield "## Goals"
    yield ""
    yield from [f"- missed: {line}" for line in goals.missed] or ["All goals are reached."]


def main() -> int:
    """Print the page; return 1 when a goal was missed."""
    quick = "--quick" in sys.argv[1:]
    goals = Goals()
    for line in page(3 if quick else 25, 14 if quick else 365, goals):
        print(line, flush=True)
    return 1 if goals.missed and not quick else 0


if __name__ == "__main__":
    sys.exit(main())
