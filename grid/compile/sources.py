"""Where a network comes from: a pandapower file, one of its built-in networks, a SimBench code.

Names: `net.json`, `net.xlsx`, `pandapower:case33bw`, `simbench:1-LV-rural1--2-sw`; the two
prefixes may be left out. A pickle is refused, because opening one runs what is in it. Controllers,
costs and results in a network are left out: a cell has what power flows need.
"""

import inspect
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from peercell.grid.compile.libraries import (
    Net,
    Table,
    pandapower,
    pandas,
    quiet,
    simbench,
    submodule,
)
from peercell.grid.compile.options import Read, Say
from peercell.grid.errors import CompileError
from peercell.grid.nearest import unknown

_SIMBENCH_CODE = re.compile(r"^\d-[A-Z]")
_PICKLE_NAMES = (".p", ".pkl", ".pickle")
SIMBENCH_LICENCE = "ODbL-1.0 (database) and DbCL-1.0 (contents), SimBench, see LICENSE-ODbL.md"
_PANDAPOWER_LICENCE = "BSD-3-Clause, pandapower's network data, see LICENSE-ODbL.md"

# What pandapower raises on a file that it cannot understand; its own classes derive from these.
_FAILURES = (
    ValueError, KeyError, TypeError, AttributeError, IndexError, ImportError, UserWarning,
)  # fmt: skip

# Python objects in a file (controllers, characteristics) are not needed, so they are not made.
_OBJECT_TABLES = ("controller", "characteristic", "group", "user_pf_options", "std_types")


@dataclass(frozen=True)
class Opened:
    """A network and where it came from; `profiles` are SimBench's tables, empty without."""

    net: Net
    profiles: dict[str, Table]
    name: str
    source: str
    licence: str


def open_network(source: str, read: Read, say: Say) -> Opened:
    """Return the network that a source names.

    Parameters
    ----------
    source : a file or a name as in the module's first lines.
    read : returns the bytes of a file; may raise OSError.
    say : told what takes long.

    Raises
    ------
    CompileError : no such network or file, a pickle, not a network, or one from a newer pandapower.
    MissingExtraError : pandapower, SimBench or openpyxl is not installed.
    """
    prefix, _, rest = source.partition(":")
    if prefix == "simbench" or _SIMBENCH_CODE.match(source):
        return _simbench(rest or source, say)
    if prefix == "pandapower" or re.fullmatch(r"[A-Za-z_]\w*", source):
        return _builtin(rest or source)
    return _file(source, read)


def _builtin(name: str) -> Opened:
    """Return one of pandapower's built-in networks."""
    known = _builtin_functions()
    if name not in known:
        why = unknown("network", name, known).why
        raise CompileError(
            f'pandapower has no network "{name}" that needs no arguments',
            why,
            "a file needs its ending: net.json, net.xlsx",
        )
    with quiet():
        net = known[name]()
    return _opened(net, name, f"pandapower {pandapower().__version__}, {name}", _PANDAPOWER_LICENCE)


def _builtin_functions() -> dict[str, Callable[[], Net]]:
    """Return the functions of pandapower.networks that make a network without arguments."""
    networks = submodule("pandapower.networks")
    return {
        name: function
        for name, function in inspect.getmembers(networks, inspect.isfunction)
        if function.__module__.startswith("pandapower.networks")
        and all(
            parameter.default is not parameter.empty or parameter.kind is parameter.VAR_KEYWORD
            for parameter in inspect.signature(function).parameters.values()
        )
    }


def _simbench(code: str, say: Say) -> Opened:
    """Return a SimBench network with its year of profiles."""
    library = simbench()
    with quiet():
        codes = library.collect_all_simbench_codes()
    if code not in codes:
        raise CompileError(f'there is no SimBench code "{code}"', unknown("code", code, codes).why)
    say(f"reading SimBench's tables for {code}, some 5 to 25 s")
    with quiet():
        net = library.get_simbench_net(code)
    return _opened(net, code, f"SimBench {library.__version__}, {code}", SIMBENCH_LICENCE)


