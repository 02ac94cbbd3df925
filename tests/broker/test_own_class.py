"""A class of the user's own in a cell: found, refused, simulated, run in processes, replayed."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.broker.configs import make_config
from tests.broker.conftest import Run
from tests.broker.live_cell import fast_config

from peercell.agents.trading.market import MarketTrader
from peercell.broker.config import load_grid
from peercell.broker.configuration.toml_file import ConfigError
from peercell.broker.plans.cell import CellPlan, plan_cell
from peercell.broker.plans.live import peer_specs, unions_of
from peercell.broker.roles import CELL_MESSAGES, build

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
ALL = '[trading]\nclass = "{0}:CautiousTrader"\n'
TOLD = ALL.format("own_traders")
ONE = '[peers."mg1.trader"]\nclass = "{0}:CautiousTrader"\n'
MISFITS = """
from peercell.agents.trading.messages import Hello
from peercell.agents.trading.market import MarketTraderSettings

class Idle:
    def __init__(self, settings: MarketTraderSettings) -> None: ...

class Lost:
    def __init__(self, name: str) -> None: ...
    def step(self, event, now_s): return []

class Other:
    def __init__(self, settings: int) -> None: ...
    def step(self, event, now_s): return []

class Muddled:
    messages = Hello
    def __init__(self, settings: MarketTraderSettings) -> None: ...
    def step(self, event, now_s): return []
