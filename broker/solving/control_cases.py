"""Control cases on disk: the case, and the cell that it names."""

from pathlib import Path

import msgspec

from peercell.broker.cells import LoadedCell, load_cell
from peercell.grid.control_case import CaseFile, ControlCase, control_case, decode_case
from peercell.grid.errors import ControlCaseError


def load_control_case(path: Path) -> ControlCase:
    """Return the case in a file; a cell that is no shipped one is looked for beside the file.

    Raises
    ------
    ControlCaseError : the file cannot be read, or is wrong at a field.
    UnknownCellError, CellError, UnknownElementError, TimeOutsideProfilesError : see `load_cell` and
        `control_case`.
    """
    file = read_case(path)
    loaded = cell_of(file, path)
    return control_case(file, loaded.cell, loaded.profiles)


def read_case(path: Path) -> CaseFile:
    """Return what a case file says; ControlCaseError when it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        why = error.strerror or str(error)
        raise ControlCaseError(f"cannot read the control case {path}", why) from None
    return decode_case(data, str(path))


def cell_of(file: CaseFile, path: Path) -> LoadedCell:
    """Return the cell of a case that was read from a path."""
    beside = path.parent / file.cell
    return load_cell(str(beside) if "/" in file.cell else file.cell)


def save_case(file: CaseFile, path: Path) -> None:
    """Write a case, one device a line."""
    whole = msgspec.json.encode(file)
    path.write_bytes(_lines(whole))


def _lines(encoded: bytes) -> bytes:
    """Return a JSON object with a key a line, and the entries of its lists a line each."""
    tree = msgspec.json.decode(encoded, type=dict[str, msgspec.Raw])
    keys = [b'  "%s": %s' % (key.encode(), _value(raw)) for key, raw in tree.items()]
    return b"{\n" + b",\n".join(keys) + b"\n}\n"


def _value(raw: msgspec.Raw) -> bytes:
    if not bytes(raw).startswith(b"[{"):
        return msgspec.json.format(bytes(raw), indent=0)
    entries = msgspec.json.decode(raw, type=list[msgspec.Raw])
    inner = b",\n".join(b"    " + msgspec.json.format(bytes(one), indent=0) for one in entries)
    return b"[\n" + inner + b"\n  ]"
