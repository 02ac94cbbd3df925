"""What `--set KEY=VALUES` says: a key of the config, and one value or all those to try."""

import math
import re
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import click
from msgspec import Struct

from peercell.broker.configuration.toml_file import Keys, Setting, spelt

VALUES_MAX = 10_000
_NUMBER = r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(%?)"
_PERCENT = re.compile(_NUMBER)
_RANGE = re.compile(f"{_NUMBER}:{_NUMBER}:{_NUMBER}")


class Axis(Struct, frozen=True):
    """A key of the config, and the values that it shall have one after the other."""

    place: Keys
    values: tuple[Any, ...]

    @property
    def key(self) -> str:
        """The key as a TOML file spells it."""
        return spelt(self.place)


def setting(text: str) -> Setting:
    """Return one value of a key from a text such as `network.loss=30%`."""
    found = axis(text)
    if len(found.values) > 1:
        raise click.BadParameter(f"{text!r} gives more than one value; `peercell sweep` takes them")
    return Setting(found.place, found.values[0])


def axis(text: str) -> Axis:
    """Return a key and its values from a text such as `network.loss=0:40%:10%`.

    Values are a list with commas, in which `first:last:step` stands for a range with both ends.
    Each is what TOML calls a value, a share such as `40%`, or a plain word.
    """
    key, equals, values = text.partition("=")
    place = _place(key.strip())
    if not (equals and values.strip() and place and text.isprintable()):
        raise click.BadParameter(f"{text!r} is no setting; write it as network.loss=0:40%:10%")
    found = tuple(_values(values.strip()))
    for place_of, value in enumerate(found):
        if isinstance(value, float) and not math.isfinite(value):
            raise click.BadParameter(f"{text!r} gives {value}, which no key can have")
        if value in found[:place_of]:
            raise click.BadParameter(f"{text!r} gives {value} twice")
    return Axis(place, found)


def _place(key: str) -> Keys:
    """Return the keys of a dotted key; none when it is no key."""
    try:
        tables: Any = tomllib.loads(f"{key} = 0")
    except ValueError:
        return ()
    place: Keys = ()
    while isinstance(tables, dict) and len(tables) == 1:
        ((name, tables),) = tables.items()
        place = (*place, name)
    return place if tables == 0 else ()


def _values(text: str) -> Iterator[Any]:
    """Yield the values of a list, which is that of a TOML array where it can be one."""
    try:
        yield from _toml(f"[{text}]")
    except ValueError:
        for part in text.split(","):
            yield from _part(part.strip())


def _part(text: str) -> Iterator[Any]:
    """Yield the value of a part of a list, or those of its range."""
    if found := _RANGE.fullmatch(text):
        yield from _range(text, found.groups())
    elif not text:
        raise click.BadParameter('a value is empty; write a plain word, or ""')
    elif (found := _PERCENT.fullmatch(text)) and found[2]:
        yield float(_exact(found[1], found[2]))
    else:
        try:
            yield _toml(text)
        except ValueError:
            yield text


def _range(text: str, groups: tuple[str, ...]) -> Iterator[float | int]:
    """Yield the values of a range, computed in decimals so that 0:1:0.1 ends with 1."""
    first, last, step = (_exact(*groups[k : k + 2]) for k in (0, 2, 4))
    if not step or (last - first) / step < 0:
        raise click.BadParameter(f"{text!r} never comes from its first value to its last")
    count = int((last - first) / step) + 1
    if count > VALUES_MAX:
        raise click.BadParameter(f"{text!r} gives {count} values, at most {VALUES_MAX}")
    whole = all(re.fullmatch(r"[+-]?\d+", each) for each in groups[::2]) and not any(groups[1::2])
    for k in range(count):
        value = first + k * step
        yield int(value) if whole else float(value)


def _exact(number: str, sign: str) -> Decimal:
    return Decimal(number) / (100 if sign else 1)


def _toml(text: str) -> Any:
    """Return the value that TOML reads; what goes on behind it is none."""
    tables = tomllib.loads(f"value = {text}")
    if set(tables) != {"value"}:
        raise ValueError(text)
    return tables["value"]
