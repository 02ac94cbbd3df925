"""Profiles: windows of SimBench's year, batteries behind PV, standard ones, and a user's own."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from tests.grid.compile.networks import compiled, feeder

from peercell.agents.errors import PeercellError
from peercell.grid.cellfile import check_profiles
from peercell.grid.compile.options import CompileOptions, Span, parse_span
from peercell.grid.compile.profile_tables import (
    ProfileTables,
    profile_tables,
    storage_plant,
)
from peercell.grid.compile.standard import LoadKind, load_kind_of
from peercell.grid.errors import CompileError
from peercell.grid.model import Window
from peercell.grid.profiles import power_at

START = datetime(2016, 5, 28)


def quarter_hours(count: int) -> list[str]:
    return [(START + timedelta(minutes=15 * row)).isoformat() for row in range(count)]


def table(columns: str, rows: Sequence[Sequence[object]]) -> str:
    lines = [
        ",".join(map(str, (time, *row))) for time, row in zip(quarter_hours(99), rows, strict=False)
    ]
    return "\n".join([f"time,{columns}", *lines]) + "\n"


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("2016-05-23/2016-05-29", Span(datetime(2016, 5, 23), datetime(2016, 5, 30))),
        ("2016-05-23/2016-05-23", Span(datetime(2016, 5, 23), datetime(2016, 5, 24))),
        (
            "2016-05-23T06:00/2016-05-23T18:00",
            Span(datetime(2016, 5, 23, 6), datetime(2016, 5, 23, 18)),
        ),
    ],
)
def test_a_bare_end_date_is_included(text: str, span: Span) -> None:
    assert parse_span(text) == span
    assert parse_span(str(span)) == span


def year(count: int, jumps: dict[int, int]) -> ProfileTables:
    """Return profiles whose clock jumps by minutes at some rows, beside the 15 of each step."""
    steps = [15 + jumps.get(row, 0) for row in range(1, count)]
    offsets = np.concatenate([[0], np.cumsum(steps)])
    times = np.datetime64(START) + offsets.astype("timedelta64[m]")
    return ProfileTables(times.astype("datetime64[s]"), {"x": np.arange(count, dtype=np.float64)})


def test_windows_are_cut_in_the_order_asked_for() -> None:
    profiles = year(4 * 96, {})
    second = Span(datetime(2016, 5, 30), datetime(2016, 5, 31))
    first = Span(datetime(2016, 5, 28, 12), datetime(2016, 5, 28, 13))
    timeline, arrays = profiles.cut([second, first], {"x"})
    assert timeline.windows == (
        Window(start=second.start, steps=96),
        Window(start=first.start, steps=4),
    )
    assert arrays["x"].tolist() == [*range(192, 288), *range(48, 52)]
    assert arrays["x"].dtype == np.float32


def test_daylight_saving_time_starts_a_new_window() -> None:
    """SimBench's clock skips an hour in March and repeats one in October, its rows do not."""
    timeline, arrays = year(40, {10: 60, 30: -60}).cut([], {"x"})
    assert [window.steps for window in timeline.windows] == [10, 20, 10]
    assert timeline.windows[1].start == START + timedelta(minutes=15 * 10 + 60)
    assert arrays["x"].tolist() == list(range(40))


def test_a_window_without_profiles_says_what_there_is() -> None:
    with pytest.raises(CompileError, match="from 2016-05-28 00:00:00 to 2016-05-28 23:45:00"):
        year(96, {}).cut([Span(datetime(2017, 1, 1), datetime(2017, 1, 2))], {"x"})


@pytest.mark.parametrize(
    ("profile", "plant"),
    [("Storage_PV5_H0-A", "PV5"), ("Storage_WP7_3%_e_MWh", "WP7"), ("lv_rural1", "lv_rural1")],
)
def test_a_storage_names_the_plant_it_stores_for(profile: str, plant: str) -> None:
    assert storage_plant(profile) == plant


def test_plant_and_battery_add_up_to_simbenchs_storage() -> None:
    """A home records 0.3 of its rating while its PV gives 0.5: the battery takes 0.2."""
    net = feeder()
    times = pd.Series(["28.05.2016 00:00", "28.05.2016 00:15"])
    net.storage.loc[0, ["bus", "p_mw", "q_mvar", "max_e_mwh", "scaling"]] = [
        3,
        -0.01,
        0.0,
        0.02,
        1.0,
    ]
    net.storage = net.storage.astype({"bus": int})
    net.storage["in_service"], net.storage["profile"] = True, "Storage_PV5_H0-A"
    net["profiles"] = {
        "renewables": pd.DataFrame({"time": times, "PV5": [0.5, 0.0]}),
        "storage": pd.DataFrame({"time": times, "Storage_PV5_H0-A": [0.3, 0.1]}),
    }
    found = compiled(net)
    assets = {asset.id: place for place, asset in enumerate(found.cell.assets)}
    plant, battery = (found.cell.assets[assets[name]] for name in ("pv-bat-0", "bat-0"))
    assert (plant.p_kw, plant.rating_kva) == (10.0, 10.0)
    assert (battery.p_kw, battery.p_base_kw, battery.energy_kwh) == (0.0, 10.0, 20.0)
    p_kw, _ = power_at(found.cell, found.profiles, [0, 1])
    assert p_kw[:, assets["pv-bat-0"]] == pytest.approx([5.0, 0.0])
    assert p_kw[:, assets["bat-0"]] == pytest.approx([-2.0, 1.0], abs=1e-6)
    assert any("command" in note for note in found.cell.provenance.notes)


