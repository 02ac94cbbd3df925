"""docs/reference/config.md is made by this module, run as a script with `python -m`."""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest
from msgspec import inspect

from peercell.broker.config import config_kind
from peercell.broker.configuration.reference import (
    ConfigKey,
    ConfigTable,
    config_schema,
    config_tables,
)

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "config.md"
HEAD = """# The config of a cell

One TOML file says what a cell is: its grid, its time, its market, and what its peers want.
`peercell config init DIR --grid CELL` writes a first one, `peercell config validate FILE` checks
one, and `peercell config schema` tells an editor what is on this page, which is made from the
Structs by `python -m tests.broker.configuration.test_config_reference`.

- A key that is not on this page is an error, told with its line and the nearest key.
- A local time is written without quotes: `start = 2016-05-28T06:00:00`. It is that of the profiles.
- "Interval" is a market interval; trading for one takes place while the one before is delivered.
- Ids of peers: `mg1.trader` trades for microgrid mg1, `mg1.c9` is the prosumer of its customer c9;
  there are one `aggregator`, one `dso` and one `grid` service.
"""


def _sections() -> Iterator[str]:
    """Yield the text of each table; those of the same kind in a row share one."""
    yield HEAD
    for _, group in groupby(config_tables(), key=lambda table: table.kind):
        tables = list(group)
        headers = ", ".join(f"`{table.header}`" for table in tables if table.header)
        yield f"## {headers or 'Head of the file'}\n\n{tables[0].text}\n"
        if tables[0].keys:
            yield "\n".join(_rows(tables))


def _rows(tables: list[ConfigTable]) -> Iterator[str]:
    """Yield the lines of the Markdown table of the keys."""
    yield "| key | value | without it | meaning |"
    yield "|---|---|---|---|"
    for keys in zip(*(table.keys for table in tables), strict=True):
        value = keys[0].value.replace("|", "\\|")
        yield f"| `{keys[0].key}` | {value} | {_defaults(keys)} | {keys[0].meaning} |"
    yield ""


def _defaults(keys: tuple[ConfigKey, ...]) -> str:
    """Return what holds without a key, by table where that differs."""
    if keys[0].required:
        return "error"
    found = {key.table: f"`{key.default}`" if key.default else "–" for key in keys}
    if len(set(found.values())) == 1:
        return found[keys[0].table]
    usual = max(found.values(), key=list(found.values()).count)
    others = (f"{default} in `{table}`" for table, default in found.items() if default != usual)
    return f"{usual}; {', '.join(others)}"


def reference() -> str:
    """Return the text of the page."""
    return "\n".join(_sections())


def test_the_reference_is_fresh() -> None:
    assert REFERENCE.read_text() == reference(), (
        "python -m tests.broker.configuration.test_config_reference"
    )


@pytest.mark.parametrize(
    "key", [key for table in config_tables() for key in table.keys], ids=lambda key: key.key
)
def test_every_key_is_explained(key: ConfigKey) -> None:
    (text,) = {table.text for table in config_tables() if key in table.keys}
    assert key.meaning or f"`{key.key}`" in text or key.key in OBVIOUS


OBVIOUS = {"id", "name", "buses", "first_asset", "second_asset"}


def _floats(kind: inspect.Type) -> Iterator[inspect.FloatType | inspect.IntType]:
    """Yield the numbers in a type."""
    match kind:
        case inspect.FloatType():
            yield kind
        case inspect.StructType():
            for field in kind.fields:
                yield from _floats(field.type)
        case inspect.UnionType():
            for part in kind.types:
                yield from _floats(part)
        case inspect.VarTupleType():
            yield from _floats(kind.item_type)
        case inspect.DictType():
            yield from _floats(kind.value_type)


def test_every_number_has_both_bounds() -> None:
    """One bound lets infinity in, none lets NaN in."""
    numbers = list(_floats(inspect.type_info(config_kind())))
    assert len(numbers) > 20
    for number in numbers:
        assert (number.ge is None) != (number.gt is None)
        assert (number.le is None) != (number.lt is None)


def test_the_schema_explains_what_the_reference_does() -> None:
    schema = config_schema()
    json.dumps(schema, allow_nan=False)
    for table in config_tables():
        definition = schema["$defs"][table.kind.__name__]
        assert definition["description"] == table.text
        for key in table.keys:
            described = definition["properties"][key.key].get("description", "")
            assert described == key.meaning


if __name__ == "__main__":
    REFERENCE.write_text(reference())
