"""Where pandapower and SimBench come from: imported when first needed, nowhere else in peercell."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from peercell.agents.errors import MissingExtraError

# Both libraries carry no types: a network is a dictionary of tables, a table a pandas frame.
Net = Any
Table = Any


def pandapower() -> Any:
    """Return the module `pandapower`; MissingExtraError when it is not installed."""
    return _library("pandapower", "grid")


def pandas() -> Any:
    """Return the module `pandas`, which comes with pandapower."""
    return _library("pandas", "grid")


def simbench() -> Any:
    """Return the module `simbench`; MissingExtraError when it is not installed."""
    return _library("simbench", "simbench")


def submodule(name: str) -> Any:
    """Return a module inside pandapower or SimBench by its full name."""
    return _library(name, "simbench" if name.startswith("simbench") else "grid")


def _library(name: str, extra: str) -> Any:
    try:
        with quiet():
            return import_module(name)
    except ImportError:
        raise MissingExtraError("compiling a network", extra) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' warnings and log lines to themselves; their errors still come through."""
    loggers = [logging.getLogger(name) for name in ("pandapower", "simbench")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def records(table: Table) -> list[tuple[int, dict[str, Any]]]:
    """Return the rows of a table as (index, row by column), in table order."""
    return list(zip((int(i) for i in table.index), table.to_dict("records"), strict=True))


def text(value: object) -> str:
    """Return a table's cell as text, empty for None and not-a-number."""
    return "" if value is None or str(value) in ("nan", "NaT", "<NA>", "None") else str(value)


def number(value: Any, default: float = 0.0) -> float:
    """Return a table's cell as a float, the default for None and not-a-number."""
    return default if text(value) == "" else float(value)


def tidy(value: float) -> float:
    """Return a value with 12 significant digits, so that machines agree on it; never -0.0."""
    return float(f"{float(value):.12g}") + 0.0
