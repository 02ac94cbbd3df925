"""A play is a text: what is done, a line of dashes, and what comes of it; a blank line ends it.

Lines that begin with # say what the play is about and what to look at.
"""

import difflib
import re
from collections.abc import Callable
from pathlib import Path

ANSWER = "----"
_SCENE = re.compile(r"\A(?P<asked>(?:.+\n)*?)----\n(?P<told>(?:.+\n)*)\Z")


def played(text: str, do: Callable[[str], list[str]]) -> str:
    """Return the text with each answer replaced by what really comes of what is asked.

    Parameters
    ----------
    text : of the play
    do : carries out one line, and returns what comes of it
    """
    scenes = re.split(r"\n{2,}", text.strip("\n"))
    return "\n\n".join(_scene(scene, do) for scene in scenes) + "\n"


def _scene(scene: str, do: Callable[[str], list[str]]) -> str:
    found = _SCENE.match(f"{scene}\n")
    if found is None:
        return scene  # a remark that stands alone
    asked = found["asked"]
    lines = [line for line in asked.splitlines() if not line.startswith("#")]
    told = [answer for line in lines for answer in do(line)]
    return "\n".join([asked + ANSWER, *(told or ["ok"])])


def difference(path: Path, text: str, found: str) -> str:
    """Return how a play came out otherwise than it stands in its file; empty for the same."""
    lines = difflib.unified_diff(
        text.splitlines(), found.splitlines(), f"{path.name}, as written", "as played", lineterm=""
    )
    return "\n".join(lines)
