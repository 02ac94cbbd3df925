"""Many independent measurements, made by several processes, each looked up by what was asked."""

import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

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
