"""What a command asks for: a role is checked in two processes, each with its own hash seed."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct, structs

import peercell
from peercell.agents.errors import PeercellError
from peercell.broker.conformance.properties import PROPERTIES, first_difference
from peercell.broker.conformance.worker import Finding, Findings, Order

WORKER_S_MAX = 1800.0


class Report(Struct, frozen=True, kw_only=True):
    """What a check came to.

    Parameters
    ----------
    reference : "module:name" of what was checked
    findings : one for each property that was asked
    facts : whether the peers record anything that can be compared
    """

    reference: str
    findings: tuple[Finding, ...]
    facts: bool

    @property
    def schedules(self) -> int:
        """Schedules that were run."""
        return sum(found.schedules for found in self.findings)


def shares(names: Sequence[str], schedules: int) -> dict[str, int]:
    """Return how many schedules each property gets: one that draws none is asked once."""
    drawing = [name for name in names if PROPERTIES[name].draws]
    each, more = divmod(schedules, max(len(drawing), 1))
    given = {name: max(each + (place < more), 1) for place, name in enumerate(drawing)}
    return {name: given.get(name, 1) for name in names}


def check_role(reference: str, names: Sequence[str], seed: int, schedules: int) -> Report:
    """Return which properties a role has.

    Parameters
    ----------
    reference : "module:name", found with the current folder on the import path
    names : of the properties
    seed : of the first schedule; the others follow
    schedules : how many there are in all

    Raises
    ------
    PeercellError : there is no such role, or it gives no example of itself.
    """
    order = Order(reference=reference, schedules=shares(names, schedules), seed=seed)
    with started(order, "0") as one:
        if "deterministic" in names:
            with started(structs.replace(order, digests_only=True), "1") as other:
                found, again = answer(one), answer(other)
        else:
            found = again = answer(one)
    if found.error is not None:
        raise PeercellError(*found.error)
    findings = found.findings
    parted = [
        seed + place
        for place, digests in enumerate(zip(found.digests, again.digests, strict=True))
        if digests[0] != digests[1]
    ]
    if parted:
        findings = tuple(_blamed(each, order, parted[0]) for each in findings)
    return Report(reference=reference, findings=findings, facts=found.facts)


def _blamed(found: Finding, order: Order, seed: int) -> Finding:
    """Return the finding about determinism with where two hash seeds part."""
    if found.name != "deterministic" or found.holds is not True:
        return found
    traced = structs.replace(order, trace_of=seed)
    with started(traced, "0") as one, started(traced, "1") as other:
        where = first_difference(list(answer(one).trace), list(answer(other).trace))
    why = f"with another hash seed, {where}"
    return structs.replace(found, holds=False, seed=seed, why=why)


def started(order: Order, hash_seed: str) -> "subprocess.Popen[bytes]":
    """Return a worker that was told what to do."""
    home = str(Path(next(iter(peercell.__path__))).parent)
    path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed}
    told = msgspec.json.encode(order).decode()
    command = [sys.executable, "-P", "-m", "peercell.broker.conformance.worker", told]
    return subprocess.Popen(  # noqa: S603 - our own interpreter with our own code
        command, stdout=subprocess.PIPE, env=environment
    )


def answer(worker: "subprocess.Popen[bytes]") -> Findings:
    """Return what a worker found.

    Raises
    ------
    PeercellError : it does not end, or ends without an answer.
    """
    try:
        told, _ = worker.communicate(timeout=WORKER_S_MAX)
    except subprocess.TimeoutExpired:
        worker.kill()
        raise PeercellError(
            "the check does not end", f"a step has not returned for {WORKER_S_MAX:g} s"
        ) from None
    if worker.returncode:
        raise PeercellError(
            "the process of the check ended", f"exit code {worker.returncode}, see above"
        )
    return msgspec.json.decode(told, type=Findings)
