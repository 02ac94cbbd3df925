"""What the processes of a run have logged: the newest lines, and those that are still to come."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from peercell.agents.errors import PeercellError
from peercell.broker.plans.live import note_path, read_note
from peercell.broker.selector import select


class LogLine(Struct, frozen=True):
    """A line that a process has logged; it is called by its first peer."""

    peer: str
    line: str


def chosen_logs(folder: Path, selectors: tuple[str, ...]) -> dict[str, Path]:
    """Return the logs of a run that selectors mean, by process.

    Raises
    ------
    PeercellError : there is no such run, or no such log.
    """
    if not folder.is_dir():
        raise PeercellError(f'there is no run "{folder.name}"', f"{folder} is missing")
    found = {path.stem: path for path in sorted(folder.glob("*.log"))}
    told = read_note(folder).roles if note_path(folder).exists() else {}
    if not found and not selectors:
        return {}
    try:
        return {peer: found[peer] for peer in select(selectors, {p: told.get(p, p) for p in found})}
    except PeercellError as error:
        fix = "with --pack, peers share the log of the first one of their process"
        raise PeercellError(f"no log: {error.what}", error.why, fix) from None


def newest(logs: Mapping[str, Path], count: int) -> Iterator[LogLine]:
    """Yield the last lines of each log."""
    for peer, path in logs.items():
        for line in path.read_text("utf-8", "replace").splitlines()[-count:]:
            yield LogLine(peer, line)


def follow(
    logs: Callable[[], Mapping[str, Path]], count: int, go_on: Callable[[], bool]
) -> Iterator[LogLine]:
    """Yield the last lines of each log, then each new one, until the run has ended.

    Parameters
    ----------
    logs : looks which logs there are by now
    count : of lines of each log that are there already
    go_on : waits between two looks and returns whether more is to be expected
    """
    places = {peer: _start_of_last(path, count) for peer, path in logs().items()}
    expected = True
    while True:
        for peer, path in logs().items():
            lines, places[peer] = _from(path, places.get(peer, 0))
            yield from (LogLine(peer, line) for line in lines)
        if not expected:
            return
        expected = go_on()


def _start_of_last(path: Path, count: int) -> int:
    """Return where the last lines of a log begin."""
    lines = path.read_bytes().splitlines(keepends=True)
    return sum(map(len, lines[:-count]))


def _from(path: Path, place: int) -> tuple[list[str], int]:
    """Return the whole lines of a log from a place on, and where they end.

    A log that became too long was put aside, and is read from its new start.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(place if place <= size else 0)
            start = file.tell()
            told = file.read()
    except FileNotFoundError:
        return [], 0
    whole = told.rfind(b"\n") + 1
    return told[:whole].decode("utf-8", "replace").splitlines(), start + whole
