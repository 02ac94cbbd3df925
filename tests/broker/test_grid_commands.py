"""`peercell grid`: what its commands print, that scripts rely on."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.broker.conftest import Run
from tests.broker.village import make_profiles, make_village
from tests.grid.builders import case33, make_cell

from peercell.broker.cells import save_cell, shipped_names
from peercell.grid.model import (
    Asset,
    AssetKind,
    Branch,
    Bus,
    Customer,
    Phase,
    Source,
    Switch,
)  # fmt: skip

NOON = "2016-05-28T12:00"


def _json(run: Run, *args: str) -> Any:
    result = run(*args, "-o", "json")
    assert result.code == 0, result.err
    return json.loads(result.out)


def test_solve_keeps_its_contract(run: Run, village: Path) -> None:
    point = _json(run, "grid", "solve", "village", "--at", NOON)
    assert list(point) == [
        "cell", "at", "converged", "iterations", "losses_kw", "source_kw", "source_kvar",
        "buses", "branches", "violations",
    ]  # fmt: skip
    assert (point["cell"], point["at"], point["converged"]) == ("village", f"{NOON}:00", True)
    assert list(point["buses"]) == ["mv", "0", "1", "2", "3", "4", "5", "6"]
    assert set(point["buses"]["4"]) == {"v_pu", "angle_deg"}
    assert set(point["branches"]) == {"trafo-0", *(f"line-{n}" for n in range(1, 7))}
    assert set(point["branches"]["line-1"]) == {"loading_percent", "p_from_kw"}
    assert {violation["kind"] for violation in point["violations"]} == {"over_voltage", "overload"}
    assert set(point["violations"][0]) == {"kind", "element", "value", "limit", "unit"}
    assert point["source_kw"] < 0.0, "the village exports at noon"


def test_solve_without_a_time_is_the_nominal_snapshot(run: Run, village: Path) -> None:
    assert _json(run, "grid", "solve", "village")["at"] is None


def test_a_bus_without_a_source_has_a_cause_instead_of_a_voltage(run: Run, tmp_path: Path) -> None:
    """A meshed island behind one open switch."""
    cell = make_village()
    ring = Branch(id="line-7", from_bus="3", to_bus="4", r_ohm=0.02, x_ohm=0.01)
    cut = Switch(id="switch-2", bus="1", branch="line-2", closed=False)
    island = structs.replace(cell, branches=(*cell.branches, ring), switches=(*cell.switches, cut))
    save_cell(island, make_profiles(), tmp_path / "island")
    point = _json(run, "grid", "solve", "island", "--at", NOON)
    assert point["buses"]["3"] == {
        "v_pu": None, "angle_deg": None, "cause": "no source: cut off by open switch-2",
    }  # fmt: skip
    assert point["branches"]["line-7"] == {"loading_percent": None, "p_from_kw": 0.0}
    assert point["branches"]["line-3"] == {"loading_percent": 0.0, "p_from_kw": 0.0}
    result = run("grid", "day", "island", "--date", "2016-05-28")
    assert "warning: no voltage at 2, 3, 4: no source: cut off by open switch-2" in result.err
    assert "no limit is violated" in result.out


def test_cells_of_three_phases_answer_by_phase(run: Run, tmp_path: Path) -> None:
    homes = [
        Customer(
            id=f"home-{phase}",
            bus="1",
            assets=(Asset(id=f"load-{phase}", kind=AssetKind.LOAD, p_kw=-4.0, phase=phase),),
        )
        for phase in (Phase.A, Phase.B)
    ]
    line = Branch(
        id="line-1", from_bus="0", to_bus="1", r_ohm=0.1, x_ohm=0.05, r0_ohm=0.3, x0_ohm=0.2
    )
    cell = make_cell(
        [Bus(id="0", kv=0.4), Bus(id="1", kv=0.4)], [line],
        sources=[Source(id="grid", bus="0")], customers=homes, phases=3,
    )  # fmt: skip
    save_cell(cell, {}, tmp_path / "street")
    buses = _json(run, "grid", "solve", "street")["buses"]
    assert list(buses) == ["0.a", "0.b", "0.c", "1.a", "1.b", "1.c"]
    assert buses["1.a"]["v_pu"] < 1.0 < buses["1.c"]["v_pu"]
    assert _json(run, "grid", "sens", "street", "--bus", "1.a")["bus"] == "1.a"
    assert run("grid", "solve", "street", "--plot", "street.svg").code == 0


def test_set_points_take_units_and_change_the_answer(run: Run, village: Path) -> None:
    solve = ("grid", "solve", "village", "--at", NOON)
    free = _json(run, *solve)
    held = _json(run, *solve, "--set", "pv-4=0,-10kvar", "--set", "pv-3=0.02MW,0")
    assert held["buses"]["4"]["v_pu"] < free["buses"]["4"]["v_pu"]
    assert held["source_kw"] == pytest.approx(free["source_kw"] + 100.0, abs=12.0)


def test_set_points_can_be_set_in_the_environment(
    run: Run, village: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _json(run, "grid", "solve", "village", "--at", NOON, "--set", "pv-4=0,0")
    monkeypatch.setenv("PEERCELL_GRID_SOLVE_AT", NOON)
    monkeypatch.setenv("PEERCELL_GRID_SOLVE_SET", "pv-4=0,0")
    assert _json(run, "grid", "solve", "village") == asked


@pytest.mark.parametrize(
    ("args", "rows", "columns"),
    [
        (("solve", "village"), 8, ["bus", "v_pu", "angle_deg", "cause"]),
        (("sens", "village", "--bus", "4"), 8, ["bus", "dv_dp_pu_per_kw", "dv_dq_pu_per_kvar"]),
        (
            ("day", "village", "--date", "2016-05-28"),
            96,
            [
                "at", "v_min_pu", "v_min_bus", "v_max_pu", "v_max_bus", "transformer_percent",
                "line_percent", "losses_kw", "source_kw", "source_kvar", "violations",
            ],
        ),
    ],
)  # fmt: skip
def test_rows(
    run: Run, village: Path, args: tuple[str, ...], rows: int, columns: list[str]
) -> None:
    table = list(csv.DictReader(io.StringIO(run("grid", *args, "-o", "csv").out)))
    lines = [json.loads(line) for line in run("grid", *args, "-o", "jsonl").out.splitlines()]
    assert len(table) == len(lines) == rows
    assert list(table[0]) == list(lines[0]) == columns


def test_day_ends_with_what_breaks(run: Run, village: Path) -> None:
    result = run("grid", "day", "village", "--date", "2016-05-28")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "village on Saturday 2016-05-28, 96 steps of 15 min"
    assert lines[-3] == "limits are violated in 33 of 96 steps:"
    assert lines[-2] == (
        "  08:00-16:15  over voltage  4 buses above 1.055 pu, worst 1.0956 pu at bus 3 at 12:00"
    )
    assert lines[-1] == "  08:45-15:30  overload      trafo-0 above 100 %, worst 162.2 % at 12:00"
    assert sum("⠉" in line or "⠒" in line for line in lines) > 6, "two curves"


def test_day_as_json_holds_the_sums_the_episodes_and_the_steps(run: Run, village: Path) -> None:
    day = _json(run, "grid", "day", "village", "--date", "2016-05-28")
    assert len(day["steps"]) == 96
    assert day["date"] == "2016-05-28"
    assert [episode["kind"] for episode in day["episodes"]] == ["over_voltage", "overload"]
    assert day["episodes"][0]["end"] == "2016-05-28T16:15:00"


def test_charts_fit_the_terminal(run: Run, village: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in (50, 100):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = run("grid", "day", "village", "--date", "2016-05-28").out.splitlines()
        curves = [line for line in lines if "┤" in line or "│" in line]
        assert columns - 4 <= max(map(len, curves)) <= columns


def test_sens_orders_by_strength_and_knows_a_simpler_model(run: Run, village: Path) -> None:
    exact = run("grid", "sens", "village", "--bus", "4", "--at", NOON)
    assert exact.out.splitlines()[3].startswith("4 ")
    linear = _json(run, "grid", "sens", "village", "--bus", "4", "--linear")
    assert linear["exact"] is False
    assert linear["buses"]["mv"]["dv_dp_pu_per_kw"] == 0.0


def test_large_cells_show_the_most_stressed_buses(run: Run, tmp_path: Path) -> None:
    cell = case33()
    more = [Bus(id=str(n), kv=12.66) for n in range(33, 50)]
    links = [
        Branch(id=f"line-x{n}", from_bus=str(n - 1), to_bus=str(n), r_ohm=0.1, x_ohm=0.1)
        for n in range(33, 50)
    ]
    large = structs.replace(cell, buses=(*cell.buses, *more), branches=(*cell.branches, *links))
    save_cell(large, {}, tmp_path / "large")
    result = run("grid", "solve", "large")
    assert "(the 15 most stressed of 50 buses; -o json has all of them)" in result.out
    assert len(_json(run, "grid", "solve", "large")["buses"]) == 50


def test_show_and_check_say_what_was_understood(run: Run, village: Path) -> None:
    shown = _json(run, "grid", "show", "village")
    assert (shown["buses"], shown["branches"], shown["assets"]) == (
        8, {"line": 6}, {"load": 6, "pv": 4},
    )  # fmt: skip
    assert [microgrid["id"] for microgrid in shown["microgrids"]] == ["mg-1", "mg-2"]
    assert shown["windows"] == [{"start": "2016-05-28T00:00:00", "end": "2016-05-29T00:00:00"}]
    assert len(shown["hash"]) == 64
    checked = _json(run, "grid", "check", "village")
    assert checked["summary"] == shown
    assert (checked["converged"], checked["warnings"]) == (True, [])
    text = run("grid", "check", "village").out
    assert "power flow converges in 7 iterations, in at most 8 over 96 rows" in text
    assert text.endswith("nothing looks wrong\n")


def test_show_as_csv_is_one_row_of_parts(run: Run, village: Path) -> None:
    (row,) = csv.DictReader(io.StringIO(run("grid", "show", "village", "-o", "csv").out))
    assert (row["assets.pv"], row["microgrids.1.id"]) == ("4", "mg-2")


def test_check_warns_with_file_and_line(run: Run, tmp_path: Path) -> None:
    cell = make_village()
    giant = Customer(
        id="home-7", bus="6", assets=(Asset(id="load-7", kind=AssetKind.LOAD, p_kw=-40_000.0),)
    )
    bare = tuple(structs.replace(bus, x=None, y=None) for bus in cell.buses)
    cell = structs.replace(cell, buses=bare, customers=(*cell.customers, giant))
    save_cell(cell, make_profiles(), tmp_path / "giant")
    lines = (tmp_path / "giant" / "cell.json").read_text().splitlines()
    at = next(n for n, line in enumerate(lines, start=1) if '"load-7"' in line)
    result = run("grid", "check", "giant")
    assert f'warning: giant/cell.json:{at}: "load-7": 40000 kW behind 0.4 kV' in result.err
    assert 'warning: giant/cell.json:7: "mv" and 7 more: no coordinates' in result.err
    assert result.code == 5
    assert "is the weakest" in result.err


def test_ls_lists_the_shipped_cells(run: Run) -> None:
    rows = _json(run, "grid", "ls")
    assert [row["cell"] for row in rows] == shipped_names()
    assert run("grid", "ls", "-q").err == ""
