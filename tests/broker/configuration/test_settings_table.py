"""A table of the config that sets a role: what stands in it, and what lies on top of what."""

from typing import Annotated

import msgspec
import pytest
from msgspec import Meta, Struct

from peercell.broker.configuration.field_texts import docstring, field_texts, summary
from peercell.broker.configuration.settings_table import Section, SettingsTable
from peercell.broker.configuration.toml_file import ConfigError, TomlFile

Positive = Annotated[float, Meta(gt=0.0, le=100.0)]


class HeaterSettings(Struct, frozen=True, kw_only=True):
    """A role of a test.

    Parameters
    ----------
    room : which it heats
    power_kw : kW; larger costs more
    retry_s : s
    names : of those who may switch it
    """

    room: str
    power_kw: Positive
    limit_kw: Positive
    retry_s: Positive = 1.0
    names: list[str] = []


class Comfort(Section, frozen=True, kw_only=True):
    """How warm it shall be."""

    day_k: Positive = 20.0
    night_k: Positive = 16.0


class HeaterTerms(Section, frozen=True, kw_only=True):
    """What people want of a heater.

    Parameters
    ----------
    power_kw : kW of heat
    comfort : of the room
    """

    comfort: Comfort = Comfort(day_k=21.0)


HEATER = SettingsTable(
    key="heater",
    settings=(HeaterSettings,),
    derived=frozenset({"room", "limit_kw"}),
    terms=HeaterTerms,
    defaults={"power_kw": 2.0},
)
FILE = TomlFile(
    "x.toml",
    """
[heater]
retry_s = 3.0
comfort.night_k = 15.0
[cellar]
comfort.day_k = 10.0
names = ["a"]
[attic]
limit_kw = 1.0
""",
)


def test_a_table_has_what_is_not_derived_and_the_terms() -> None:
    table = HEATER.kind()
    assert msgspec.to_builtins(table) == {
        "power_kw": 2.0,
        "retry_s": 1.0,
        "names": [],
        "comfort": {"day_k": 21.0, "night_k": 16.0},
    }
    assert summary(HEATER.kind) == "What people want of a heater."
    assert field_texts(HEATER.kind) == {
        "power_kw": "kW of heat",
        "retry_s": "s",
        "names": "of those who may switch it",
        "comfort": "of the room",
    }


def test_a_later_layer_lies_on_top_also_of_a_table_within() -> None:
    layers = [((key,), FILE.tables[key]) for key in ("heater", "cellar")]
    assert HEATER.read(FILE, *layers[:1]).comfort == Comfort(day_k=21.0, night_k=15.0)
    both = HEATER.read(FILE, *layers)
    assert both.comfort == Comfort(day_k=10.0, night_k=15.0)
    assert msgspec.to_builtins(both)["names"] == ["a"]


def test_what_is_derived_cannot_be_chosen() -> None:
    with pytest.raises(ConfigError, match=r'x\.toml:9: unknown key "attic\.limit_kw"'):
        HEATER.read(FILE, (("attic",), FILE.tables["attic"]))


def test_the_table_and_what_is_derived_make_the_settings_of_the_role() -> None:
    table = HEATER.read(FILE, (("heater",), FILE.tables["heater"]))
    settings = HEATER.settle(HeaterSettings, table, {"room": "cellar", "limit_kw": 4.0})
    assert settings == HeaterSettings(room="cellar", power_kw=2.0, limit_kw=4.0, retry_s=3.0)
    with pytest.raises(msgspec.ValidationError, match="limit_kw"):
        HEATER.settle(HeaterSettings, table, {"room": "cellar", "limit_kw": 400.0})


class Documented:
    """What it is.

    More,
    in two lines.

    Parameters
    ----------
    first : meaning,
        continued
    `second` : meaning

    Notes
    -----
    third : not a field
    """


def test_a_docstring_is_cut_into_the_texts_of_its_fields() -> None:
    assert summary(Documented) == "What it is.\n\nMore, in two lines."
    assert field_texts(Documented) == {"first": "meaning, continued", "second": "meaning"}
    again = type("Again", (), {"__doc__": docstring("What.", {"first": "one", "second": "two"})})
    assert (summary(again), field_texts(again)) == ("What.", {"first": "one", "second": "two"})
