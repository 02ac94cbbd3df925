"""A TOML file as a typed value; what is wrong with it is told with file, line and nearest key."""

import json
import re
import tomllib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from difflib import get_close_matches
from functools import cached_property
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from peercell.agents.errors import PeercellError

T = TypeVar("T")
Keys = tuple[str | int, ...]
"""Where in a file something stands: keys of tables, and positions in lists counted from 0."""

# What TOML writes without quotes; between quotes it is a text.
_TOML_TYPES = (datetime, date, time)
# What the start of a file may lack to be a file: the end of a list, or of one in another.
_CLOSERS = ("", "]", "]]")
_ANY_KEY = "..."
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]|\[\.\.\.\]")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# A word that is read as itself, or a time that a text from JSON stands for.
_BARE_VALUE = re.compile(
    r"(?!(?:true|false)$|(?:inf|nan)$)[A-Za-z_./][\w./-]*|\d{4}-\d\d-\d\d(?:[T ][\d:.]+)?"
)
_TOML_LINE = re.compile(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", re.S)
_WORDS = {
    "object": "a table", "array": "a list", "str": "a text", "float": "a number",
    "int": "a whole number", "bool": "true or false", "date": "a day", "time": "a time of day",
    "datetime": "a time such as 2016-05-28T12:00:00",
}  # fmt: skip


class ConfigError(PeercellError):
    """A config that cannot be read or says what cannot be; the message begins with file:line."""


class Setting(msgspec.Struct, frozen=True):
    """A value that holds in place of what a file says, as `--set` gives it; `place` has keys."""

    place: Keys
    value: Any

    @property
    def key(self) -> str:
        """The place as a TOML file spells it."""
        return spelt(self.place)

    def __str__(self) -> str:
        bare = isinstance(self.value, str) and _BARE_VALUE.fullmatch(self.value)
        return f"{self.key}={self.value if bare else _shown(self.value)}"


@dataclass(frozen=True)
class TomlFile:
    """The text of a TOML file, what to call it in errors, and what holds in place of the text."""

    name: str
    text: str
    settings: tuple[Setting, ...] = ()

    @cached_property
    def tables(self) -> dict[str, Any]:
        """What the file says, untyped, with the settings laid over it.

        Raises
        ------
        ConfigError : the text is not TOML.
        """
        tables = self._written
        for setting in self.settings:
            tables = _with(tables, setting.place, setting.value)
        return tables

    @cached_property
    def _written(self) -> dict[str, Any]:
        """What the text says.

        Raises
        ------
        ConfigError : the text is not TOML.
        """
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            found = _TOML_LINE.fullmatch(str(error))
            last = self.text.rstrip().count("\n") + 1
            line = int(found[2] or last) if found else last
            why = found[1] if found else str(error)
            raise ConfigError(f"{self.name}:{line}: this is not TOML", _lower(why)) from None

    def decode(self, kind: type[T]) -> T:
        """Return the file as a Struct.

        Raises
        ------
        ConfigError : not TOML, a key that the Struct does not have or needs and does not get, a
            value of another type or out of range.
        """
        return self.convert(self.tables, kind)

    def convert(self, value: object, kind: type[T], place: Keys = ()) -> T:
        """Return a part of the file as a Struct; unknown keys are errors at every depth.

        Parameters
        ----------
        value : a table of the file.
        place : where in the file it stands.

        Raises
        ------
        ConfigError : as `decode`.
        """
        for keys, known in _unknown_keys(value, inspect.type_info(kind)):
            raise self.unknown_key(place + keys, known)
        try:
            return _convert(value, kind)
        except msgspec.ValidationError as error:
            wanted, _, end = str(error).partition(" - at ")
            keys = _pinned(value, kind, _steps(end))
            if lacks := re.fullmatch(r"Object missing required field `(\w+)`", wanted):
                raise self.missing_key(place + keys, lacks[1]) from None
            if wanted.startswith(("Invalid enum value", "Invalid value")):
                choices = _choices(inspect.type_info(kind), keys)
                near = get_close_matches(json.dumps(_at(value, keys)), choices, n=1)
                wanted = f"expected {' or '.join(near or choices)}"
            raise self.wrong(
                place + keys,
                f'"{spelt(place + keys)}" cannot be {_shown(_at(value, keys))}',
                _in_toml(wanted),
            ) from None

    def line(self, place: Keys) -> int:
        """Return the line, from 1, on which a key, a table or an element of a list begins.

        For what is not in the file it is the line of the table that should hold it.
        """
        while place and not _holds(self._written, place):
            place = place[:-1]
        if not place:
            return 1
        lines = self.text.split("\n")
        # What the first lines hold, all longer starts of the file hold too.
        counts = range(1, len(lines))
        return 1 + bisect_left(counts, x=True, key=lambda n: _holds(_first(lines, n), place))

    def wrong(self, place: Keys, what: str, why: str = "", fix: str = "") -> ConfigError:
        """Return the error about a part of the file; `what` says what is wrong with it."""
        return ConfigError(f"{self._where(place)}: {what}", why, fix)

    def _where(self, place: Keys) -> str:
        """Return what to name in an error: the setting that holds there, or file and line."""
        for setting in reversed(self.settings):
            at = setting.place
            if place[: len(at)] == at or (at[: len(place)] == place and not self._has_table(place)):
                return f"--set {setting}"
        return f"{self.name}:{self.line(place)}"

    def _has_table(self, place: Keys) -> bool:
        """Return whether the text has a table there."""
        return _holds(self._written, place) and isinstance(_at(self._written, place), dict)

    def missing_key(self, place: Keys, key: str) -> ConfigError:
        """Return the error about a table without a key that it needs."""
        return self.wrong(place, f'the key "{spelt((*place, key))}" is missing')

    def unknown_key(self, place: Keys, known: Iterable[str]) -> ConfigError:
        """Return the error about a key which is none of those `known` in its table."""
        names = sorted(known)
        close = get_close_matches(str(place[-1]), names, n=1)
        what = f'unknown key "{spelt(place)}"'
        if close:
            return self.wrong(place, f'{what} (did you mean "{spelt((*place[:-1], close[0]))}"?)')
        return self.wrong(place, what, f"known here: {', '.join(names) or 'none'}")


def spelt(place: Keys) -> str:
    """Return a place as a TOML file spells it: `peers.'mg1.c9'.share`, `links[2].seller`."""
    return "".join(
        f"[{key}]" if isinstance(key, int) else f".{_quoted(key)}" for key in place
    ).removeprefix(".")


def _quoted(key: str) -> str:
    """Return a key in quotes if it needs some, in single ones as they stand between double ones."""
    if _BARE_KEY.fullmatch(key):
        return key
    plain = key.isprintable() and "'" not in key
    return f"'{key}'" if plain else json.dumps(key, ensure_ascii=False)


def _convert(value: object, kind: type[T]) -> T:
    return msgspec.convert(value, kind, builtin_types=_TOML_TYPES)


def _unknown_keys(
    value: object, kind: inspect.Type, place: Keys = ()
) -> Iterator[tuple[Keys, list[str]]]:
    """Yield the place of each key that its Struct does not have, with the keys that it has."""
    match kind, value:
        case inspect.StructType(array_like=False), dict():
            yield from _unknown_in_table(value, kind, place)
        case inspect.DictType(), dict():
            for key, item in value.items():
                yield from _unknown_keys(item, kind.value_type, (*place, key))
        case ((inspect.ListType() | inspect.VarTupleType()), list()):
            for position, item in enumerate(value):
                yield from _unknown_keys(item, kind.item_type, (*place, position))
        case inspect.UnionType(), dict():
            for choice in _meant(kind, value):
                yield from _unknown_keys(value, choice, place)


def _unknown_in_table(
    value: dict[str, Any], kind: inspect.StructType, place: Keys
) -> Iterator[tuple[Keys, list[str]]]:
    fields = {field.encode_name: field.type for field in kind.fields}
    for key, item in value.items():
        if key in fields:
            yield from _unknown_keys(item, fields[key], (*place, key))
        elif key != kind.tag_field:
            yield (*place, key), list(fields)


def _meant(kind: inspect.UnionType, value: dict[str, Any]) -> Iterator[inspect.Type]:
    """Yield the types of a union that a table can be: of those with a tag the one that it names."""
    for choice in kind.types:
        match choice:
            case inspect.StructType(tag_field=str() as key, tag=tag) if value.get(key) != tag:
                continue
            case _:
                yield choice


def _steps(end: str) -> list[str | int]:
    """Return the keys in the end of a message of msgspec, such as "`$.peers[...].share`"."""
    of_key = [_ANY_KEY] if end.startswith("`key`") else []
    found = _STEP.finditer(end)
    return [match[1] or (int(match[2]) if match[2] else _ANY_KEY) for match in found] + of_key


def _pinned(value: object, kind: type, steps: Sequence[str | int]) -> Keys:
    """Return the place that steps lead to; where a step is any key, the first that is refused."""
    place: Keys = ()
    for step in steps:
        if step == _ANY_KEY:
            alone = ((key, _only(value, place, key)) for key in _at(value, place))
            key, value = next((key, part) for key, part in alone if _refuses(kind, part))
            place = (*place, key)
        else:
            place = (*place, step)
    return place


def _only(value: Any, place: Keys, key: str) -> object:
    """Return a copy of tables in which the one at `place` has no other key."""
    if not place:
        return {key: value[key]}
    copy = value.copy()
    copy[place[0]] = _only(value[place[0]], place[1:], key)
    return copy


def _refuses(kind: type, value: object) -> bool:
    try:
        _convert(value, kind)
    except msgspec.ValidationError:
        return True
    return False


def _choices(kind: inspect.Type, place: Keys) -> list[str]:
    """Return what the enum at a place may be."""
    match kind:
        case inspect.EnumType():
            return [json.dumps(member.value) for member in kind.cls]
        case inspect.UnionType():
            return [name for choice in kind.types for name in _choices(choice, place)]
        case inspect.StructType() if place and place == (kind.tag_field,):
            return [json.dumps(kind.tag)]
        case _ if place:
            return [name for each in _inner(kind, place[0]) for name in _choices(each, place[1:])]
        case _:
            return []


def _inner(kind: inspect.Type, key: str | int) -> list[inspect.Type]:
    """Return what stands behind a key of a type."""
    match kind:
        case inspect.StructType():
            return [field.type for field in kind.fields if field.encode_name == key]
        case inspect.DictType():
            return [kind.value_type]
        case inspect.ListType() | inspect.VarTupleType():
            return [kind.item_type]
        case _:
            return []


def _first(lines: Sequence[str], count: int) -> dict[str, Any]:
    """Return what the first lines of a file say, and as many more as complete a value."""
    for end in range(count, len(lines)):
        for closer in _CLOSERS:
            try:
                return tomllib.loads("\n".join(lines[:end]) + closer)
            except tomllib.TOMLDecodeError:
                continue
    return tomllib.loads("\n".join(lines))


def _at(value: Any, place: Keys) -> Any:
    for key in place:
        value = value[key]
    return value


def _holds(tables: Any, place: Keys) -> bool:
    try:
        _at(tables, place)
    except LookupError:
        return False
    return True


def _with(tables: dict[str, Any], place: Keys, value: object) -> dict[str, Any]:
    """Return tables in which a value stands at a place, in tables of its own if need be."""
    key, rest = str(place[0]), place[1:]
    if rest:
        inner = tables.get(key)
        value = _with(inner if isinstance(inner, dict) else {}, rest, value)
    return {**tables, key: value}


def _shown(value: object) -> str:
    """Return a value as TOML writes it, or what it is."""
    match value:
        case dict():
            return "a table"
        case list():
            return "a list"
        case datetime() | date() | time():
            return value.isoformat()
        case float():
            return repr(value)  # nan and inf as TOML writes them
        case _:
            return json.dumps(value, ensure_ascii=False)


def _in_toml(wanted: str) -> str:
    """Return a message of msgspec in the words of TOML; nothing can be null there."""
    plain = wanted.replace(" | null", "")
    return _lower(re.sub(r"`([^`]*)`", lambda found: _words(found[1]), plain))


def _words(types: str) -> str:
    return " or ".join(_WORDS.get(name, name) for name in types.split(" | "))


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
