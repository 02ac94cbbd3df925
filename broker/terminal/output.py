"""What a command says: its answer on stdout, everything else on stderr, in one of four formats.

Rule of this file: a number that is not finite is never written, in no format.
"""

import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import click
import msgspec

# Six digits are more than any meter has; nine keep every digit that two solvers agree on.
SIGNIFICANT_DIGITS = 9

Row = Mapping[str, object]


class Format(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True)
class Answer:
    """What a command found, for people and for programs.

    Parameters
    ----------
    data : what `-o json` prints: a Struct, or builtins and Structs inside lists and dicts.
    rows : what `-o jsonl` and `-o csv` print, a line each; every row has all of `columns`.
    columns : keys of the rows in the order of the CSV header; empty for one row that has parts.
    text : what `-o table` prints.
    wide : what `-o wide` prints; the same as a table where that leaves nothing out.
    hint : one line on stderr that names the next step; `-q` silences it.
    exit_code : what the command ends with; not 0 for an answer that is bad news.
    """

    data: object
    rows: Sequence[Row]
    columns: Sequence[str]
    text: str
    hint: str = ""
    exit_code: int = 0
    wide: str = ""


def listing(things: Sequence[object], columns: Mapping[str, str], hint: str = "") -> Answer:
    """Return the answer of a command that lists things of one kind, a row each.

    Parameters
    ----------
    things : Structs or dicts.
    columns : key -> format of the number in the table (`.4f`; empty: as it is).
    """
    rows = [builtins(thing) for thing in things]
    records = [row for row in rows if isinstance(row, dict)]
    return Answer(records, records, tuple(columns), table(records, columns), hint)


@dataclass(frozen=True)
class Stream:
    """What a command goes on to find, row by row.

    Parameters
    ----------
    rows : as they come; `-o json` and `-o jsonl` print each as a line of JSON
    columns : keys of the rows, in the order of the CSV header
    line : what `-o table` prints of a row
    """

    rows: Iterator[Row]
    columns: Sequence[str]
    line: Callable[[Row], str]


def record(thing: object, text: str, hint: str = "") -> Answer:
    """Return the answer of a command that shows one thing; CSV flattens its parts into columns."""
    found = builtins(thing)
    return Answer(found, [found] if isinstance(found, dict) else [], (), text, hint)


def render(answer: Answer, form: Format) -> str:
    """Return what stdout gets; empty when there is nothing to say.

    Raises
    ------
    ValueError : a number that is not finite; that is a defect of the command.
    """
    match form:
        case Format.TABLE:
            return answer.text
        case Format.WIDE:
            return answer.wide or answer.text
        case Format.JSON:
            return json.dumps(builtins(answer.data), indent=2, ensure_ascii=False, allow_nan=False)
        case Format.JSONL:
            return "\n".join(
                json.dumps(builtins(row), ensure_ascii=False, allow_nan=False)
                for row in answer.rows
            )
        case Format.CSV:
            return _csv(answer.rows, answer.columns)


def render_stream(stream: Stream, form: Format) -> Iterator[str]:
    """Yield what stdout gets, a line at a time."""
    if form is Format.CSV:
        yield _csv((), stream.columns)
    for row in stream.rows:
        match form:
            case Format.TABLE | Format.WIDE:
                yield stream.line(row)
            case Format.JSON | Format.JSONL:
                yield json.dumps(builtins(row), ensure_ascii=False, allow_nan=False)
            case Format.CSV:
                yield _csv((row,), stream.columns).partition("\n")[2]


def builtins(value: object) -> object:
    """Return the value as JSON types: times in ISO 8601, floats with nine significant digits."""
    return _rounded(msgspec.to_builtins(value, str_keys=True))


def _rounded(value: object) -> object:
    """Return JSON types with every float rounded; ValueError for one that is not finite."""
    match value:
        case float():
            if not math.isfinite(value):
                raise ValueError(f"a command tried to print {value}")
            return float(f"{value:.{SIGNIFICANT_DIGITS}g}") + 0.0  # never -0.0
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case list() | tuple():
            return [_rounded(item) for item in value]
        case _:
            return value


def _csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Return the rows as CSV with a header; an unknown value is an empty field."""
    flat = [dict(_leaves("", builtins(row))) for row in rows]
    header = columns or list(flat[0])
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([row[key] for key in header] for row in flat)
    return buffer.getvalue().rstrip("\n")


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield the values inside lists and dicts with their dotted path."""
    match value:
        case dict():
            parts = [(str(key), item) for key, item in value.items()]
        case list():
            parts = [(str(position), item) for position, item in enumerate(value)]
        case _:
            yield path, value
            return
    for key, item in parts:
        yield from _leaves(f"{path}.{key}" if path else key, item)


def table(rows: Sequence[Row], columns: Mapping[str, str]) -> str:
    """Return the rows as aligned text under a header, numbers to the right; empty without rows.

    `columns` maps a key to the format of its numbers (`.1f`; empty: as they are).
    """
    if not rows:
        return ""
    aligned = []
    for key, form in columns.items():
        values = [row[key] for row in rows]
        cells = [key.replace("_", " ").upper(), *(_cell(value, form) for value in values)]
        width = max(len(cell) for cell in cells)
        right = all(value is None or _is_number(value) for value in values)
        aligned.append([cell.rjust(width) if right else cell.ljust(width) for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*aligned, strict=True))


def _is_number(value: object) -> bool:
    """Return whether a table puts the value to the right."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: object, form: str) -> str:
    """Return one value of a table; what is unknown is a dash."""
    if value is None or value == "":
        return "-"
    if isinstance(value, float):
        return format(_rounded(value), form)
    return str(value)


def colour() -> bool | None:
    """Return False where colour is unwanted (NO_COLOR), None to let the stream decide."""
    return False if os.environ.get("NO_COLOR") else None


def say(text: str) -> None:
    """Write a part of the answer to stdout."""
    if text:
        click.echo(text, color=colour())


def note(text: str) -> None:
    """Write progress, a warning or an error to stderr."""
    if text:
        click.echo(text, err=True, color=colour())


def warn(text: str) -> None:
    """Write a warning to stderr."""
    note(f"{click.style('warning:', fg='yellow')} {text}")


def explain(what: str, why: str, fix: str) -> None:
    """Write an error to stderr: what failed, why, what to try; empty lines are left out."""
    note(click.style("peercell:", fg="red", bold=True) + f" {what}")
    note(f"  why: {why}" if why else "")
    note(f"  try: {fix}" if fix else "")
