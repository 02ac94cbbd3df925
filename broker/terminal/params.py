"""What may stand behind an option: times, days, durations, set-points, pictures.

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
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+) *(ms|s|m|h|d|)")
_DURATION_S = {"ms": 1e-3, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATE = re.compile(r"(\d+\.?\d*|\.\d+) *(k|M|)(B|bit)/s")
_RATE_FACTORS = {"": 1.0, "k": 1e3, "M": 1e6}
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


def duration(text: str) -> float:
    """Return seconds from a text such as `250ms`, `10s` or `2m`; a plain number is in seconds."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is not a duration; write it as 250ms, 10s or 2m")
    return float(match[1]) * _DURATION_S[match[2]]


def jittered(text: str) -> tuple[float, float]:
    """Return a duration and its jitter in s from a text such as `200ms±50ms` or `200ms`."""
    mean, sign, spread = text.replace("+-", "±").partition("±")
    return duration(mean), duration(spread) if sign else 0.0


def offset(text: str) -> float:
    """Return s from a text such as `2s` or `-500ms`."""
    told = text.strip()
    return -duration(told[1:]) if told.startswith("-") else duration(told.removeprefix("+"))


def rate(text: str) -> float:
    """Return bytes a second from a text such as `20kB/s`, `1MB/s` or `160kbit/s`."""
    match = _RATE.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0.0:
        raise click.BadParameter(f"{text!r} is no rate; write it as 20kB/s or 160kbit/s")
    return float(match[1]) * _RATE_FACTORS[match[2]] / (8.0 if match[3] == "bit" else 1.0)


def percent(text: str) -> float:
    """Return a share of one from a text such as `30%` or `0.3`."""
    number, sign, rest = text.strip().partition("%")
    try:
        share = float(number) / (100.0 if sign else 1.0)
    except ValueError:
        share = math.nan
    if rest or not 0.0 <= share <= 1.0:
        raise click.BadParameter(f"{text!r} is no share; write it as 30% or 0.3")
    return share


def span(text: str) -> tuple[float, float]:
    """Return least and most from a text such as `0-2`; a plain number is both."""
    least, dash, most = text.strip().partition("-")
    try:
        found = float(least), float(most if dash else least)
    except ValueError:
        found = math.nan, math.nan
    if not 0.0 <= found[0] <= found[1] <= 1000.0:
        raise click.BadParameter(f"{text!r} is no span; write it as 0-2")
    return found


def instant(text: str) -> datetime:
    """Return a real time, which has a zone, such as 2026-11-02T14:05:00Z."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = datetime.min
    if found.tzinfo is None:
        raise click.BadParameter(
            f"{text!r} is no time with a zone; write it as 2026-11-02T14:05:00Z"
        )
    return found


def endpoint(text: str) -> tuple[str, int]:
    """Return address and port from a text such as 127.0.0.1:5600 or [::1]:5600."""
    address, colon, port = text.strip().rpartition(":")
    if not (address and colon and port.isdecimal() and int(port) < 65536):
        raise click.BadParameter(f"{text!r} is no address; write it as 127.0.0.1:5600")
    return address.strip("[]"), int(port)


def seed(text: str) -> tuple[str, str]:
    """Return peer and endpoint from a text such as directory=tcp://192.0.2.10:5600."""
    peer, equals, where = text.partition("=")
    if not (peer and equals and where.startswith("tcp://")):
        raise click.BadParameter(
            f"{text!r} is no peer; write it as directory=tcp://192.0.2.10:5600"
        )
    return peer, where
