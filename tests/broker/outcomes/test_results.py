"""What runs have come to: journals are read, whatever else is in them, and tell one story."""

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec import structs
from pyarrow import parquet
from tests.broker.cell_for_tests import CALENDAR, NOTE, settlement
from tests.broker.conftest import Run as RunCli

from peercell.agents.dso_messages import CellObserved
from peercell.agents.grid_parts import Reading, Stamp
from peercell.agents.messages import Message
from peercell.agents.protocol import Record, Send, SetTimer, Started, TimerFired
from peercell.agents.trading.contract_messages import Delivery
from peercell.agents.trading.messages import PriceMoved
from peercell.broker.home import CellHome
from peercell.broker.journal import Journal, Start
from peercell.broker.outcomes.results import recorded_run
from peercell.broker.outcomes.verdict import verdict, verdict_text
from peercell.broker.plans.live import RunNote, write_note

SHORT = structs.replace(
    NOTE,
    calendar=structs.replace(CALENDAR, intervals=2),
    roles={**NOTE.roles, "mg1.c1": "prosumer"},
)
READING = Reading(
    losses_kw=0.5,
    source_kw=1.0,
    source_kvar=0.0,
    v_min_pu=0.98,
    v_max_pu=1.02,
    loading_percent_max=None,
    iterations=6,
)

DELIVERY = Delivery(
    interval=0, scheduled=True, planned_kwh=1.0, measured_kwh=1.25, voltages_pu=(1.0,)
)


def _write(folder: Path, peer: str, told: Sequence[tuple[float, Message]]) -> None:
    """Write the journal of a peer that records facts among all else that it does."""
    journal = Journal(
        CellHome(folder).journal(peer), Start(1, peer, 1, 900.0, "module:build", b"", 1)
    )
    journal.step(900.0, Started(), [SetTimer("a", 1.0)])
    for now_s, fact in told:
        moved = PriceMoved(1, 1, (0.2,))
        journal.step(now_s, TimerFired("a"), [Send("x", moved), Record(moved), Record(fact)])
    journal.step(2000.0, TimerFired("a"), None)
    journal.close(2000.0, "SIGTERM")


