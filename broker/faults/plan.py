"""What is broken when: a plan of faults, read from TOML as people write it, or a journal of them.

A TOML plan holds a seed and steps. A journal holds one step a line, as JSON, each with its seed: so
what was done to a running cell can be done again to another one, or in simulation.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from peercell.broker.configuration.toml_file import ConfigError, TomlFile
from peercell.broker.faults.kinds import AnyFault, Kill, SpanS
from peercell.broker.home import CellHome

Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
JOURNAL_SUFFIX = ".jsonl"


class Step(Struct, frozen=True, kw_only=True):
    """A fault and its time.

    Parameters
    ----------
    fault : what is wrong
    at_s : s, after the beginning of the plan
    for_s : s, how long; None for a `Kill`, and else for until somebody takes it back
    limit_s : s after its end within which the cell has to be well again; None for no limit
    name : for people; "" for one made of the fault
    seed : of its chance; None for one that follows from the plan's
    """

    fault: AnyFault
    at_s: SpanS = 0.0
    for_s: SpanS | None = None
    limit_s: SpanS | None = None
    name: str = ""
    seed: Seed | None = None

    @property
    def end_s(self) -> float:
        """When nothing is wrong any more, s after the beginning; infinite when never by itself."""
        if isinstance(self.fault, Kill):
            return self.at_s + self.fault.lasts_s
        return self.at_s + (float("inf") if self.for_s is None else self.for_s)

    @property
    def title(self) -> str:
        """What to call it: its name, or such as `loss share=0.3 on=all`."""
        told = msgspec.to_builtins(self.fault)
        return self.name or " ".join(
            (told.pop("kind"), *(f"{key}={value}" for key, value in told.items()))
        )


class FaultPlan(Struct, frozen=True):
    """Steps in any order; the same plan does the same to the same cell.

    Parameters
    ----------
    seed : of all chance that no step has a seed of its own for; None for that of the run
    steps : what happens
    """

    seed: Seed | None = None
    steps: tuple[Step, ...] = ()

    def seeded(self, run_seed: int = 0) -> "FaultPlan":
        """Return the same plan with a seed in every step, for a run with a seed."""
        first = run_seed if self.seed is None else self.seed
        return FaultPlan(
            first,
            tuple(
                step if step.seed is not None else msgspec.structs.replace(step, seed=seed)
                for seed, step in enumerate(self.steps, start=first)
            ),
        )

    @property
    def end_s(self) -> float:
        """When nothing is wrong any more, s after the beginning."""
        return max((step.end_s for step in self.steps), default=0.0)


def read_plan(path: Path) -> FaultPlan:
    """Return the plan in a TOML file, or in a journal, whose name ends in `.jsonl`.

    Raises
    ------
    ConfigError : it says what cannot be.
    OSError : the file cannot be read.
    """
    if path.suffix == JOURNAL_SUFFIX:
        return plan_of_journal(path.read_bytes(), str(path))
    return plan_of_toml(path.read_text(), str(path))


def noted_steps(folder: Path) -> tuple[Step, ...]:
    """Return what was broken on purpose in a run, from its folder.

    Raises
    ------
    ConfigError : its journal of faults is none.
    """
    path = CellHome(folder).faults
    return read_plan(path).steps if path.exists() else ()


def plan_of_toml(text: str, name: str) -> FaultPlan:
    """Return the plan in a TOML text; `name` is what to call it in errors.

    Raises
    ------
    ConfigError : not TOML, an unknown key or kind, a value out of range, or a step without end.
    """
    file = TomlFile(name, text)
    plan = file.decode(FaultPlan)
    for place, step in enumerate(plan.steps):
        if isinstance(step.fault, Kill):
            if step.for_s is not None:
                raise file.wrong(
                    ("steps", place, "for_s"),
                    f'"steps[{place}].for_s" is not for a kill, which is over at once',
                    "",
                    f"restart_after_s = {step.for_s} in its fault",
                )
        elif step.for_s is None:
            raise file.missing_key(("steps", place), "for_s")
    return plan


def plan_of_journal(lines: bytes, name: str) -> FaultPlan:
    """Return the plan in a journal; `name` is what to call it in errors.

    Raises
    ------
    ConfigError : a line is no step.
    """
    steps = []
    for number, line in enumerate(lines.splitlines(), start=1):
        try:
            steps.append(_read_line(line))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(f"{name}:{number}: this is no fault", str(error)) from None
    return FaultPlan(0, tuple(steps)).seeded()


def journal_of(steps: Iterable[Step]) -> bytes:
    """Return the lines of a journal; each step needs a seed, as in `FaultPlan.seeded`."""
    return b"".join(_write_line(step) + b"\n" for step in steps)


_read_line = msgspec.json.Decoder(Step).decode
_write_line = msgspec.json.Encoder().encode
