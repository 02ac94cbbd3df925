"""Write the expected values of the golden cases that pandapower solves: run it from the root.

    python -m tests.reference.make

Each folder here has an expected.json from the network that its README.md names, solved by
pandapower from its own tables, with no code of ours in between.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandapower as pp
import pandapower.networks as pn
import simbench

HERE = Path(__file__).parent


def _with_all_der() -> Any:
    return pn.create_cigre_network_mv(with_der="all")


def _simbench(code: str) -> Callable[[], Any]:
    return lambda: simbench.get_simbench_net(code)


NETWORKS: dict[str, Callable[[], Any]] = {
    "case33bw": pn.case33bw,
    "cigre-lv": pn.create_cigre_network_lv,
    "cigre-mv": pn.create_cigre_network_mv,
    "cigre-mv-der": _with_all_der,
    "rural1-today": _simbench("1-LV-rural1--0-sw"),
    "rural1-tomorrow": _simbench("1-LV-rural1--2-sw"),
    "rural3-tomorrow": _simbench("1-LV-rural3--2-sw"),
    "mvlv108-tomorrow": _simbench("1-MVLV-rural-1.108-2-sw"),
}


def expected(net: Any) -> dict[str, Any]:
    """Return what pandapower answers at the net's own operating point."""
    pp.runpp(net, tolerance_mva=1e-10, numba=False, calculate_voltage_angles=True)
    bus, line, transformer = net.res_bus, net.res_line, net.res_trafo
    answer = {
        "v_min_pu": float(bus.vm_pu.min()),
        "v_min_bus": str(bus.vm_pu.idxmin()),
        "v_max_pu": float(bus.vm_pu.max()),
        "v_max_bus": str(bus.vm_pu.idxmax()),
        "line_losses_kw": float(line.pl_mw.sum()) * 1e3,
        "line_loading_percent_max": float(line.loading_percent.max()),
        "source_kw": float(net.res_ext_grid.p_mw.sum()) * 1e3,
        "source_kvar": float(net.res_ext_grid.q_mvar.sum()) * 1e3,
    }
    if len(transformer):
        answer["transformer_losses_kw"] = float(transformer.pl_mw.sum()) * 1e3
        answer["transformer_loading_percent_max"] = float(transformer.loading_percent.max())
    return answer


def main() -> None:
    """Write every expected.json."""
    for name, network in NETWORKS.items():
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        text = json.dumps(expected(network()), indent=2) + "\n"
        (folder / "expected.json").write_text(text)


if __name__ == "__main__":
    main()
