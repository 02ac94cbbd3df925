"""Which keys may stand in a config? Read off the Structs, for people, editors and the docs."""

import json
from collections.abc import Iterator
from typing import Any, cast

import msgspec
from msgspec import NODEFAULT, Struct, inspect

from peercell.broker.config import config_kind
from peercell.broker.configuration.field_texts import field_texts, summary
from peercell.broker.configuration.role_tables import PROSUMER

_NUMBERS = {inspect.FloatType: "number", inspect.IntType: "whole number"}
_WORDS: dict[type[inspect.Type], str] = {
    inspect.BoolType: "`true` or `false`",
    inspect.StrType: "text",
    inspect.DateTimeType: "local time",
    inspect.DictType: "tables",
}
_SCHEMA = "https://json-schema.org/draft/2020-12/schema"


class ConfigKey(Struct, frozen=True, kw_only=True):
    """One key of a config.

    Parameters
    ----------
    table : header of its table, as in the file; empty for the head of the file
    key : name
    value : what it may be
    required : whether it must be there
    default : what holds when it is not there, as TOML writes it; empty where nothing does
    meaning : unit, meaning, and what a larger value costs
    """

    table: str
    key: str
    value: str
    required: bool
    default: str
    meaning: str


class ConfigTable(Struct, frozen=True, kw_only=True):
    """One table of a config: its header as in the file, what it is about, its keys."""

    header: str
    kind: type
    text: str
    keys: tuple[ConfigKey, ...]


def config_tables() -> list[ConfigTable]:
    """Return all tables of a config in the order of the file, its head first."""
    return list(_tables(_struct(config_kind()), (), "", None))


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of a config, with the meaning of each key."""
    schema = msgspec.json.schema(config_kind())
    definitions = schema["$defs"]
    for table in config_tables():
        definition = definitions[table.kind.__name__]
        definition["description"] = table.text
        for key, text in field_texts(table.kind).items():
            definition["properties"][key]["description"] = text
    peers = definitions[config_kind().__name__]["properties"]["peers"]
    peers["additionalProperties"] = {"$ref": f"#/$defs/{PROSUMER.kind.__name__}"}
    return {"$schema": _SCHEMA, "title": "A cell of peercell", **schema}


def _struct(kind: type) -> inspect.StructType:
    return cast("inspect.StructType", inspect.type_info(kind))


def _tables(
    info: inspect.StructType, path: tuple[str, ...], header: str, default: Struct | None
) -> Iterator[ConfigTable]:
    """Yield the table of a Struct and those in it; `default` is the Struct when it is left out."""
    texts = field_texts(info.cls)
    keys: list[ConfigKey] = []
    inner: list[ConfigTable] = []
    for field in info.fields:
        name = field.encode_name
        here = (*path, name)
        dotted = ".".join(here)
        left_out = _default(field) if default is None else getattr(default, field.name)
        match field.type:
            case inspect.StructType() as part:
                given = left_out if isinstance(left_out, Struct) else None
                inner += _tables(part, here, f"[{dotted}]", given)
            case inspect.VarTupleType(item_type=inspect.StructType() as part):
                inner += _tables(part, here, f"[[{dotted}]]", None)
            case inspect.DictType(value_type=inspect.StructType() as part):
                inner += _tables(part, here, f'[{dotted}."…"]', None)
            case kind:
                keys.append(
                    ConfigKey(
                        table=header,
                        key=name,
                        value=_value(kind),
                        required=field.required,
                        default=_toml(left_out),
                        meaning=texts.get(name, ""),
                    )
                )
    yield ConfigTable(header=header, kind=info.cls, text=summary(info.cls), keys=tuple(keys))
    yield from inner


def _default(field: inspect.Field) -> object:
    """Return what a field is when it is not given; None where it must be."""
    if field.default_factory is not NODEFAULT:
        return field.default_factory()
    return None if field.default is NODEFAULT else field.default


def _toml(value: object) -> str:
    """Return a value as TOML writes it; empty for None, and for a list or table without any."""
    plain = msgspec.to_builtins(value)
    if plain is None or (isinstance(plain, list | tuple | dict) and not plain):
        return ""
    return repr(plain) if isinstance(plain, float) else json.dumps(plain, ensure_ascii=False)


def _value(kind: inspect.Type) -> str:
    """Return in words what a value may be."""
    match kind:
        case inspect.FloatType() | inspect.IntType():
            return _NUMBERS[type(kind)] + _bounds(kind)
        case inspect.EnumType():
            return " or ".join(f"`{json.dumps(member.value)}`" for member in kind.cls)
        case inspect.VarTupleType():
            return f"list: {_value(kind.item_type)}"
        case inspect.UnionType():
            kinds = (_value(part) for part in kind.types if not isinstance(part, inspect.NoneType))
            return ", or ".join(kinds)
        case _:
            return _WORDS[type(kind)]


def _bounds(kind: inspect.FloatType | inspect.IntType) -> str:
    """Return the bounds of a number: `, 0 to 1`."""
    low = kind.gt if kind.ge is None else kind.ge
    high = kind.lt if kind.le is None else kind.le
    if low is None or high is None:
        return ""
    above = "above " if kind.ge is None else ""
    below = "below " if kind.le is None else ""
    return f", {above}{_number(low)} to {below}{_number(high)}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
