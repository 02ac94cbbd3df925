"""Which command repeats a run of a sweep, and on what it was run."""

import shlex
from datetime import date
from pathlib import Path

from msgspec import Struct

from peercell.agents.errors import PeercellError
from peercell.broker.configuration.toml_file import Setting
from peercell.broker.outcomes.result_tables import SweptRun
from peercell.broker.sweeps.sweep import config_hash


class Repro(Struct, frozen=True, kw_only=True):
    """How to repeat a run.

    Parameters
    ----------
    run : its number in the sweep
    command : that repeats it
    seed, config, config_hash, versions : on which it was run
    same_config : whether the config, its grid and the plan of faults are what they were; None when
        they are gone
    """

    run: int
    command: str
    seed: int
    config: str
    config_hash: str
    versions: dict[str, str]
    same_config: bool | None


def repro_of(found: SweptRun) -> Repro:
    """Return how to repeat a run of a sweep."""
    note, run = found.sweep.note, found.run
    path, plan = Path(note.config), Path(note.faults) if note.faults else None
    try:
        same = config_hash(path, plan) == run.config_hash
    except (PeercellError, OSError):
        same = None
    values = [run.settings[key] for key in note.keys]
    settings = [Setting(*each) for each in zip(note.places, values, strict=True)]
    return Repro(
        run=run.run,
        command=_command(path, note.day, settings, run.seed, plan),
        seed=run.seed,
        config=note.config,
        config_hash=run.config_hash,
        versions=run.versions,
        same_config=same,
    )


def repro_text(repro: Repro) -> str:
    """Return it so that a shell can be given the whole text."""
    state = {
        True: "as it is now",
        False: "which is another one now",
        None: "which cannot be read now",
    }
    versions = ", ".join(f"{name} {version}" for name, version in repro.versions.items())
    return "\n".join(
        (
            repro.command,
            f"# seed {repro.seed}; {versions}",
            f"# config hash {repro.config_hash}, {state[repro.same_config]}",
        )
    )


def _command(
    config: Path, day: date | None, settings: list[Setting], seed: int, plan: Path | None
) -> str:
    words = ["peercell", "run", _from_here(config), "--sim"]
    if day is not None:
        words += ["--day", f"{day}"]
    for setting in settings:
        words += ["--set", str(setting)]
    if plan is not None:
        words += ["--faults", _from_here(plan)]
    return shlex.join([*words, "--seed", str(seed)])


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
