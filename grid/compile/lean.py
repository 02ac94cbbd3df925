"""Records without the values that only repeat a default, so that a cell file leaves them out."""

from typing import TypeVar

from msgspec import NODEFAULT, Struct, structs

T = TypeVar("T")


def lean(value: T) -> T:
    """Return an equal value in which every field that equals its default is that default.

    msgspec leaves out a default only where it is the very same object, and 0.0 computed is not the
    0.0 of the class; without this, equal cells could have unequal files and hashes.
    """
    if isinstance(value, Struct):
        kept = {}
        for field in structs.fields(value):
            content = getattr(value, field.name)
            if field.default is NODEFAULT or content != field.default:
                kept[field.name] = lean(content)
        return type(value)(**kept)
    if isinstance(value, tuple):
        return type(value)(lean(item) for item in value)
    return value
