"""Cells on disk: the shipped ones by name, a user's by folder."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from peercell.grid.cellfile import (
    Profiles,
    content_hash,
    decode_cell,
    decode_profiles,
    encode_cell,
    encode_profiles,
)
from peercell.grid.errors import CellError, UnknownCellError
from peercell.grid.model import Cell


@dataclass(frozen=True)
class LoadedCell:
    """A cell, its profiles and where they came from."""

    cell: Cell
    profiles: Profiles
    folder: Path

    @property
    def hash(self) -> str:
        """Content hash of cell and profiles."""
        return content_hash(self.cell, self.profiles)


def shipped_folder() -> Path:
    """Return the folder of the cells that come with the package."""
    return Path(str(files("peercell.grid"))) / "data"


def shipped_names() -> list[str]:
    """Return the names of the shipped cells, sorted."""
    return sorted(path.parent.name for path in shipped_folder().glob("*/cell.json"))


def load_cell(name_or_folder: str) -> LoadedCell:
    """Return a shipped cell by name, or any cell by its folder.

    Raises
    ------
    UnknownCellError : neither a shipped name nor a folder with a `cell.json`.
    CellError : the files are there but not a valid cell.
    """
    folder = shipped_folder() / name_or_folder
    if "/" in name_or_folder or not (folder / "cell.json").is_file():
        folder = Path(name_or_folder)
    path = folder / "cell.json"
    if not path.is_file():
        raise UnknownCellError(
            f'there is no cell "{name_or_folder}"',
            f"it is not one of {', '.join(shipped_names())}, and {path} does not exist",
            "peercell grid ls",
        )
    cell = decode_cell(path.read_bytes(), str(path))
    archive = folder / "profiles.npz"
    if archive.is_file():
        return LoadedCell(cell, decode_profiles(archive.read_bytes(), cell, str(archive)), folder)
    if cell.timeline.steps:
        raise CellError(f"{archive} is missing", "the cell has a timeline, so it needs profiles")
    return LoadedCell(cell, {}, folder)


def save_cell(cell: Cell, profiles: Profiles, folder: Path) -> LoadedCell:
    """Write a cell to a folder, which is made if need be, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cell.json").write_bytes(encode_cell(cell))
    archive = folder / "profiles.npz"
    if profiles:
        archive.write_bytes(encode_profiles(profiles))
    else:
        # Those of an earlier cell in this folder would not fit this one.
        archive.unlink(missing_ok=True)
    return LoadedCell(cell, profiles, folder)