def test_no_profile_tables_are_no_profiles() -> None:
    assert profile_tables({}) is None
    assert profile_tables({"load": pd.DataFrame({"time": ["01.01.2016 00:00"]})}) is None


@pytest.mark.parametrize(
    ("name", "p_kw", "kind"),
    [
        ("Load R11", 500.0, LoadKind.RESIDENTIAL),
        ("Load I2", 85.0, LoadKind.INDUSTRIAL),
        ("Load C20", 7.2, LoadKind.COMMERCIAL),
        ("", 99.9, LoadKind.RESIDENTIAL),
        ("mill", 100.0, LoadKind.COMMERCIAL),
        ("mill", 200.0, LoadKind.INDUSTRIAL),
    ],
)
def test_the_kind_of_a_load_follows_name_then_size(name: str, p_kw: float, kind: LoadKind) -> None:
    assert load_kind_of(name, p_kw) is kind


def test_standard_profiles_peak_at_the_nominal_power() -> None:
    found = compiled(feeder(), CompileOptions(standard_profiles=True))
    steps = range(found.cell.timeline.steps)
    p_kw, q_kvar = power_at(found.cell, found.profiles, steps)
    assert p_kw.sum(1).min() == pytest.approx(-60.0, rel=1e-6)
    assert q_kvar == pytest.approx(p_kw / 3.0)
    assert sorted(found.profiles) == ["H0-A_pload", "H0-B_pload"]
    assert "ODbL" in found.cell.provenance.licence


def test_standard_profiles_do_not_replace_those_of_the_source() -> None:
    net = feeder()
    times = ["28.05.2016 00:00", "28.05.2016 00:15"]
    net["profiles"] = {"load": pd.DataFrame({"time": times, "H0-A_pload": [0.5, 1.0]})}
    with pytest.raises(CompileError, match="has profiles of its own"):
        compiled(net, CompileOptions(standard_profiles=True))


def test_own_profiles_are_kilowatts_of_injection() -> None:
    text = table(
        "load-0.p_kw,load-0.q_kvar,load-1.p_kw", [(-1.5, -0.5, 3), (-2, -0.25, 4), (0, 0, 5)]
    )
    found = compiled(feeder(), CompileOptions(csv_profiles="own_csv"), own_csv=text)
    p_kw, q_kvar = power_at(found.cell, found.profiles, range(3))
    assert p_kw.tolist() == [[-1.5, 3.0], [-2.0, 4.0], [0.0, 5.0]]
    assert q_kvar.tolist() == [[-0.5, -10.0], [-0.25, -10.0], [0.0, -10.0]]
    assert found.cell.timeline.time(2) == START + timedelta(minutes=30)
    assert any(w.element == "load-1" and "injection" in w.text for w in found.warnings)
    check_profiles(found.profiles, found.cell)


HEAD = "load-0.p_kw"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no profiles"),
        ("when,load-0.p_kw\n", "has no profiles"),
        (table(HEAD, [(1,)]), "at least two rows"),
        (table("load-0.p_mw", [(1,), (2,)]), "its unit is p_mw.*kW"),
        (table("load-0.p_kw,load-0.p_kw", [(1, 1), (2, 2)]), "twice"),
        (table("load-7.p_kw", [(1,), (2,)]), 'no asset "load-7".*load-0'),
        (table(HEAD, [(1,), ("",)]), "own_csv:3 has a gap in load-0.p_kw"),
        (table(HEAD, [(1,), ("nan",)]), "own_csv:3"),
        (table(HEAD, [(1,), ("much",)]), '"much", which is no number'),
        (table(HEAD, [(1,), (2, 3)]), "own_csv:3 has 3 fields"),
        (table(HEAD, [(1,), (2,)]).replace("T00:15:00", "x"), "not ISO 8601"),
        (table(HEAD, [(1,), (2,)]).replace("T00:15:00", "T00:15:00+01:00"), "time zone"),
        (table(HEAD, [(1,), (2,), (3,)]).replace("T00:30", "T00:45"), "own_csv:4 comes 1800 s"),
        (table(HEAD, [(1,), (2,)]).replace("T00:15", "T00:00"), "own_csv:3 comes 0 s"),
    ],
)
def test_a_flaw_in_own_profiles_is_refused_with_its_line(text: str, message: str) -> None:
    options = CompileOptions(csv_profiles="own_csv")
    with pytest.raises(PeercellError, match=f"(?s){message}"):
        compiled(feeder(), options, own_csv=text)


def test_household_of_megawatts_and_constant_loads_are_pointed_out() -> None:
    net = feeder()
    net.load["p_mw"] = [0.03, 1.4]
    text = table(HEAD, [(-1,), (-2,)])
    found = compiled(net, CompileOptions(csv_profiles="own_csv"), own_csv=text)
    said = {(remark.element, remark.text) for remark in found.warnings}
    assert any(name == "load-1" and "1400 kW" in text and "MW" in text for name, text in said)
    assert any(name == "load-1" and "no profile" in text for name, text in said)
    assert any(name == "0" and "no coordinates" in text for name, text in said)
