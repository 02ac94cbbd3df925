"""What the runs of a sweep have come to, as tables: by run, by interval, by round, by settings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from msgspec import structs

from peercell.broker.outcomes.results import IntervalRow
from peercell.broker.outcomes.tables import Table, table_of
from peercell.broker.sweeps.sweep import Finished
from peercell.broker.terminal.output import Row

_ROUND = {"interval": int, "round": int, "residual_eur_per_kwh": float}
SUMMARY_FORMATS = {
    "runs": "",
    "converged": "",
    "rounds_max_p50": ".0f",
    "rounds_max_p90": ".0f",
    "relative_gap_max": ".1e",
    "saving_eur_p50": ".2f",
    "v_min_pu": ".4f",
    "v_max_pu": ".4f",
    "violations": "",
}


def runs_table(runs: Sequence[Finished]) -> Table:
    """Return a row for each run: its settings, its seed and what `peercell run -o json` prints."""
    results = [dict(_leaves("", run.result)) for run in runs]
    names = [*dict.fromkeys(name for result in results for name in result)]
    columns = {name: _kind(result.get(name) for result in results) for name in names}
    return _with_settings(runs, columns, [[dict.fromkeys(names) | result] for result in results])


def intervals_table(runs: Sequence[Finished]) -> Table:
    """Return a row for each interval of each run; see `IntervalRow`."""
    columns = table_of(IntervalRow, ()).columns
    return _with_settings(
        runs, columns, [[structs.asdict(row) for row in run.intervals] for run in runs]
    )


def rounds_table(runs: Sequence[Finished]) -> Table:
    """Return a row for each round of each interval of each run; see `RoundRow`."""
    return _with_settings(runs, _ROUND, [[*_rounds(run)] for run in runs])


def summary(runs: Sequence[Finished]) -> list[Row]:
    """Return a row for each of the settings: how many runs converged, and in what numbers."""
    groups: dict[tuple[Any, ...], list[Finished]] = {}
    for run in runs:
        groups.setdefault(tuple(map(repr, run.settings.values())), []).append(run)
    return [{**group[0].settings, **_summary(group)} for group in groups.values()]


def _summary(runs: Sequence[Finished]) -> dict[str, object]:
    results = [run.result for run in runs]
    rounds = [result["rounds_max"] for result in results]
    lows = [low for result in results if (low := result["v_min_pu"]) is not None]
    highs = [high for result in results if (high := result["v_max_pu"]) is not None]
    return {
        "runs": len(runs),
        "converged": sum(result["converged"] for result in results),
        "rounds_max_p50": float(np.quantile(rounds, 0.5)),
        "rounds_max_p90": float(np.quantile(rounds, 0.9)),
        "relative_gap_max": max(result["relative_gap"] for result in results),
        "saving_eur_p50": float(np.quantile([result["saving_eur"] for result in results], 0.5)),
        "v_min_pu": min(lows, default=None),
        "v_max_pu": max(highs, default=None),
        "violations": sum(result["violations"] for result in results),
    }


def _rounds(run: Finished) -> Iterator[Row]:
    for interval, residuals in zip(run.intervals, run.residuals_eur_per_kwh, strict=True):
        for number, residual in enumerate(residuals, 1):
            yield {
                "interval": interval.interval,
                "round": number,
                "residual_eur_per_kwh": residual,
            }


def _with_settings(
    runs: Sequence[Finished], columns: Mapping[str, type], rows: Sequence[Sequence[Row]]
) -> Table:
    """Return rows of runs with number, settings and seed of their run before them."""
    keys = [*dict.fromkeys(key for run in runs for key in run.settings)]
    kinds = {key: _kind(run.settings.get(key) for run in runs) for key in keys}
    settings = [
        {
            key: value if kinds[key] is not str else _text(value)
            for key, value in run.settings.items()
        }
        for run in runs
    ]
    return Table(
        {"run": int, **kinds, "seed": int, **columns},
        [
            {"run": run.run, **held, "seed": run.seed, **row}
            for run, held, some in zip(runs, settings, rows, strict=True)
            for row in some
        ],
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


def _kind(values: Iterable[object]) -> type:
    """Return the type of a column that holds values; numbers of two kinds are floats."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and kinds:
        return float if float in kinds else int
    (kind,) = kinds if len(kinds) == 1 else (str,)
    return kind if kind in {bool, datetime} else str


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield the single values in a result with their dotted path; lists are left out."""
    match value:
        case dict():
            for key, item in value.items():
                yield from _leaves(f"{path}.{key}" if path else key, item)
        case list() | tuple():
            return
        case _:
            yield path, value
