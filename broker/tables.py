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
from peercell.broker.output import Answer, Format, builtins, render


class TableFormat(StrEnum):
    """What kind of file a table becomes; the ending of its name."""

    CSV = "csv"
    PARQUET = "parquet"


def write_table(path: Path, kind: type[Struct], rows: Sequence[Struct], form: TableFormat) -> None:
    """Write rows of a kind, which may be none, to a file.

    Raises
    ------
    MissingExtraError : pyarrow is not installed, and the form is PARQUET.
    """
    match form:
        case TableFormat.CSV:
            dicts = [row for each in rows if isinstance(row := builtins(each), dict)]
            answer = Answer(dicts, dicts, kind.__struct_fields__, "")
            path.write_text(f"{render(answer, Format.CSV)}\n")
        case TableFormat.PARQUET:
            _write_parquet(path, kind, rows)


def _write_parquet(path: Path, kind: type[Struct], rows: Sequence[Struct]) -> None:
    arrow, parquet = _library("pyarrow"), _library("pyarrow.parquet")
    types = {
        int: arrow.int64(),
        float: arrow.float64(),
        bool: arrow.bool_(),
        str: arrow.string(),
        datetime: arrow.timestamp("us"),
    }
    schema = arrow.schema([(name, types[one]) for name, one in _fields(kind).items()])
    table = arrow.Table.from_pylist([structs.asdict(row) for row in rows], schema=schema)
    parquet.write_table(table, path)


def _fields(kind: type[Struct]) -> Mapping[str, type]:
    """Return the type of each field of a kind of row, that of `float | None` being float."""
    hints = get_type_hints(kind)
    return {name: _plain(hints[name]) for name in kind.__struct_fields__}


def _plain(hint: Any) -> type:
    options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    plain: type = next(each for each in options if each is not type(None))
    return plain


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise MissingExtraError("writing Parquet files", "parquet") from None
