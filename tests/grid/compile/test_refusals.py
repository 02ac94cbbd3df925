"""What cannot become a cell is refused by name, with the reason and the way out."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from tests.grid.compile.networks import Net, bus, compile_json, compiled, feeder

from peercell.agents.errors import MissingExtraError, PeercellError
from peercell.grid.compile import compile_network, libraries
from peercell.grid.compile.libraries import pandapower, quiet, submodule
from peercell.grid.compile.options import CompileOptions, parse_span
from peercell.grid.errors import CompileError


def as_json(net: Net) -> str:
    with quiet():
        text: str = pandapower().to_json(net)
    return text


def unread(name: str) -> bytes:
    raise FileNotFoundError(2, "No such file or directory", name)


def extended_ward(net: Net) -> None:
    with quiet():
        pandapower().create_xward(net, 3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 1.0)


def direct_current_line(net: Net) -> None:
    with quiet():
        pandapower().create_dcline(net, 1, 3, 0.01, 1.0, 0.1, 1.0, 1.0)


def static_compensator(net: Net) -> None:
    with quiet():
        pandapower().create_svc(net, 3, 1.0, -10.0, 1.0, 90.0)


def generator(net: Net) -> None:
    with quiet():
        pandapower().create_gen(net, 3, p_mw=0.01, vm_pu=1.0)


def uneven_impedance(net: Net) -> None:
    with quiet():
        pandapower().create_impedance(net, 2, bus(net), 0.02, 0.05, 0.5, rtf_pu=0.03, xtf_pu=0.05)


def uneven_transformer(net: Net) -> None:
    net.trafo["leakage_resistance_ratio_hv"] = 0.7
    net.trafo["leakage_reactance_ratio_hv"] = 0.7


def switch_nowhere(net: Net) -> None:
    with quiet():
        pandapower().create_switch(net, 3, 1, et="l")
    net.switch["bus"] = 1


def no_solution(net: Net) -> None:
    net.load["p_mw"] = 50.0


def no_source(net: Net) -> None:
    net.ext_grid["in_service"] = False


def unbalanced_without_zero_sequence(net: Net) -> None:
    with quiet():
        pandapower().create_asymmetric_load(net, 3, p_a_mw=0.001)


def unbalanced_delta(net: Net) -> None:
    with quiet():
        pandapower().create_asymmetric_load(net, 3, p_a_mw=0.001, type="delta")


REFUSALS = [
    (extended_ward, "xward 0 cannot be compiled"),
    (direct_current_line, "dcline 0 cannot be compiled"),
    (static_compensator, "svc 0 cannot be compiled"),
    (generator, "gen 0 hold their voltage.*--generators-as-injections"),
    (uneven_impedance, "impedance 0 has two unequal halves"),
    (uneven_transformer, "trafo 0 has two unequal halves"),
    (switch_nowhere, "switch-0 is at bus 1, which is no end of line-1.*from 2 to 3"),
    (no_solution, "cannot be checked.*neither at table values nor at a tenth"),
    (no_source, "pandapower cannot solve the network.*No reference bus"),
    (unbalanced_delta, "asymmetric_load 0 is connected between phases.*wye"),
    (unbalanced_without_zero_sequence, "line-0 has no zero-sequence impedance"),
]


@pytest.mark.parametrize(
    ("change", "message"), REFUSALS, ids=lambda it: getattr(it, "__name__", "")
)
def test_what_a_cell_cannot_hold_is_refused(change: Callable[[Net], None], message: str) -> None:
    net = feeder()
    change(net)
    with pytest.raises(PeercellError, match=f"(?s){message}"):
        compiled(net)


def test_an_out_of_service_element_is_not_refused() -> None:
    net = feeder()
    extended_ward(net)
    generator(net)
    net.xward["in_service"] = net.gen["in_service"] = False
    assert compiled(net).cell.assets


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "net.json is not a network of pandapower.*not JSON"),
        ("[1, 2]", "no table of buses"),
        ('{"bus": {}, "name": "x"}', "no table of buses"),
        ('{"_object": {"bus": 1, "version": "3.5.6", "format_version": "3.3.0"}}', "cannot be"),
    ],
)
def test_a_file_that_is_no_network_is_refused(text: str, message: str) -> None:
    with pytest.raises(CompileError, match=f"(?s){message}"):
        compile_json(text)


@pytest.mark.parametrize(
    ("version", "form", "message"),
    [
        (
            "99.1.0",
            "99.0.0",
            r"saved by pandapower 99.1.0 \(format 99.0.0\).*pandapower 3\..*reads",
        ),
        ("99.1.0", None, "saved by pandapower 99.1.0"),
    ],
)
def test_a_file_of_a_newer_pandapower_is_refused(
    version: str, form: str | None, message: str
) -> None:
    tree = json.loads(as_json(feeder()))
    tree["_object"] |= {"version": version, "format_version": form}
    with pytest.raises(CompileError, match=f"(?s){message}.*to_json"):
        compile_json(json.dumps(tree))


def test_a_table_of_a_class_that_is_unknown_is_refused_with_both_versions() -> None:
    """The other way in which pandapower fails on newer files: a class that it does not have."""
    tree = json.loads(as_json(feeder()))
    tree["_object"]["bus"] |= {"_module": "pandapower.future", "_class": "Table"}
    with pytest.raises(CompileError, match=r"(?s)saved by pandapower 3\.5.*cannot be opened.*3\.5"):
        compile_json(json.dumps(tree))


def test_objects_in_a_file_are_not_made() -> None:
    """A controller in the JSON is left out unread: it could be of any class."""
    tree = json.loads(as_json(feeder()))
    tree["_object"]["controller"] = {"_module": "os", "_class": "exec", "_object": "x"}
    assert compile_json(json.dumps(tree)).cell.assets


def test_excel_is_read_like_json(tmp_path: Path) -> None:
    net, path = feeder(), tmp_path / "net.xlsx"
    with quiet(), pd.ExcelWriter(path, engine="openpyxl") as writer:
        for name, table in submodule("pandapower.io_utils").to_dict_of_dfs(net).items():
            table.to_excel(writer, sheet_name=name)
    found = compile_network("net.xlsx", CompileOptions(), lambda _: path.read_bytes())
    # Excel keeps 15 digits, so that the values may differ in the last bit.
    assert found.cell.name == compiled(net).cell.name == "net"
    assert found.cell.buses == compiled(net).cell.buses
    assert found.cell.branches == compiled(net).cell.branches


def test_excel_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sums.xlsx"
    pd.DataFrame({"a": [1]}).to_excel(path)
    with pytest.raises(CompileError, match="is not a network of pandapower"):
        compile_network("sums.xlsx", CompileOptions(), lambda _: path.read_bytes())


def test_a_network_without_buses_is_refused() -> None:
    with pytest.raises(CompileError, match="has no buses"):
        compiled(pandapower().create_empty_network())


@pytest.mark.parametrize("name", ["net.p", "net.pkl", "net.PICKLE", "net.json"])
def test_a_pickle_is_refused_whatever_its_name(name: str) -> None:
    with pytest.raises(CompileError, match=r"(?s)is a pickle.*runs any code.*to_json"):
        compile_network(name, CompileOptions(), lambda _: pickle.dumps({}))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.json", "missing.json cannot be read.*No such file"),
        ("folder/net", "folder/net cannot be read"),
        ("case34bw", 'no network "case34bw".*case33bw'),
        ("pandapower:create_bus", "no network"),
        ("simbench:1-LV-rural9--2-sw", 'no SimBench code "1-LV-rural9--2-sw".*1-LV-rural1--2-sw'),
        ("1-LV-rural9--2-sw", "no SimBench code"),
        ("recipe:rural9", 'no recipe "rural9".*rural1'),
    ],
)
def test_an_unknown_source_is_refused_with_the_nearest(source: str, message: str) -> None:
    with pytest.raises(CompileError, match=f"(?s){message}"):
        compile_network(source, CompileOptions(), unread)


WINDOW = parse_span("2016-05-28/2016-05-28")


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("recipe:case33", CompileOptions(pv_scale=2.0), "recipe:case33 has its own options"),
        ("case33bw", CompileOptions(windows=(WINDOW,)), "no profiles for the window"),
        (
            "case33bw",
            CompileOptions(standard_profiles=True, csv_profiles="own.csv"),
            "own.csv cannot be read",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(
    source: str, options: CompileOptions, message: str
) -> None:
    with pytest.raises(CompileError, match=message):
        compile_network(source, options, unread)


def test_profiles_from_two_places_are_refused() -> None:
    options = CompileOptions(standard_profiles=True, csv_profiles="own_csv")
    table = "time,load-0.p_kw\n2016-01-01T00:00,-1\n2016-01-01T00:15,-2\n"
    with pytest.raises(CompileError, match="one place"):
        compiled(feeder(), options, own_csv=table)


@pytest.mark.parametrize(
    "text",
    ["", "2016-05-28", "2016-05-29/2016-05-28", "may/june", "2016-05-28T12:00/2016-05-28T12:00"],
)
def test_a_window_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CompileError, match="is not a window"):
        parse_span(text)


@pytest.mark.parametrize(("library", "extra"), [("pandapower", "grid"), ("simbench", "simbench")])
def test_a_missing_library_names_its_extra(
    library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(libraries, "import_module", absent)
    with pytest.raises(MissingExtraError, match=rf"the extra \[{extra}\]"):
        getattr(libraries, library)()
