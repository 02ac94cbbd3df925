"""Who does the runs of a sweep: processes of this machine, or a Ray cluster (extra [ray])."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from enum import StrEnum
from importlib import import_module
from itertools import islice
from typing import Any

from peercell.agents.errors import MissingExtraError, PeercellError
from peercell.broker.sweeps.sweep import Case, Failed, Outcome, run_case
from peercell.broker.terminal.output import builtins

# s; how often to look whether somebody wants to end the sweep.
_LOOK_S = 0.1
# Cases given out for each job, so that none waits for the next one.
_AHEAD = 2


class Engine(StrEnum):
    """Who does the runs."""

    LOCAL = "local"
    RAY = "ray"


def outcomes(
    engine: Engine, cases: Iterable[Case], jobs: int | None, look: Callable[[], None]
) -> Generator[Outcome, None, None]:
    """Yield what the cases come to, as they end.

    Parameters
    ----------
    jobs : how many at once; None for as many as there are cores
    look : is called ten times a second; what it raises ends the sweep and its processes

    Raises
    ------
    MissingExtraError : Ray is wanted and not installed.
    PeercellError : a process was killed.
    """
    match engine:
        case Engine.LOCAL:
            return _local(iter(cases), jobs or len(os.sched_getaffinity(0)), look)
        case Engine.RAY:
            return _on_ray(iter(cases), jobs, look)


def _local(
    cases: Iterator[Case], jobs: int, look: Callable[[], None]
) -> Generator[Outcome, None, None]:
    # What runs need is loaded once, and each process is a fork of that.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([run_case.__module__, "peercell.broker.simulation"])
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin)
    running: dict[Future[Outcome], Case] = {}
    try:
        while True:
            for case in islice(cases, _AHEAD * jobs - len(running)):
                running[pool.submit(run_case, case)] = case
            if not running:
                break
            done, _ = wait(running, _LOOK_S, FIRST_COMPLETED)
            for future in done:
                yield _outcome(running.pop(future), future)
            look()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    pool.shutdown()


def _begin() -> None:
    """Leave Ctrl-C to the process that began the sweep, and end with it, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # The kernel would tell of the fork server only, which lives as long as its children.
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
    os._exit(1)


def _outcome(case: Case, future: "Future[Outcome]") -> Outcome:
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        raise PeercellError(
            "a process of the sweep was killed",
            "often the memory is not enough for so many runs at once",
            "the same command with fewer --jobs; finished runs are kept",
        ) from error
    return future.result() if error is None else _failed(case, error)


def _failed(case: Case, error: BaseException) -> Failed:
    """Return what a defect of peercell makes of a run; the sweep goes on without it."""
    settings = {setting.key: builtins(setting.value) for setting in case.settings}
    reason = f"defect: {type(error).__name__}: {error}"
    return Failed(run=case.number, settings=settings, seed=case.seed, reason=reason)


def _on_ray(
    cases: Iterator[Case], jobs: int | None, look: Callable[[], None]
) -> Generator[Outcome, None, None]:
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise MissingExtraError("a sweep on Ray", "ray") from None
    # That of RAY_ADDRESS, or one that lives as long as this.
    ray.init(log_to_driver=False, ignore_reinit_error=True)
    try:
        task = ray.remote(run_case)
        most = _AHEAD * (jobs or int(ray.cluster_resources()["CPU"]))
        running: dict[Any, Case] = {}
        while True:
            for case in islice(cases, most - len(running)):
                running[task.remote(case)] = case
            if not running:
                break
            done, _ = ray.wait([*running], num_returns=1, timeout=_LOOK_S)
            for reference in done:
                case = running.pop(reference)
                try:
                    outcome: Outcome = ray.get(reference)
                except ray.exceptions.RayError as error:
                    outcome = _failed(case, error)
                yield outcome
            look()
    finally:
        ray.shutdown()
