"""A cell survives its files, and a broken file is told where it is broken."""

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from tests.grid.builders import chain, random_cells

from peercell.agents.errors import PeercellError
from peercell.grid import model
from peercell.grid.cellfile import (
    Profiles,
    content_hash,
    decode_cell,
    decode_profiles,
    encode_cell,
    encode_profiles,
)
from peercell.grid.model import Cell, Provenance, Timeline, Window

DAY = Timeline(windows=(Window(start=datetime(2016, 5, 28), steps=96),))


def profiled() -> tuple[Cell, Profiles]:
    """Return a chain of three buses whose first load follows a profile for a day."""
    cell = chain(3)
    first, *rest = cell.customers
    asset = msgspec.structs.replace(first.assets[0], p_profile="H0-A")
    customer = msgspec.structs.replace(first, assets=(asset,))
    cell = msgspec.structs.replace(cell, customers=(customer, *rest), timeline=DAY)
    return cell, {"H0-A": np.linspace(0.0, 1.0, 96, dtype=np.float32)}


@given(random_cells(phases=3, zip_loads=True))
def test_a_cell_is_the_same_after_writing_and_reading(cell: Cell) -> None:
    again = decode_cell(encode_cell(cell))
    assert again == cell
    assert encode_cell(again) == encode_cell(cell)


def test_a_cell_file_has_a_line_for_each_element() -> None:
    lines = encode_cell(chain(5)).decode().splitlines()
    assert [line for line in lines if '"from_bus"' in line] == [
        f'    {{"id": "line-{n}", "from_bus": "{n - 1}", "to_bus": "{n}", '
        f'"r_ohm": 0.05, "x_ohm": 0.02}}' + ("," if n < 4 else "")
        for n in range(1, 5)
    ]


def test_a_default_that_was_computed_is_left_out_too() -> None:
    cell = chain(3)
    computed = msgspec.structs.replace(cell.branches[0], g_siemens=float("0") * 2.0)
    same = msgspec.structs.replace(cell, branches=(computed, *cell.branches[1:]))
    assert encode_cell(same) == encode_cell(cell)
    assert content_hash(same, {}) == content_hash(cell, {})


def test_profiles_are_the_same_after_writing_and_reading() -> None:
    cell, profiles = profiled()
    data = encode_profiles(profiles)
    again = decode_profiles(data, cell)
    assert np.array_equal(again["H0-A"], profiles["H0-A"])
    assert encode_profiles(again) == data


def test_the_hash_follows_the_grid_and_not_its_origin() -> None:
    cell, profiles = profiled()
    elsewhere = msgspec.structs.replace(
        cell, provenance=Provenance(source="another file", licence="CC0")
    )
    other_limit = msgspec.structs.replace(
        cell, buses=(msgspec.structs.replace(cell.buses[0], v_max_pu=1.05), *cell.buses[1:])
    )
    other_day = {"H0-A": profiles["H0-A"][::-1].copy()}
    original = content_hash(cell, profiles)
    assert re.fullmatch("[0-9a-f]{64}", original)
    assert content_hash(elsewhere, profiles) == original
    assert content_hash(other_limit, profiles) != original
    assert content_hash(cell, other_day) != original


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text[:-20], "c.json is not a cell file"),
        (lambda text: text.replace('"schema": 1', '"schema": 7'), "has cell schema 7"),
        (lambda text: text.replace('"schema": 1,', ""), "has cell schema None"),
        (lambda text: text.replace('"kv"', '"kw"', 1), r"unknown field `kw` - at `\$.buses\[0\]`"),
        (lambda text: text.replace("0.05", '"x"', 1), r"\$.branches\[0\].r_ohm"),
        (lambda text: text.replace("0.05", "1e99", 1), r"\$.branches\[0\].r_ohm"),
        (lambda text: text.replace("0.05", "NaN", 1), "c.json is not a"),
        (lambda text: text.replace('"to_bus": "2"', '"to_bus": "22"'), 'no bus "22"'),
        (lambda text: text.replace('"id": "2"', '"id": "1"'), 'bus "1" is there twice'),
    ],
)
def test_a_broken_cell_is_told_where(edit: Callable[[str], str], message: str) -> None:
    text = encode_cell(chain(3)).decode()
    assert edit(text) != text
    with pytest.raises(PeercellError) as error:
        decode_cell(edit(text).encode(), "c.json")
    assert re.search(message, str(error.value))


def _without(profiles: Profiles) -> Profiles:
    return {"other": profiles["H0-A"]}


def _short(profiles: Profiles) -> Profiles:
    return {"H0-A": profiles["H0-A"][:95]}


def _gaps(profiles: Profiles) -> Profiles:
    values = profiles["H0-A"].copy()
    values[48:50] = np.nan
    return {"H0-A": values}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without, 'asset "a-1" names the profile "H0-A".*it has: other'),
        (_short, '"H0-A" in p.npz has 95 rows.*has 96 steps'),
        (_gaps, '"H0-A" in p.npz has 2 gaps.*first is at 2016-05-28T12:00:00'),
    ],
)
def test_broken_profiles_are_told_where(
    spoil: Callable[[Profiles], Profiles], message: str
) -> None:
    cell, profiles = profiled()
    with pytest.raises(PeercellError) as error:
        decode_profiles(encode_profiles(spoil(profiles)), cell, "p.npz")
    assert re.search(message, str(error.value))


@pytest.mark.parametrize("data", [b"", b"PK not really", b"\x80\x04pickle"])
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(PeercellError, match="not an archive of profiles"):
        decode_profiles(data, profiled()[0])


def test_every_key_of_a_cell_file_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs/reference/cell-file.md").read_text()
    records = [
        record
        for record in vars(model).values()
        if isinstance(record, type) and issubclass(record, model.Record)
    ]
    keys = {field for record in records for field in record.__struct_fields__}
    assert sorted(key for key in keys if f"`{key}`" not in text) == []
