"""What is wrong with a TOML file is told with file, line and nearest key."""

import tomllib
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from peercell.broker.configuration.toml_file import ConfigError, Keys, TomlFile, spelt


class Shape(StrEnum):
    """How something may be."""

    ROUND = "round"
    FLAT = "flat"


class Part(Struct, frozen=True, kw_only=True):
    """A table with every kind of value."""

    step: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.5
    count: Annotated[int, Meta(ge=1, le=9)] | None = None
    shape: Shape = Shape.ROUND
    at: Annotated[datetime, Meta(tz=False)] | None = None
    names: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    flag: bool = False


class Link(Struct, frozen=True):
    """An element of a list."""

    seller: str
    fee: Annotated[float, Meta(ge=0.0, le=10.0)] = 0.0


class File(Struct, frozen=True):
    """A file with tables, lists and tables by name."""

    name: str
    part: Part = Part()
    peers: dict[Annotated[str, Meta(min_length=2)], Part] = {}
    links: tuple[Link, ...] = ()
    either: Part | None = None


def refusal(text: str) -> ConfigError:
    """Return the error about a file."""
    with pytest.raises(ConfigError) as caught:
        TomlFile("x.toml", text).decode(File)
    return caught.value


def test_a_file_becomes_a_struct() -> None:
    text = """
        name = "a"
        part = {step = 1, at = 2016-05-28T12:00:00, names = ["x"]}
        peers."mg1.c9" = {shape = "flat"}
        links = [{seller = "b"}]
    """
    assert TomlFile("x.toml", text).decode(File) == File(
        name="a",
        part=Part(step=1.0, at=datetime(2016, 5, 28, 12), names=("x",)),
        peers={"mg1.c9": Part(shape=Shape.FLAT)},
        links=(Link("b"),),
    )


SLIPS = {
    "misspelt key": (
        'name = "a"\n\n[part]\nstepp = 1\n',
        'x.toml:4: unknown key "part.stepp" (did you mean "part.step"?)',
        "",
    ),
    "misspelt table": (
        'name = "a"\n[prat]\nstep = 1\n',
        'x.toml:2: unknown key "prat" (did you mean "part"?)',
        "",
    ),
    "key like no other": (
        'name = "a"\n[[links]]\nseller = "b"\nzzz = 3\n',
        'x.toml:4: unknown key "links[0].zzz"',
        "known here: fee, seller",
    ),
    "misspelt key of a named table": (
        'name = "a"\n[peers."mg1.c9"]\nstep = 0\n[peers.mg2]\nshap = "flat"\n',
        'x.toml:5: unknown key "peers.mg2.shap" (did you mean "peers.mg2.shape"?)',
        "",
    ),
    "misspelt key where there may be a table": (
        'name = "a"\neither = {cuont = 2}\n',
        'x.toml:2: unknown key "either.cuont" (did you mean "either.count"?)',
        "",
    ),
    "missing key": ("# empty\n", 'x.toml:1: the key "name" is missing', ""),
    "missing key of an element": (
        'name = "a"\n[[links]]\nseller = "b"\n\n[[links]]\nfee = 1\n',
        'x.toml:5: the key "links[1].seller" is missing',
        "",
    ),
    "text for a number": (
        'name = "a"\npart.step = "high"\n',
        'x.toml:2: "part.step" cannot be "high"',
        "expected a number, got a text",
    ),
    "truth for a number": (
        'name = "a"\npart.step = true\n',
        'x.toml:2: "part.step" cannot be true',
        "expected a number, got true or false",
    ),
    "out of range in a named table": (
        'name = "a"\n[peers.mg2]\nstep = 1\n[peers."mg1.c9"]\nstep = 1.5\n',
        "x.toml:5: \"peers.'mg1.c9'.step\" cannot be 1.5",
        "expected a number <= 1.0",
    ),
    "not a number": (
        'name = "a"\n[part]\nstep = nan\n',
        'x.toml:3: "part.step" cannot be nan',
        "expected a number >= 0.0",
    ),
    "infinity": (
        'name = "a"\n[part]\nstep = inf\n',
        'x.toml:3: "part.step" cannot be inf',
        "expected a number <= 1.0",
    ),
    "none of the choices": (
        'name = "a"\n[[links]]\nseller = "b"\n[peers.mg1]\nshape = "oval"\n',
        'x.toml:5: "peers.mg1.shape" cannot be "oval"',
        'expected "round" or "flat"',
    ),
    "none of the choices where there may be nothing": (
        'name = "a"\neither.shape = "oval"\n',
        'x.toml:2: "either.shape" cannot be "oval"',
        'expected "round" or "flat"',
    ),
    "quoted time": (
        'name = "a"\npart.at = "2016-05-28T12:00"\n',
        'x.toml:2: "part.at" cannot be "2016-05-28T12:00"',
        "expected a time such as 2016-05-28T12:00:00, got a text",
    ),
    "day for a time": (
        'name = "a"\npart.at = 2016-05-28\n',
        'x.toml:2: "part.at" cannot be 2016-05-28',
        "expected a time such as 2016-05-28T12:00:00, got a day",
    ),
    "time with a zone": (
        'name = "a"\npart.at = 2016-05-28T12:00:00Z\n',
        'x.toml:2: "part.at" cannot be 2016-05-28T12:00:00+00:00',
        "expected a time such as 2016-05-28T12:00:00 with no timezone component",
    ),
    "name too short": (
        'name = "a"\npeers.mg1.step = 1\npeers.m.step = 1\n',
        'x.toml:3: "peers.m" cannot be a table',
        "expected a text of length >= 2",
    ),
    "element of a list": (
        'name = "a"\n[part]\nnames = [\n  "b",\n  "",\n]\n',
        'x.toml:5: "part.names[1]" cannot be ""',
        "expected a text of length >= 1",
    ),
    "table for a list": (
        'name = "a"\n[links]\nseller = "b"\n',
        'x.toml:2: "links" cannot be a table',
        "expected a list, got a table",
    ),
    "list for a table": (
        'name = "a"\npart = [1]\n',
        'x.toml:2: "part" cannot be a list',
        "expected a table, got a list",
    ),
    "no value": ('name = "a"\npart =\nlinks = []\n', "x.toml:2: this is not TOML", "invalid value"),
    "unfinished text": ('name = """a\n\n', "x.toml:1: this is not TOML", "unterminated string"),
}


