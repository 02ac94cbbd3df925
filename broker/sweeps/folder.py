"""Where a sweep keeps its results: one folder, whose files say after any crash what is done.

sweep.json says which sweep it is, runs.jsonl has a line for each finished run in the order in which
they ended, failed.csv one for each that the last call could not finish.
"""

import csv
import fcntl
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, Self

import msgspec
from msgspec import Struct

from peercell import __version__
from peercell.agents.errors import PeercellError
from peercell.broker.configuration.toml_file import Keys, spelt
from peercell.broker.home import replace_file
from peercell.broker.sweeps.sweep import Failed, Finished, Outcome, SweepOrder


class SweepNote(Struct, frozen=True, kw_only=True):
    """Which sweep a folder holds.

    Parameters
    ----------
    config : absolute path of the file
    config_hash : what it says, and its grid
    version : of peercell
    day, seed : as in `SweepOrder`
    places, values : keys of the config, and the values of each
    seeds : most that were ever asked for
    faults : absolute path of the plan of what is broken in every run; "" for nothing
    """

    config: str
    config_hash: str
    version: str
    day: date | None
    seed: int
    places: tuple[Keys, ...]
    values: tuple[tuple[Any, ...], ...]
    seeds: int
    faults: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the config as a TOML file spells them."""
        return tuple(spelt(place) for place in self.places)


class SweepFolder:
    """The folder of a sweep, for reading.

    Parameters
    ----------
    folder : with a `sweep.json`
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def runs(self) -> Path:
        """A line of JSON for each finished run."""
        return self.folder / "runs.jsonl"

    @property
    def failed(self) -> Path:
        """A line for each run that the last call could not finish, under a header."""
        return self.folder / "failed.csv"

    @property
    def note_path(self) -> Path:
        """What the sweep is."""
        return self.folder / "sweep.json"

    def note(self) -> SweepNote:
        """Return what the sweep is.

        Raises
        ------
        PeercellError : the folder holds none, or one that this version cannot read.
        """
        try:
            return msgspec.json.decode(self.note_path.read_bytes(), type=SweepNote)
        except (FileNotFoundError, NotADirectoryError):
            raise PeercellError(
                f"{self.folder} is no folder of a sweep", f"{self.note_path} is missing"
            ) from None
        except msgspec.MsgspecError as error:
            raise PeercellError(f"{self.note_path} is no note of a sweep", str(error)) from None

    def finished(self) -> list[Finished]:
        """Return the finished runs by number; a last line that a crash cut off does not count.

        Raises
        ------
        PeercellError : a line is none of a sweep.
        """
        found: dict[int, Finished] = {}
        for number, line in enumerate(self._lines(), 1):
            try:
                each = msgspec.json.decode(line, type=Finished)
            except msgspec.MsgspecError as error:
                raise PeercellError(
                    f"{self.runs}:{number} is no run of a sweep",
                    str(error),
                    "another --out, if another version of peercell wrote it",
                ) from None
            found[each.run] = each
        return sorted(found.values(), key=lambda each: each.run)

    def _lines(self) -> Iterator[bytes]:
        with suppress(FileNotFoundError):
            content = self.runs.read_bytes()
            yield from content[: content.rfind(b"\n") + 1].splitlines()


class SweepWriter:
    """The folder of a sweep, open for this process alone; made if need be.

    Parameters
    ----------
    folder : of the sweep
    order : which sweep it shall hold
    config_hash : of its config

    Raises
    ------
    PeercellError : the folder holds another sweep, or another process works in it.
    OSError : it cannot be written.
    """

    def __init__(self, folder: Path, order: SweepOrder, config_hash: str) -> None:
        self.files = SweepFolder(folder)
        self.config_hash = config_hash
        folder.mkdir(parents=True, exist_ok=True)
        self._runs = os.open(self.files.runs, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._claim(order)
        except BaseException:
            os.close(self._runs)
            raise

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let another process have the folder."""
        os.close(self._runs)

    def finished(self) -> list[Finished]:
        """Return the runs that need not be done again, by number."""
        return self.files.finished()

    def put(self, outcome: Outcome) -> None:
        """Write an outcome down for good."""
        match outcome:
            case Finished():
                os.write(self._runs, msgspec.json.encode(outcome) + b"\n")
                os.fsync(self._runs)
            case Failed():
                _append_row(self.files.failed, _failed_row(outcome))

    def _claim(self, order: SweepOrder) -> None:
        try:
            fcntl.flock(self._runs, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PeercellError(
                f"another process works in {self.files.folder}", f"it has locked {self.files.runs}"
            ) from None
        note = _note(order, self.config_hash)
        if self.files.note_path.exists():
            _check_same(self.files, note)
            note = msgspec.structs.replace(note, seeds=max(note.seeds, self.files.note().seeds))
        replace_file(self.files.note_path, msgspec.json.format(msgspec.json.encode(note)) + b"\n")
        content = self.files.runs.read_bytes()
        os.ftruncate(self._runs, content.rfind(b"\n") + 1)
        header = ("run", *(axis.key for axis in order.axes), "seed", "reason")
        self.files.failed.write_text("")
        _append_row(self.files.failed, header)


def _note(order: SweepOrder, config_hash: str) -> SweepNote:
    # As JSON gives it back, in which a time is a text.
    values = msgspec.to_builtins([axis.values for axis in order.axes])
    return SweepNote(
        config=str(order.config.resolve()),
        config_hash=config_hash,
        version=__version__,
        day=order.day,
        seed=order.seed,
        places=tuple(axis.place for axis in order.axes),
        values=tuple(tuple(each) for each in values),
        seeds=order.seeds,
        faults="" if order.faults is None else str(order.faults.resolve()),
    )


def _check_same(files: SweepFolder, note: SweepNote) -> None:
    """Refuse to mix the runs of two sweeps."""
    there = files.note()
    for name, what in (
        ("faults", "plan of faults"),
        ("config_hash", "config or plan" if note.faults else "config"),
        ("version", "version of peercell"),
        ("day", "day"),
        ("seed", "--seed"),
        ("places", "set of --set keys"),
        ("values", "list of --set values"),
    ):
        old, new = getattr(there, name), getattr(note, name)
        if old != new:
            raise PeercellError(
                f"{files.folder} holds a sweep with another {what}",
                f"there it is {_said(old)}, here {_said(new)}",
                "another --out; or remove the folder if its results are not needed",
            )


def _said(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _failed_row(outcome: Failed) -> Sequence[object]:
    return (outcome.run, *outcome.settings.values(), outcome.seed, outcome.reason)


def _append_row(path: Path, row: Sequence[object]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    with path.open("a") as file:
        file.write(text.getvalue())
