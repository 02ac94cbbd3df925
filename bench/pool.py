"""Measurements in processes of their own: many side by side, or one alone."""

import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, TypeVar

T = TypeVar("T")
Job = tuple[Callable[..., Any], tuple[Any, ...]]


def measure(jobs: Iterable[Job], workers: int) -> Mapping[Job, Any]:
    """Return what each job found; says on the error output how far it is."""
    wanted = list(dict.fromkeys(jobs))
    found: dict[Job, Any] = {}
    with ProcessPoolExecutor(workers) as pool:
        running = {pool.submit(function, *given): (function, given) for function, given in wanted}
        for done in as_completed(running):
            job = running[done]
            found[job] = done.result()
            names = [str(part)[:40] for part in job[1]]
            print(f"{len(found)}/{len(wanted)} {job[0].__name__} {names}", file=sys.stderr)
    return found


def alone(function: Callable[..., T], *given: object) -> T:
    """Return what a measurement finds in a fresh process.

    In one that others have used, new objects lie scattered in the holes that theirs have left: a
    cell of ten thousand then takes up to a fourth longer.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *given).result()