@pytest.mark.parametrize(("text", "what", "why"), SLIPS.values(), ids=[*SLIPS])
def test_a_slip_is_told_with_its_line(text: str, what: str, why: str) -> None:
    error = refusal(text)
    assert error.what == what
    assert error.why == why


LINES = '''
name = """
[part]
"""                       # a text that looks like a table
part.names = [
  "]",
  "b",                    # 7
]

[peers]
mg1 = {count = 2}
"mg2.c3".step = 1         # 12

[[links]]                 # 14
seller = "b"
fee = 1
[[links]]                 # 17

seller = "c"
'''


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ((), 1),
        (("name",), 2),
        (("part",), 5),
        (("part", "names", 0), 6),
        (("part", "names", 1), 7),
        (("part", "count"), 5),
        (("peers",), 10),
        (("peers", "mg1", "count"), 11),
        (("peers", "mg2.c3", "step"), 12),
        (("peers", "mg9", "step"), 10),
        (("links", 0), 14),
        (("links", 0, "fee"), 16),
        (("links", 1), 17),
        (("links", 1, "seller"), 19),
        (("links", 2), 14),
        (("nothing", "here"), 1),
    ],
)
def test_line_of_a_place(place: Keys, line: int) -> None:
    assert TomlFile("x.toml", LINES).line(place) == line


TABLES = st.dictionaries(
    st.text("ab.ü ", min_size=1, max_size=3), st.integers(0, 9), min_size=1, max_size=6
)


@given(TABLES, st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_every_key_is_found_on_its_line(table: dict[str, int], gaps: list[int]) -> None:
    lines: list[str] = []
    expected = {}
    for (key, number), gap in zip(table.items(), gaps, strict=False):
        lines += ["# nothing"] * gap + [f"{spelt((key,))} = {number}"]
        expected[key] = len(lines)
    file = TomlFile("x.toml", "\n".join(lines))
    assert {key: file.line((key,)) for key in tomllib.loads(file.text)} == expected


@given(st.lists(st.text(st.characters(exclude_characters="\x7f"), max_size=4), min_size=1))
def test_a_spelt_place_is_read_back_as_the_same_keys(keys: list[str]) -> None:
    tables: object = tomllib.loads(f"{spelt(tuple(keys))} = 1")
    for key in keys:
        assert isinstance(tables, dict)
        tables = tables[key]
    assert tables == 1


def test_an_error_about_a_part_of_the_file_names_its_place() -> None:
    file = TomlFile("x.toml", 'name = "a"\n[peers.mg1]\nstep = 7\n')
    with pytest.raises(ConfigError, match=r'x\.toml:3: "peers\.mg1\.step" cannot be 7'):
        file.convert(file.tables["peers"]["mg1"], Part, ("peers", "mg1"))
