"""A cell as bytes: `cell.json` (one element a line) and `profiles.npz` (float32, a row a step).

The content hash covers the meaning of both, not their formatting, so agents can refuse a different
grid. Opening the files is the business of `broker/cells.py`.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from peercell.grid.check import check_cell
from peercell.grid.errors import CellError
from peercell.grid.model import SCHEMA, Cell

T = TypeVar("T")

Profiles = Mapping[str, npt.NDArray[np.float32]]

# Lists of elements get one line each, so that a diff of two cells reads as a list of elements.
_ONE_LINE_EACH = (
    "buses", "branches", "transformers", "switches", "sources", "customers",
    "microgrids", "coupling_points", "ties", "windows", "notes",
)  # fmt: skip

# A fixed time in the archive keeps equal profiles equal bytes.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def decode_cell(data: bytes, origin: str = "cell.json") -> Cell:
    """Return the cell in the bytes of a `cell.json`.

    Raises
    ------
    CellError : not JSON, another schema, unknown or missing keys, a value out of range; the message
        holds the path of the value (`$.buses[3].kv`) and `origin`. See also `check_cell`.
    """
    try:
        head = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        schema = msgspec.json.decode(head.get("schema", msgspec.Raw(b"null")))
    except msgspec.MsgspecError as error:
        raise CellError(f"{origin} is not a cell file", str(error)) from None
    if schema != SCHEMA:
        raise CellError(
            f"{origin} has cell schema {schema}, this version reads {SCHEMA}",
            fix="compile the cell again, or install the version of peercell that wrote it",
        )
    try:
        cell = msgspec.json.decode(data, type=Cell)
    except msgspec.ValidationError as error:
        raise CellError(f"{origin} is not a valid cell", str(error)) from None
    check_cell(cell)
    return cell


def encode_cell(cell: Cell) -> bytes:
    """Return the bytes of the cell's `cell.json`, one element a line."""
    tree = msgspec.to_builtins(_lean(cell))
    return ("\n".join(_lines(tree, "")) + "\n").encode()


def _lean(value: T) -> T:
    """Return an equal value in which every field that equals its default is that default.

    msgspec leaves out a default only where it is the very same object, and 0.0 computed is not the
    0.0 of the class; without this, equal cells could have unequal files and hashes.
    """
    if isinstance(value, msgspec.Struct):
        kept = {}
        for field in msgspec.structs.fields(value):
            content = getattr(value, field.name)
            if field.default is msgspec.NODEFAULT or content != field.default:
                kept[field.name] = _lean(content)
        return type(value)(**kept)
    if isinstance(value, tuple):
        return type(value)(_lean(item) for item in value)
    return value


def _lines(tree: Mapping[str, object], indent: str) -> list[str]:
    """Return the lines of a JSON object whose element lists take one line an element."""
    lines = [f"{indent}{{" if not indent else "{"]
    inner = indent + "  "
    for position, (key, value) in enumerate(tree.items()):
        comma = "," if position < len(tree) - 1 else ""
        if key in _ONE_LINE_EACH and isinstance(value, list | tuple) and value:
            items = ",\n".join(f"{inner}  {json.dumps(item, default=str)}" for item in value)
            lines.append(f"{inner}{json.dumps(key)}: [\n{items}\n{inner}]{comma}")
        elif isinstance(value, dict):
            lines.append(f"{inner}{json.dumps(key)}: " + "\n".join(_lines(value, inner)) + comma)
        else:
            lines.append(f"{inner}{json.dumps(key)}: {json.dumps(value, default=str)}{comma}")
    lines.append(f"{indent}}}")
    return lines


def decode_profiles(data: bytes, cell: Cell, origin: str = "profiles.npz") -> Profiles:
    """Return the profiles in the bytes of an npz archive, checked against the cell.

    Raises
    ------
    CellError : not an archive, a profile that an asset names is missing, has a wrong length or a
        value that is not finite; the message names the profile and the row.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            profiles = {name: np.asarray(archive[name], np.float32) for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise CellError(f"{origin} is not an archive of profiles", str(error)) from None
    check_profiles(profiles, cell, origin)
    return profiles


def check_profiles(profiles: Profiles, cell: Cell, origin: str = "profiles") -> None:
    """Raise CellError where a profile is missing, of the wrong length or not finite."""
    for asset in cell.assets:
        for name in (asset.p_profile, asset.q_profile):
            if name and name not in profiles:
                raise CellError(
                    f'asset "{asset.id}" names the profile "{name}", which {origin} does not have',
                    f"it has: {', '.join(sorted(profiles)) or 'none'}",
                )
    for name, values in profiles.items():
        if values.shape != (cell.timeline.steps,):
            raise CellError(
                f'profile "{name}" in {origin} has {values.size} rows',
                f"the cell's timeline has {cell.timeline.steps} steps",
            )
        gaps = np.flatnonzero(~np.isfinite(values))
        if gaps.size:
            raise CellError(
                f'profile "{name}" in {origin} has {gaps.size} gaps',
                f"the first is at {cell.timeline.time(int(gaps[0])).isoformat()}",
                "fill the gaps in the source, then compile again",
            )


def encode_profiles(profiles: Profiles) -> bytes:
    """Return the profiles as the bytes of an npz archive; equal profiles give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(profiles):
            array = io.BytesIO()
            np.lib.format.write_array(array, np.asarray(profiles[name], np.float32))
            info = zipfile.ZipInfo(f"{name}.npy", date_time=_ZIP_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, array.getvalue())
    return buffer.getvalue()


def content_hash(cell: Cell, profiles: Profiles) -> str:
    """Return the SHA-256 of the cell's canonical JSON and its profiles, 64 hex digits.

    The provenance is left out: the same grid from another file name stays the same grid.
    """
    bare = msgspec.structs.replace(cell, provenance=type(cell.provenance)(source="", licence=""))
    digest = hashlib.sha256(msgspec.json.encode(_lean(bare), order="deterministic"))
    for name in sorted(profiles):
        digest.update(name.encode() + b"\0")
        digest.update(np.ascontiguousarray(profiles[name], "<f4").tobytes())
    return digest.hexdigest()