"""

Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module of a user's own beside the config, and return its name."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = set(sys.modules)

    def module(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield module
    for name in set(sys.modules) - known:
        if name.startswith("own_"):
            del sys.modules[name]


def cautious(write: Write) -> str:
    """Write the trader of the docs."""
    return write("own_traders", (HOWTO / "my_traders.py").read_text())


def planned(folder: Path, more: str) -> CellPlan:
    """Return the plan of a config with more in it."""
    config = make_config(folder, more)
    return plan_cell(config, load_grid(config), 1000.0)


def made(plan: CellPlan) -> dict[str, str]:
    """Return the class of each peer, as it is built from the bytes that its process gets."""
    specs = [spec for spec in peer_specs(plan) if spec.role != "grid"]
    chance = np.random.default_rng(0)
    roles = {spec.peer: build(spec.peer, spec.settings, chance) for spec in specs}
    return {peer: type(role).__name__ for peer, role in roles.items()}


def test_all_peers_of_a_role_or_one_of_them_are_of_an_own_class(
    tmp_path: Path, write: Write
) -> None:
    name = cautious(write)
    traders = {f"mg{k}.trader" for k in range(1, 5)}
    for more, wanted in ((ALL, traders), (ONE, {"mg1.trader"})):
        plan = planned(tmp_path, more.format(name))
        classes = made(plan)
        assert {peer for peer, kind in classes.items() if kind == "CautiousTrader"} == wanted
        assert {kind for peer, kind in classes.items() if peer in traders - wanted} <= {
            MarketTrader.__name__
        }
        assert {peer.role for peer in plan.peers if peer.id in traders} == {"trader"}
        own = f"{tmp_path}!{name}:CautiousTrader.messages"
        assert unions_of(plan) == (CELL_MESSAGES, own)


def test_without_a_class_nothing_is_added(tmp_path: Path) -> None:
    plan = planned(tmp_path, "")
    assert {peer.make for peer in plan.peers} == {""}
    assert unions_of(plan) == (CELL_MESSAGES,)


@pytest.mark.parametrize(
    ("more", "what", "why"),
    [
        ('[trading]\nclass = "own_lost:A"', 'cannot import "own_lost:A"', "No module named"),
        ('[trading]\nclass = "own_misfits:A"', "cannot import", "has no attribute 'A'"),
        ('[trading]\nclass = "own_typo:A"', "cannot import", "SyntaxError"),
        ('[trading]\nclass = "own_misfits:Idle"', "cannot be mg1.trader", "has no step("),
        ('[trading]\nclass = "own_misfits:Lost"', "cannot be mg1.trader", "no such parameter"),
        (
            '[trading]\nclass = "own_misfits:Other"',
            "cannot be mg1.trader",
            "wants <class 'int'>",
        ),
        ('[trading]\nclass = "own_misfits:Muddled"', "cannot be", "two messages of one name"),
        ('[prosumer]\nclass = "own_misfits:Muddled"', "cannot be", "ProsumerSettings"),
        ('[peers."mg2.trader"]\nclass = "own_lost:A"', "cannot import", "own_lost"),
        (f"{TOLD}own.margin = 0.03", 'unknown key "trading.own.margin"', ""),
        (f"{TOLD}own.name = 'x'", 'unknown key "trading.own.name"', "margin_eur_per_kwh"),
        (f"{TOLD}own.margin_eur_per_kwh = 30.0", "does not fit CautiousSettings", "<= 10.0"),
        ("[trading]\nown.caution = 1.0", "settings of an own class, and no class", ""),
        ('[trading]\nclass = "bold"', 'announces a role "bold"', "peercell.agents"),
        ('[trading]\nclass = "a b"', '"trading.class" cannot be "a b"', "regex"),
        ('[peers."mg2.trader"]\nround_s = 1.0', "has no table of its own", "only a class"),
    ],
)
def test_a_class_that_does_not_do_is_told_with_its_line(
    tmp_path: Path, write: Write, more: str, what: str, why: str
) -> None:
    write("own_misfits", MISFITS)
    write("own_typo", "class A(\n")
    cautious(write)
    # What is wrong is the last line, after the five of the head; a table is wrong as a whole.
    where = 6 + more.count("\n") - ("round_s" in more)
    with pytest.raises(ConfigError) as refused:
        planned(tmp_path, f"{more}\n")
    assert refused.value.what.startswith(f"{tmp_path / 'cell.toml'}:{where}: ")
    assert what in refused.value.what
    assert why in refused.value.why


def test_an_installed_package_announces_its_classes(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = cautious(write)
    packed = tmp_path / "bold-1.0.dist-info"
    packed.mkdir()
    (packed / "METADATA").write_text("Metadata-Version: 2.1\nName: bold\nVersion: 1.0\n")
    group = f"[peercell.agents]\nbold = {name}:CautiousTrader\n"
    (packed / "entry_points.txt").write_text(group)
    monkeypatch.syspath_prepend(tmp_path)
    assert made(planned(tmp_path, '[trading]\nclass = "bold"\n'))["mg4.trader"] == "CautiousTrader"


def test_a_simulated_cell_runs_an_own_class(run: Run, tmp_path: Path, write: Write) -> None:
    cautious(write)
    plain = fast_config().replace("intervals = 24", "intervals = 1")
    cheapest = []
    for table in ("[trading]\n", TOLD, f"{TOLD}own.margin_eur_per_kwh = 0.01\n"):
        (tmp_path / "cell.toml").write_text(plain.replace("[trading]\n", table))
        result = run("run", "cell.toml", "--sim", "-o", "json")
        assert result.code == 0, result.err
        cheapest.append(json.loads(result.out)["price_eur_per_kwh_min"])
    assert cheapest[1] == pytest.approx(cheapest[0] + 0.02, abs=0.002)
    assert cheapest[2] == pytest.approx(cheapest[0] + 0.01, abs=0.002)


@pytest.mark.slow
def test_processes_run_an_own_class_and_replay_it(
    run: Run, home: Path, tmp_path: Path, write: Write
) -> None:
    text = fast_config().replace("intervals = 24", "intervals = 1")
    (tmp_path / "cell.toml").write_text(
        text + ONE.format(cautious(write)) + "own.margin_eur_per_kwh = 0.03\n"
    )
    result = run("--home", str(home), "run", "cell.toml", "-o", "json")
    # On a busy machine a market may close before all agree; the peer has been at it all the same.
    assert result.code in {0, 5}, result.err
    journal = home / "rural1" / "mg1.trader.journal"
    assert b"MarginAdded" in journal.read_bytes()
    replayed = run("replay", str(journal), "-o", "json")
    assert replayed.code == 0, replayed.err
    assert json.loads(replayed.out)["same"]
