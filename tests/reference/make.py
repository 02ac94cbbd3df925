"""Write the expected values of the golden cases: run it from the root.

    python -m tests.reference.make

Each folder here has an expected.json from the network that its README.md names, solved by
pandapower from its own tables, or by OpenDSS from those tables, with no code of ours in between.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import opendssdirect
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


def unbalanced_script(net: Any) -> Iterator[str]:
    """Yield the European low-voltage feeder in OpenDSS: stiff source, Dyn1, loads of one phase."""
    source, transformer = net.ext_grid.iloc[0], net.trafo.iloc[0]
    yield "Clear"
    yield "Set DefaultBaseFrequency=50"
    yield (
        f"New Circuit.eu phases=3 bus1=b0 basekv={transformer.vn_hv_kv} pu={source.vm_pu} "
        "Z1=[0, 1e-7] Z0=[0, 1e-7]"
    )
    kva = transformer.sn_mva * 1e3
    x_percent = float(np.sqrt(transformer.vk_percent**2 - transformer.vkr_percent**2))
    yield (
        "New Transformer.t phases=3 windings=2 buses=[b0 b1] conns=[delta wye] leadlag=lag "
        f"kvs=[{transformer.vn_hv_kv} {transformer.vn_lv_kv}] kvas=[{kva} {kva}] "
        f"%loadloss={transformer.vkr_percent} xhl={x_percent!r} ppm_antifloat=0"
    )
    for index, line in net.line.iterrows():
        yield (
            f"New Line.l{index} bus1=b{line.from_bus} bus2=b{line.to_bus} length={line.length_km} "
            f"r1={line.r_ohm_per_km} x1={line.x_ohm_per_km} c1=0 "
            f"r0={line.r0_ohm_per_km} x0={line.x0_ohm_per_km} c0=0"
        )
    for index, load in net.asymmetric_load.iterrows():
        for number, phase in enumerate("abc", start=1):
            kw, kvar = load[f"p_{phase}_mw"] * 1e3, load[f"q_{phase}_mvar"] * 1e3
            if kw:
                yield (
                    f"New Load.l{index}{phase} phases=1 bus1=b{load.bus}.{number} "
                    f"kv={float(transformer.vn_lv_kv / np.sqrt(3))!r} kw={float(kw)!r} "
                    f"kvar={float(kvar)!r} model=1 vminpu=0 vlowpu=0 vmaxpu=2"
                )
    yield "Set Tolerance=1e-10"
    yield "Set MaxIterations=200"
    yield "Solve"


def expected_unbalanced(net: Any) -> dict[str, Any]:
    """Return what OpenDSS answers for the European low-voltage feeder."""
    dss: Any = opendssdirect.dss.NewContext()
    for line in unbalanced_script(net):
        dss.Text.Command(line)
    names = [name.removeprefix("b") for name in dss.Circuit.AllNodeNames()]
    volts = np.asarray(dss.Circuit.AllBusVMag()) / (net.trafo.vn_lv_kv[0] * 1e3 / np.sqrt(3))
    low = {name: volt for name, volt in zip(names, volts, strict=True) if name[:2] != "0."}
    weakest = min(low, key=lambda name: low[name])
    power = dss.Circuit.TotalPower()
    return {
        "v_min_pu": float(low[weakest]),
        "v_min_bus": weakest.replace(".1", ".a").replace(".2", ".b").replace(".3", ".c"),
        "line_losses_kw": dss.Circuit.LineLosses()[0],
        "losses_kw": dss.Circuit.Losses()[0] / 1e3,
        "source_kw": -power[0],
        "source_kvar": -power[1],
    }


def write(name: str, answer: dict[str, Any]) -> None:
    """Write one expected.json."""
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "expected.json").write_text(json.dumps(answer, indent=2) + "\n")


def main() -> None:
    """Write every expected.json."""
    for name, network in NETWORKS.items():
        write(name, expected(network()))
    write("eu-lv", expected_unbalanced(pn.ieee_european_lv_asymmetric("on_peak_566")))


if __name__ == "__main__":
    main()
