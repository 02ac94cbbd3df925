"""Cells on disk: shipped ones by name, a user's by folder."""

from pathlib import Path

import numpy as np
import pytest
from tests.grid.builders import chain

from peercell.broker.cells import load_cell, save_cell, shipped_names
from peercell.grid.errors import CellError, UnknownCellError


def test_a_saved_cell_is_loaded_from_its_folder(tmp_path: Path) -> None:
    cell = chain(4)
    saved = save_cell(cell, {}, tmp_path / "deep" / "my cell")
    loaded = load_cell(str(tmp_path / "deep" / "my cell"))
    assert loaded.cell == cell
    assert loaded.hash == saved.hash


def test_a_saved_cell_leaves_nothing_of_an_earlier_one(tmp_path: Path) -> None:
    earlier = load_cell("rural1")
    save_cell(earlier.cell, earlier.profiles, tmp_path)
    save_cell(chain(4), {}, tmp_path)
    assert load_cell(str(tmp_path)).profiles == {}


def test_an_unknown_name_lists_the_shipped_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownCellError) as error:
        load_cell("rural9")
    assert error.value.what == 'there is no cell "rural9"'
    assert all(name in error.value.why for name in shipped_names())


def test_profiles_that_the_timeline_needs_must_be_there(tmp_path: Path) -> None:
    loaded = load_cell("rural1")
    save_cell(loaded.cell, loaded.profiles, tmp_path)
    (tmp_path / "profiles.npz").unlink()
    with pytest.raises(CellError, match=r"profiles\.npz is missing"):
        load_cell(str(tmp_path))


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_cell_survives_its_files(name: str, tmp_path: Path) -> None:
    loaded = load_cell(name)
    save_cell(loaded.cell, loaded.profiles, tmp_path)
    again = load_cell(str(tmp_path))
    assert again.hash == loaded.hash
    assert all(np.array_equal(again.profiles[key], loaded.profiles[key]) for key in again.profiles)
