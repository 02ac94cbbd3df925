"""The error for an id that does not exist, with the ids that look most like it."""

from collections.abc import Iterable
from difflib import get_close_matches

from peercell.grid.errors import UnknownElementError


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownElementError:
    """Return the error for a `kind` ("bus", "asset", …) called `name` among the `known` ids."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return UnknownElementError(
            f'there is no {kind} "{name}"', f"did you mean {' or '.join(close)}?"
        )
    some = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return UnknownElementError(f'there is no {kind} "{name}"', f"there are: {some or 'none'}")
