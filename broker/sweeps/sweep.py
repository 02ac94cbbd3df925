"""Which runs make up a sweep, and what one of them comes to.

Run k * c + i is that of seed k and settings i, of which there are c. So more seeds add runs behind
those that are there, and half of a sweep has half of the seeds of all settings.
"""

import platform
from collections.abc import Iterator
from datetime import date
from hashlib import blake2b
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from peercell import __version__
from peercell.agents.errors import MissingExtraError, PeercellError
from peercell.broker.config import load_grid, read_config
from peercell.broker.configuration.setting import Axis
from peercell.broker.configuration.toml_file import Setting
from peercell.broker.faults.plan import FaultPlan, read_plan
from peercell.broker.outcomes.results import IntervalRow, Run
from peercell.broker.outcomes.verdict import verdict
from peercell.broker.plans.cell import plan_cell
from peercell.broker.plans.live import RunOrder, read_order
from peercell.broker.simulated_run import simulate
from peercell.broker.terminal.output import builtins

RUNS_MAX = 100_000
SEED = ("seed",)


class SweepOrder(Struct, frozen=True, kw_only=True):
    """Which sweep is wanted.

    Parameters
    ----------
    config : file
    day : the whole day to run, in place of what the config says; None for that
    axes : settings to try, each value of each with those of all others
    seed : from which those of the runs are made
    seeds : how many runs each of the settings gets
    faults : file of the plan of what is broken in every run; None for nothing
    """

    config: Path
    day: date | None = None
    axes: tuple[Axis, ...] = ()
    seed: int = 1
    seeds: int = 1
    faults: Path | None = None


class Case(Struct, frozen=True, kw_only=True):
    """One run of a sweep.

    Parameters
    ----------
    number : from 0
    config, day, faults : see `SweepOrder`
    settings : in place of what the config says
    seed : likewise
    config_hash : what `config_hash` has to be when the run begins
    """

    number: int
    config: Path
    day: date | None
    settings: tuple[Setting, ...]
    seed: int
    config_hash: str
    faults: Path | None = None

    @property
    def order(self) -> RunOrder:
        """The run."""
        settings = (*self.settings, Setting(SEED, self.seed))
        return RunOrder(config=self.config, day=self.day, settings=settings)


class Finished(Struct, frozen=True, kw_only=True):
    """What a run of a sweep came to: a line of its `runs.jsonl`.

    Parameters
    ----------
    run : its number
    settings, seed : what held in place of what the config says
    config_hash : of the config without them, see `config_hash`
    versions : of what it ran on
    result : what `peercell run -o json` prints
    intervals : see `results`
    residuals_eur_per_kwh : of each of these intervals in each round from the first; None in a
        round in which nobody has said a price yet. See `RoundRow`
    """

    run: int
    settings: dict[str, Any]
    seed: int
    config_hash: str
    versions: dict[str, str]
    result: dict[str, Any]
    intervals: tuple[IntervalRow, ...]
    residuals_eur_per_kwh: tuple[tuple[float | None, ...], ...]


class Failed(Struct, frozen=True, kw_only=True):
    """Why there is no result of a run; settings and seed as in `Finished`."""

    run: int
    settings: dict[str, Any]
    seed: int
    reason: str


Outcome = Finished | Failed


def cases(order: SweepOrder, config_hash: str) -> Iterator[Case]:
    """Yield the runs of a sweep in the order of their numbers.

    All settings get the same seeds, so that what tells them apart is not their luck.
    """
    number = 0
    for place in range(order.seeds):
        seed = run_seed(order.seed, place)
        for values in product(*(axis.values for axis in order.axes)):
            yield Case(
                number=number,
                config=order.config,
                day=order.day,
                settings=tuple(
                    Setting(axis.place, value)
                    for axis, value in zip(order.axes, values, strict=True)
                ),
                seed=seed,
                config_hash=config_hash,
                faults=order.faults,
            )
            number += 1


