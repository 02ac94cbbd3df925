"""YAML as people write it, from plain values: enough of it for the files that are rendered here."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

Value = str | int | float | bool | None | Mapping[str, "Value"] | Sequence["Value"]
WIDTH = 100
_PLAIN = re.compile(r"<<|[A-Za-z_/][A-Za-z0-9_/.-]*")
# Words that some reader of YAML takes for something else than text.
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


class Verbatim(str):
    """Text that is YAML already: an anchor, an alias, a merge."""

    __slots__ = ()


def yaml_text(value: Mapping[str, Value]) -> str:
    """Return a mapping as YAML, with a line end behind the last line."""
    return "".join(f"{line}\n" for line in _block(value, 0))


def _block(value: Value, indent: int) -> Iterator[str]:
    """Yield the lines of a mapping or list that stands on lines of its own."""
    pad = " " * indent
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _entry(f"{pad}{_scalar(key)}:", each, indent + 2)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            if isinstance(each, Mapping) and each:
                first, *rest = _block(each, indent + 2)
                yield f"{pad}- {first.lstrip()}"
                yield from rest
            else:
                yield from _entry(f"{pad}-", each, indent + 2)


def _entry(head: str, value: Value, indent: int) -> Iterator[str]:
    """Yield a key or dash with what belongs to it, on one line where that fits."""
    if isinstance(value, Mapping) and value:
        anchor = value.get("&")
        yield f"{head} &{anchor}" if anchor else head
        yield from _block({k: v for k, v in value.items() if k != "&"}, indent)
        return
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        flat = not any(isinstance(each, Mapping | list | tuple) for each in value)
        line = f"{head} [{', '.join(map(_scalar, value))}]" if flat else ""
        if flat and len(line) <= WIDTH:
            yield line
        else:
            yield head
            yield from _block(value, indent)
        return
    yield f"{head} {_scalar(value)}"


def _scalar(value: Value) -> str:
    if isinstance(value, Verbatim):
        return str(value)
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
        return value if plain else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)