def _write_plain(folder: Path, peer: str, told: Sequence[tuple[float, Message]]) -> None:
    """Write the journal of a peer that records these facts and no others."""
    path = CellHome(folder).journal(peer)
    path.unlink()
    journal = Journal(path, Start(1, peer, 1, 900.0, "module:build", b"", 1))
    for now_s, fact in told:
        journal.step(now_s, TimerFired("a"), [Record(fact)])
    journal.close(2000.0, "SIGTERM")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a run of two intervals, with the facts of an earlier run before it."""
    folder = tmp_path / "run" / "two"
    folder.mkdir(parents=True)
    write_note(SHORT, folder)
    for member, partner in (("mg1.trader", "aggregator"), ("aggregator", "mg1.trader")):
        earlier = settlement(0, partner, certified=False)
        now = [(1000.0 + k, settlement(k, partner)) for k in range(2)]
        _write(folder, member, [(800.0, earlier), *now])
    stamp = Stamp(rev=1, topo=1, at=CALENDAR.at(0))
    _write(folder, "dso", [(1009.0, CellObserved(0, stamp, READING))])
    _write(folder, "mg1.c1", [(1009.0, DELIVERY)])
    return folder


def test_a_run_is_told_by_its_journals(folder: Path) -> None:
    run = recorded_run(folder, SHORT)
    first, second = run.intervals
    assert (first.interval, first.settled, first.certified, first.rounds) == (0, 2, True, 7)
    assert (first.v_min_pu, first.v_max_pu, first.violations) == (0.98, 1.02, 0)
    assert (first.deviation_kwh_max, second.v_min_pu, second.deviation_kwh_max) == (
        0.25,
        None,
        None,
    )
    told = verdict(run)
    assert (told.converged, told.unmet, told.settled) == (True, (), 2)
    assert (told.saving_eur, told.gap_eur, told.traded_kwh) == (2.6, 1.2e-6, 4.0)
    assert verdict_text(told).splitlines()[-1].startswith("converged in all 2 intervals, 7 rounds")


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        (structs.replace(SHORT, calendar=CALENDAR), "interval 2 was settled by nobody"),
        (
            structs.replace(SHORT, roles={**SHORT.roles, "mg2.trader": "trader"}),
            "interval 0 was not settled by mg2.trader",
        ),
        (structs.replace(SHORT, begun_s=1000.5), "interval 0 was settled by nobody"),
    ],
)
def test_a_run_that_is_not_whole_says_what_is_missing(
    folder: Path, note: RunNote, reason: str
) -> None:
    told = verdict(recorded_run(folder, note))
    assert not told.converged
    assert told.unmet[0] == reason
    assert verdict_text(told).splitlines()[-1].startswith("not converged: ")


def test_of_deliveries_that_were_said_again_the_newest_counts_that_was_measured(
    folder: Path,
) -> None:
    better = structs.replace(DELIVERY, measured_kwh=1.5)
    hasty = structs.replace(DELIVERY, measured_kwh=None, voltages_pu=())
    _write(folder, "mg1.c1", [(1009.2, better), (1009.9, hasty)])
    (delivery,) = recorded_run(folder, SHORT).delivery_rows()
    assert (delivery.measured_kwh, delivery.deviation_kwh) == (1.5, 0.5)


def test_a_plan_without_certificate_is_named(folder: Path) -> None:
    _write(folder, "mg1.trader", [(1010.0, settlement(1, "aggregator", certified=False))])
    (reason,) = verdict(recorded_run(folder, SHORT)).unmet
    assert reason == "the gate closed before interval 1 was certified, gap 6e-07 EUR"


class Settlement(Message, frozen=True):
    """What another version has written under a name that this one knows."""

    interval: int


def test_a_journal_of_another_version_is_named_and_hides_no_other_run(
    run: RunCli, folder: Path
) -> None:
    other = folder.with_name("old")
    other.mkdir()
    write_note(structs.replace(SHORT, cell="old"), other)
    _write(other, "mg1.trader", [(1000.0, Settlement(0))])
    result = run("results", "show", "old")
    assert (result.code, result.out) == (1, "")
    what, why, fix = result.err.splitlines()
    assert what.endswith("old/mg1.trader.journal was written by another version of peercell")
    assert why.startswith("  why: Settlement: ")
    assert fix.startswith("  try: ")
    listed = run("results", "ls", "-o", "json")
    assert [(row["run"], row["settled"]) for row in json.loads(listed.out)] == [
        ("old", None),
        ("two", 2),
    ]
    assert "another version" in listed.err


def test_the_commands_show_and_export_a_run(run: RunCli, folder: Path, tmp_path: Path) -> None:
    (row,) = json.loads(run("results", "ls", "-o", "json").out)
    assert (row["run"], row["state"], row["settled"], row["intervals"]) == ("two", "ended", 2, 2)
    shown = json.loads(run("results", "show", "-o", "json").out)
    assert shown["verdict"]["converged"] is True
    assert [row["interval"] for row in shown["intervals"]] == [0, 1]
    assert "converged in all 2" in run("results", "show", "two").out
    assert run("results", "export", "--out", "tables").code == 0
    tables = {path.stem: path for path in (tmp_path / "tables").iterdir()}
    assert sorted(tables) == ["deliveries", "intervals", "rounds", "settlements", "trades"]
    with tables["trades"].open() as file:
        trades = list(csv.DictReader(file))
    assert [(row["interval"], row["seller"], row["buyer"], row["kwh"]) for row in trades] == [
        ("0", "mg1.trader", "aggregator", "2.0"),
        ("1", "mg1.trader", "aggregator", "2.0"),
    ]
    run("results", "export", "--out", "one", "--tables", "intervals")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["intervals.csv"]


def test_prices_are_followed_round_by_round_to_those_that_were_settled(
    run: RunCli, folder: Path, tmp_path: Path
) -> None:
    moves = [(1000.0, PriceMoved(1, 1, (0.5,))), (1000.1, PriceMoved(1, 3, (0.3,)))]
    told = [(1000.2, settlement(0, "aggregator")), (1000.3, PriceMoved(2, 2, (0.2,)))]
    _write_plain(folder, "mg1.trader", [*moves, *told, (1000.4, settlement(1, "aggregator"))])
    _write_plain(folder, "aggregator", [(1000.2, settlement(0, "mg1.trader"))])
    rows = [*recorded_run(folder, SHORT).round_rows()]
    assert [(row.interval, row.round) for row in rows] == [
        (interval, number) for interval in (0, 1) for number in range(1, 8)
    ]
    residuals = [row.residual_eur_per_kwh for row in rows]
    # Without a move the price is that of the round before, also of the interval before.
    assert residuals == pytest.approx([0.3, 0.3, *5 * [0.1], 0.1, *6 * [0.0]])
    words = ("--y", "residual", "--x", "round", "--by", "interval", "-o", "a.svg")
    assert run("results", "plot", "two", *words).err == "a.svg: 2 curves from 14 rows\n"
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<?xml")


def test_parquet_keeps_the_types_also_of_what_is_unknown(
    run: RunCli, folder: Path, tmp_path: Path
) -> None:
    assert run("results", "export", "--out", "tables", "--format", "parquet").code == 0
    table = parquet.read_table(tmp_path / "tables" / "intervals.parquet")
    assert table.column("v_min_pu").to_pylist() == [0.98, None]
    assert table.column("at").to_pylist() == [CALENDAR.at(0), CALENDAR.at(1)]
    types = {field.name: str(field.type) for field in table.schema}
    assert (types["interval"], types["certified"], types["losses_kw"], types["at"]) == (
        "int64",
        "bool",
        "double",
        "timestamp[us]",
    )
    sellers = parquet.read_table(tmp_path / "tables" / "trades.parquet").column("seller")
    assert sellers.to_pylist() == ["mg1.trader", "mg1.trader"]


def test_parquet_without_its_library_names_the_extra(
    run: RunCli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = run("results", "export", "--out", "tables", "--format", "parquet")
    assert result.code == 3
    assert result.err.splitlines() == [
        "peercell: writing Parquet files needs the extra [parquet]",
        "  why: its libraries are not installed in this environment",
        "  try: ./peercell setup parquet     or: pip install 'peercell[parquet]'",
    ]


def test_a_run_without_journals_says_so(run: RunCli, folder: Path) -> None:
    write_note(structs.replace(SHORT, journal=False), folder)
    result = run("results", "show")
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines() == [
        'peercell: run "two" has no journals',
        "  why: telemetry.journal is false in /two.toml",
    ]
    (row,) = json.loads(run("results", "ls", "-o", "json").out)
    assert row["settled"] is None


@pytest.mark.parametrize("name", [[], ["three"]])
def test_no_such_run(run: RunCli, name: list[str]) -> None:
    result = run("results", "show", *name)
    assert result.code == 1
    assert result.err.startswith("peercell: there is no run ")
