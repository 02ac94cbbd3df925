"""Small pandapower networks for the tests of compile, and the way to compile one."""

import copy
from functools import cache
from typing import Any

from peercell.grid.compile import compile_network
from peercell.grid.compile.libraries import pandapower, quiet
from peercell.grid.compile.options import Compiled, CompileOptions

Net = Any


def compiled(net: Net, options: CompileOptions | None = None, **files: str) -> Compiled:
    """Return what a network compiles to, by way of pandapower's JSON; `files` are by name."""
    with quiet():
        text = {"net.json": pandapower().to_json(net), **files}
    return compile_network(
        "net.json", options or CompileOptions(), lambda name: text[name.replace("-", "_")].encode()
    )


def compile_json(text: str, options: CompileOptions | None = None) -> Compiled:
    """Return what the text of a JSON file compiles to."""
    return compile_network("net.json", options or CompileOptions(), lambda _: text.encode())


def feeder() -> Net:
    """Return a new copy of the network that the tests of elements start from."""
    return copy.deepcopy(_feeder())


@cache
def _feeder() -> Net:
    """Return a 20/0.4 kV network of two lines with charging and two loads; bus 0 is the source.

    Buses: 0 (20 kV), 1 (0.4 kV, behind trafo 0), 2 and 3 in a row behind lines 0 and 1.
    """
    pp = pandapower()
    with quiet():
        net = pp.create_empty_network()
        for kv in (20.0, 0.4, 0.4, 0.4):
            pp.create_bus(net, vn_kv=kv)
        pp.create_ext_grid(net, 0, vm_pu=1.01, va_degree=3.0)
        pp.create_transformer(net, 0, 1, "0.4 MVA 20/0.4 kV")
        for start in (1, 2):
            pp.create_line_from_parameters(net, start, start + 1, 0.3, 0.2, 0.08, 260.0, 0.27)
            pp.create_load(net, start + 1, p_mw=0.03, q_mvar=0.01)
    return net


def line(net: Net, start: int, end: int, **more: Any) -> int:
    """Add a line with charging large enough to be seen."""
    with quiet():
        index: int = pandapower().create_line_from_parameters(
            net, start, end, 0.2, 0.3, 0.1, 5000.0, 0.2, **more
        )
    return index


def bus(net: Net, kv: float = 0.4, **more: Any) -> int:
    """Add a bus."""
    with quiet():
        index: int = pandapower().create_bus(net, vn_kv=kv, **more)
    return index
