"""What control must reach on the shipped cases, with 30 % of the messages lost and fan-out 2."""

import pytest

TICKS_OVER, TICKS_UNDER = 100, 45

OVER = ("rural1-ov", "rural2-ov", "rural3-ov", "semiurb4-ov", "cigre-lv-ov", "case33-ov")
UNDER = (
    "rural1-uv",
    "rural2-uv",
    "rural3-uv",
    "semiurb4-uv",
    "cigre-lv-uv70",
    "cigre-lv-uv80",
    "cigre-lv-uv90",
    "case33-uv",
)
LARGE = {"rural2-ov", "rural3-ov", "rural2-uv", "rural3-uv"}


def with_slow_ones(names: tuple[str, ...]) -> list[object]:
    """Return names as parameters, the large cells among them marked slow."""
    marks = {True: [pytest.mark.slow], False: []}
    return [pytest.param(name, marks=marks[name in LARGE]) for name in names]
