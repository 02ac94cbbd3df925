"""The process in which roles are checked: `python -m peercell.broker.conformance.worker`.

Its own, because the guard stays in place for good, and because the hash seed is chosen at its
start. Its argument is an `Order` as JSON; it writes `Findings` to stdout. What roles print goes to
stderr.
"""

import os
import signal
import sys
from hashlib import blake2b
from pathlib import Path
from types import FrameType

import msgspec
from msgspec import Struct

from peercell.agents.errors import PeercellError
from peercell.broker.conformance.guard import Guard
from peercell.broker.conformance.properties import PROPERTIES, Bench, Property, trace
from peercell.broker.conformance.subject import failure_text, load
from peercell.broker.conformance.world import RoleError


class Order(Struct, frozen=True, kw_only=True):
    """What to check.

    Parameters
    ----------
    reference : "module:name"
    schedules : seeds to try, by property
    seed : the first of them
    digests_only : only the digests of the traces, for another hash seed to compare
    trace_of : seed of which the whole trace is wanted
    patience_s : s that a schedule may take; a step that does not return ends so
    """

    reference: str
    schedules: dict[str, int]
    seed: int
    digests_only: bool = False
    trace_of: int | None = None
    patience_s: float = 60.0


class Finding(Struct, frozen=True, kw_only=True):
    """What came of a property: `holds` is None where it could not be asked."""

    name: str
    holds: bool | None
    schedules: int
    seed: int | None = None
    why: str = ""


class Findings(Struct, frozen=True, kw_only=True):
    """What a worker found; `error` is (what, why, fix) when there is nothing to check."""

    findings: tuple[Finding, ...] = ()
    digests: tuple[str, ...] = ()
    trace: tuple[str, ...] = ()
    facts: bool = True
    error: tuple[str, str, str] | None = None


def checked(order: Order) -> Findings:
    """Return what comes of an order."""
    guard = Guard()
    guard.install()
    signal.signal(signal.SIGALRM, _lose_patience)
    signal.setitimer(signal.ITIMER_REAL, order.patience_s, order.patience_s)
    try:
        bench = Bench(load(order.reference), guard)
    except PeercellError as error:
        return Findings(error=(error.what, error.why, error.fix))
    if order.trace_of is not None:
        return Findings(trace=tuple(trace(bench, order.trace_of)))
    findings = [] if order.digests_only else _findings(bench, order)
    return Findings(
        findings=tuple(findings),
        digests=_digests(bench, order),
        facts=not bench.rests or bool(bench.clean.outcome),
    )


def _lose_patience(_number: int, frame: FrameType | None) -> None:
    """Raise TimeoutError into whatever does not return."""
    place = ""
    if frame is not None:
        place = f" at {frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}"
    raise TimeoutError(f"no answer{place} after seconds of waiting")


def _findings(bench: Bench, order: Order) -> list[Finding]:
    found = []
    for name, count in order.schedules.items():
        asked = PROPERTIES[name]
        if (asked.needs_clean and not bench.rests) or (asked.draws and bench.raised):
            found.append(Finding(name=name, holds=None, schedules=0, why="settles does not hold"))
        else:
            found.append(_find(bench, name, order, count))
    return found


def _find(bench: Bench, name: str, order: Order, count: int) -> Finding:
    asked: Property = PROPERTIES[name]
    for tried in range(count):
        signal.setitimer(signal.ITIMER_REAL, order.patience_s, order.patience_s)
        why = _why(asked, bench, order.seed + tried)
        if why:
            drawn = order.seed + tried if asked.draws else None
            return Finding(name=name, holds=False, schedules=tried + 1, seed=drawn, why=why)
    return Finding(name=name, holds=True, schedules=count)


def _why(asked: Property, bench: Bench, seed: int) -> str:
    try:
        return asked.check(bench, seed)
    except RoleError as error:
        return failure_text(error)
    except Exception as error:  # noqa: BLE001 - whatever a role raises is the answer
        return f"{type(error).__name__}: {error}"


def _digests(bench: Bench, order: Order) -> tuple[str, ...]:
    seeds = range(order.seed, order.seed + order.schedules.get("deterministic", 0))
    digests = []
    for seed in () if bench.raised else seeds:
        signal.setitimer(signal.ITIMER_REAL, order.patience_s, order.patience_s)
        told = "\n".join(trace(bench, seed)).encode()
        digests.append(blake2b(told, digest_size=8).hexdigest())
    return tuple(digests)


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "wb") as answer:
        os.dup2(2, 1)
        sys.path.insert(0, str(Path.cwd()))
        order = msgspec.json.decode(sys.argv[1], type=Order)
        answer.write(msgspec.json.encode(checked(order)))
