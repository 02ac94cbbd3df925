"""What may stand behind an option: times, days, set-points, pictures.

Plain functions that click calls with the text; each says what it wanted when it cannot read it.
"""

import math
import re
from datetime import date, datetime
from pathlib import Path

import click

_TIME_EXAMPLE = "2016-05-28T12:00"
_FACTORS = {
    "W": 1e-3, "kW": 1.0, "MW": 1e3,
    "var": 1e-3, "kvar": 1.0, "Mvar": 1e3,
}  # fmt: skip
_POWER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?) *([a-zA-Z]*)")
_PICTURES = (".svg", ".png", ".pdf")


def time(text: str) -> datetime:
    """Return a local time of the data, such as 2016-05-28T12:00."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time; write it as {_TIME_EXAMPLE}") from None
    if found.tzinfo is not None:
        raise click.BadParameter(
            f"{text!r} has a time zone; the profiles are in local time, as {_TIME_EXAMPLE}"
        )
    return found


def day(text: str) -> date:
    """Return a day, such as 2016-05-28."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a day; write it as 2016-05-28") from None


def power(text: str, unit: str) -> float:
    """Return a power in kW or kvar from a text such as `-10`, `3kW` or `1.2MW`.

    Parameters
    ----------
    unit : `W` for active power, `var` for reactive power.
    """
    match = _POWER.fullmatch(text.strip())
    factor = _FACTORS.get(match[2] or f"k{unit}") if match else None
    if match is None or factor is None or not (match[2] or unit).endswith(unit):
        raise click.BadParameter(f"{text!r} is not a power; write it as 3k{unit} or 1.2M{unit}")
    value = float(match[1]) * factor
    if not math.isfinite(value):
        raise click.BadParameter(f"{text!r} is out of range")
    return value


def set_point(text: str) -> tuple[str, float, float]:
    """Return (asset, kW, kvar) from a text such as `pv-2=-3kW,1.5kvar`."""
    asset, equals, powers = text.partition("=")
    p_text, comma, q_text = powers.partition(",")
    if not (asset and equals and comma):
        raise click.BadParameter(f"{text!r} is not a set-point; write it as pv-2=0,-10")
    return asset, power(p_text, "W"), power(q_text, "var")


def picture(text: str) -> Path:
    """Return the path of a picture; its ending says of which kind."""
    path = Path(text)
    if path.suffix.lower() not in _PICTURES:
        raise click.BadParameter(f"{text!r} must end in {', '.join(_PICTURES)}")
    return path