def _file(path: str, read: Read) -> Opened:
    """Return the network in a file of pandapower, told by its content."""
    try:
        data = read(path)
    except OSError as error:
        raise CompileError(f"{path} cannot be read", error.strerror or str(error)) from None
    if path.lower().endswith(_PICKLE_NAMES) or data[:1] == b"\x80":
        raise CompileError(
            f"{path} is a pickle, which is not opened",
            "opening a pickle runs any code that its maker put in",
            f'python -c "import pandapower as pp; '
            f"pp.to_json(pp.from_pickle('{path}'), 'net.json')\"",
        )
    net = _from_excel(data, path) if data[:2] == b"PK" else _from_json(data, path)
    stem = re.split(r"[/\\]", path)[-1].rpartition(".")[0]
    return _opened(net, stem, path, f"that of {path}, which does not state it")


def _from_json(data: bytes, path: str) -> Net:
    try:
        tree = json.loads(data)
    except ValueError as error:
        raise _not_a_network(path, f"it is not JSON: {error}") from None
    content = tree.get("_object", tree) if isinstance(tree, dict) else None
    if not isinstance(content, dict) or "bus" not in content or "version" not in content:
        raise _not_a_network(path, "it has no table of buses")
    _refuse_newer(content, path)
    for table in _OBJECT_TABLES:
        content.pop(table, None)
    file_io = submodule("pandapower.file_io")
    try:
        with quiet():
            return file_io.from_json_string(json.dumps(tree), convert=True)
    except _FAILURES as error:
        raise _failed(path, str(content["version"]), error) from None
    except submodule("pandapower.io_utils").DeserializationNotAllowed as error:
        raise CompileError(f"{path} holds objects that are not opened", str(error)) from None


def _from_excel(data: bytes, path: str) -> Net:
    submodule("openpyxl")
    io_utils, convert = submodule("pandapower.io_utils"), submodule("pandapower.convert_format")
    try:
        with quiet():
            sheets = pandas().read_excel(
                io.BytesIO(data), sheet_name=None, index_col=0, engine="openpyxl"
            )
            if "bus" not in sheets:
                raise _not_a_network(path, f"it has no sheet of buses, but {', '.join(sheets)}")
            for table in _OBJECT_TABLES:
                sheets.pop(table, None)
            net = io_utils.from_dict_of_dfs(sheets)
    except _FAILURES as error:
        raise _not_a_network(path, f"its sheets are not pandapower's ({error!r})") from None
    _refuse_newer(net, path)
    try:
        with quiet():
            convert.convert_format(net)
    except _FAILURES as error:
        raise _failed(path, str(net["version"]), error) from None
    return net


def _not_a_network(path: str, why: str) -> CompileError:
    return CompileError(
        f"{path} is not a network of pandapower", why, "pandapower.to_json(net, 'net.json')"
    )


def _refuse_newer(content: Any, path: str) -> None:
    """Raise CompileError when the format of a network is newer than the installed pandapower's."""
    installed = submodule("pandapower._version").__format_version__
    stated = str(content.get("format_version") or content["version"])
    if _version(stated) > _version(installed):
        raise CompileError(
            f"{path} was saved by pandapower {content['version']} (format {stated})",
            f"pandapower {pandapower().__version__} is installed and reads up to {installed}",
            _way_out(),
        )


def _failed(path: str, version: str, error: BaseException) -> CompileError:
    return CompileError(
        f"{path}, saved by pandapower {version}, cannot be opened",
        f"pandapower {pandapower().__version__} says: {error!r}",
        _way_out(),
    )


def _way_out() -> str:
    return (
        f"build the network again with pandapower {pandapower().__version__} and save it by "
        "pandapower.to_json, or take a peercell that is made for the newer pandapower"
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _opened(net: Net, name: str, source: str, licence: str) -> Opened:
    if not isinstance(net, pandapower().pandapowerNet):
        raise CompileError(f'"{name}" gives no network', f"it gives a {type(net).__name__}")
    if not len(net.bus):
        raise CompileError(f'"{name}" has no buses', "there is nothing to compile")
    profiles = net.pop("profiles", None) or {}
    return Opened(net, dict(profiles), name, source, licence)