def case_count(order: SweepOrder) -> int:
    """Return how many runs a sweep has."""
    count = order.seeds
    for axis in order.axes:
        count *= len(axis.values)
    return count


def run_seed(seed: int, place: int) -> int:
    """Return the seed of those runs of a sweep that have this place among the seeds."""
    return int(np.random.SeedSequence((seed, place)).generate_state(1)[0])


def check_order(order: SweepOrder) -> None:
    """Look at each value of each setting by itself before anything is run.

    Raises
    ------
    MissingExtraError : Mesa is not installed.
    PeercellError : the config is wrong, or one of its settings; or there are too many runs.
    OSError : the config cannot be read.
    """
    if find_spec("mesa") is None:
        raise MissingExtraError("a sweep", "sim")
    if (count := case_count(order)) > RUNS_MAX:
        raise PeercellError(f"this sweep has {count} runs", f"at most {RUNS_MAX} can be done")
    places = [axis.place for axis in order.axes]
    for axis in order.axes:
        if axis.place == SEED:
            raise PeercellError("the seeds of a sweep are not set", "", "--seeds 20 --seed 7")
        if places.count(axis.place) > 1:
            raise PeercellError(f"{axis.key} is set twice", "", f"--set {axis.key}=VALUE,VALUE")
    firsts = tuple(Setting(axis.place, axis.values[0]) for axis in order.axes)
    for k, axis in enumerate(order.axes):
        for value in axis.values:
            settings = (*firsts[:k], Setting(axis.place, value), *firsts[k + 1 :])
            config = read_order(RunOrder(config=order.config, day=order.day, settings=settings))
            if axis.place[0] == "peers":
                # Only the plan knows the role of a peer, and with it the keys of its table.
                plan_cell(config, load_grid(config), 0.0)


def config_hash(path: Path, faults: Path | None = None) -> str:
    """Return what tells a config, its grid and a plan from others; comments do not count.

    Raises
    ------
    ConfigError : a file is no config, or no plan.
    OSError : a file cannot be read.
    """
    config = read_config(path)
    said = msgspec.json.encode(config.file.tables, order="sorted")
    broken = b"" if faults is None else msgspec.json.encode(read_plan(faults))
    return blake2b(said + load_grid(config).hash.encode() + broken, digest_size=16).hexdigest()


def run_case(case: Case) -> Outcome:
    """Return what a run comes to, simulated."""
    settings = {setting.key: builtins(setting.value) for setting in case.settings}
    try:
        _check_unchanged(case)
        plan = FaultPlan() if case.faults is None else read_plan(case.faults)
        run = simulate(case.order, lambda _: None, plan)
        result = builtins(verdict(run, plan.steps))
    except (PeercellError, OSError) as error:
        return Failed(run=case.number, settings=settings, seed=case.seed, reason=str(error))
    return Finished(
        run=case.number,
        settings=settings,
        seed=case.seed,
        config_hash=case.config_hash,
        versions=versions(),
        result=result if isinstance(result, dict) else {},
        intervals=run.intervals,
        residuals_eur_per_kwh=tuple(_residuals(run)),
    )


def _residuals(run: Run) -> Iterator[tuple[float | None, ...]]:
    known = {(row.interval, row.round): row.residual_eur_per_kwh for row in run.round_rows()}
    for row in run.intervals:
        rounds = range(1, row.rounds + 1)
        found = (known.get((row.interval, number)) for number in rounds)
        yield tuple(None if each is None else float(f"{each:.4g}") for each in found)


def _check_unchanged(case: Case) -> None:
    if config_hash(case.config, case.faults) != case.config_hash:
        plan = "" if case.faults is None else f" or {case.faults}"
        raise PeercellError(f"{case.config}{plan} has changed since the sweep began")


def versions() -> dict[str, str]:
    """Return the versions of what the numbers of a run depend on."""
    return {
        "peercell": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "mesa": version("mesa"),
    }
