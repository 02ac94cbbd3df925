"""What may stand behind an option, and what is said when it cannot be read."""

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import click
import pytest

from peercell.broker.terminal import params


@pytest.mark.parametrize(
    ("text", "unit", "power"),
    [
        ("0", "W", 0.0),
        ("-10", "W", -10.0),
        ("3kW", "W", 3.0),
        ("1.2MW", "W", 1200.0),
        ("-250 W", "W", -0.25),
        ("+.5e1", "var", 5.0),
        ("2Mvar", "var", 2000.0),
    ],
)
def test_powers(text: str, unit: str, power: float) -> None:
    assert params.power(text, unit) == pytest.approx(power)


def test_a_set_point_names_its_asset_first() -> None:
    assert params.set_point("pv-2=-3kW,1.5kvar") == ("pv-2", -3.0, 1.5)


@pytest.mark.parametrize(
    ("parse", "text", "found"),
    [
        (params.jittered, "200ms±50ms", (0.2, 0.05)),
        (params.jittered, "200ms+-50ms", (0.2, 0.05)),
        (params.jittered, "1s", (1.0, 0.0)),
        (params.offset, "2s", 2.0),
        (params.offset, "-500ms", -0.5),
        (params.rate, "20kB/s", 20_000.0),
        (params.rate, "160kbit/s", 20_000.0),
        (params.rate, "0.5 MB/s", 500_000.0),
    ],
)
def test_what_faults_take(parse: Callable[[str], object], text: str, found: object) -> None:
    assert parse(text) == pytest.approx(found)


def test_times_days_and_pictures() -> None:
    assert params.time("2016-05-28T12:00") == datetime(2016, 5, 28, 12)
    assert params.day("2016-05-28") == date(2016, 5, 28)
    assert params.picture("out/noon.SVG") == Path("out/noon.SVG")


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (params.time, "12:00", "is not a time; write it as 2016-05-28T12:00"),
        (params.time, "2016-05-28T12:00Z", "has a time zone"),
        (params.day, "28.5.2016", "is not a day; write it as 2016-05-28"),
        (params.set_point, "pv-2", "write it as pv-2=0,-10"),
        (params.set_point, "pv-2=3", "write it as pv-2=0,-10"),
        (params.set_point, "=3,1", "write it as pv-2=0,-10"),
        (params.set_point, "pv-2=3kvar,1", "'3kvar' is not a power; write it as 3kW"),
        (params.set_point, "pv-2=3,1kW", "'1kW' is not a power; write it as 3kvar"),
        (params.set_point, "pv-2=nan,1", "'nan' is not a power"),
        (params.set_point, "pv-2=3mW,1", "'3mW' is not a power"),
        (params.set_point, "pv-2=1e999,1", "'1e999' is out of range"),
        (params.rate, "20", "is no rate; write it as 20kB/s"),
        (params.rate, "0B/s", "is no rate"),
        (params.jittered, "200ms±", "is not a duration"),
        (params.picture, "noon.bmp", "must end in .svg, .png, .pdf"),
    ],
)
def test_what_cannot_be_read(parse: Callable[[str], object], text: str, message: str) -> None:
    with pytest.raises(click.BadParameter) as error:
        parse(text)
    assert message in error.value.message
