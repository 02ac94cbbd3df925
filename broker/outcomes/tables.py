"""How rows of one kind become a file: CSV for everybody, Parquet for who wants the types kept."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

from msgspec import Struct, structs

from peercell.agents.errors import MissingExtraError
from peercell.broker.terminal.output import Answer, Format, render


class TableFormat(StrEnum):
    """What kind of file a table becomes; the ending of its name."""

    CSV = "csv"
    PARQUET = "parquet"


class Table(Struct, frozen=True):
    """Rows that all have the same columns, each of which has a type; a value may be None."""

    columns: Mapping[str, type]
    rows: Sequence[Mapping[str, Any]]


def table_of(kind: type[Struct], things: Sequence[Struct]) -> Table:
    """Return things of one kind as a table, a row each; there may be none."""
    hints = get_type_hints(kind)
    columns = {name: _plain(hints[name]) for name in kind.__struct_fields__}
    return Table(columns, [structs.asdict(thing) for thing in things])


def write_table(path: Path, table: Table, form: TableFormat) -> None:
    """Write a table to a file.

    Raises
    ------
    MissingExtraError : pyarrow is not installed, and the form is PARQUET.
    """
    match form:
        case TableFormat.CSV:
            answer = Answer(table.rows, table.rows, tuple(table.columns), "")
            path.write_text(f"{render(answer, Format.CSV)}\n")
        case TableFormat.PARQUET:
            _write_parquet(path, table)


def _write_parquet(path: Path, table: Table) -> None:
    arrow, parquet = _library("pyarrow"), _library("pyarrow.parquet")
    types = {
        int: arrow.int64(),
        float: arrow.float64(),
        bool: arrow.bool_(),
        str: arrow.string(),
        datetime: arrow.timestamp("us"),
    }
    schema = arrow.schema([(name, types[one]) for name, one in table.columns.items()])
    parquet.write_table(arrow.Table.from_pylist([*table.rows], schema=schema), path)


def _plain(hint: Any) -> type:
    """Return the type of a value that is there: that of `float | None` is float."""
    options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    plain: type = next(each for each in options if each is not type(None))
    return plain


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise MissingExtraError("writing Parquet files", "parquet") from None
