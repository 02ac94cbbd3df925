"""What do the fields of a Struct mean? What its docstring says, cut up for the docs and editors."""

import inspect
import re

_FIELD = re.compile(r"^`?(\w+)`? : ", re.M)
_HEADING = "Parameters\n----------\n"


def summary(kind: type) -> str:
    """Return what a Struct is: its docstring up to its fields, each paragraph in one line."""
    text, _ = _split(kind)
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip()))


def field_texts(kind: type) -> dict[str, str]:
    """Return what the docstring of a Struct says of each field, in one line.

    A field begins as numpydoc has it, `name : meaning`, and goes on with an indent.
    """
    block = _split(kind)[1].partition("\n\n")[0]
    found = re.findall(r"^`?(\w+)`? : (.*(?:\n +.*)*)", block, re.M)
    return {name: " ".join(text.split()) for name, text in found}


def docstring(text: str, fields: dict[str, str]) -> str:
    """Return a docstring that says this of a Struct and its fields."""
    lines = [f"{name} : {meaning}" for name, meaning in fields.items()]
    return f"{text}\n\n{_HEADING}" + "\n".join(lines)


def _split(kind: type) -> tuple[str, str]:
    """Return what a docstring says of the Struct, and of its fields."""
    text = inspect.cleandoc(kind.__doc__ or "")
    found = _FIELD.search(text)
    first = found.start() if found else len(text)
    return text[:first].removesuffix(_HEADING), text[first:]
