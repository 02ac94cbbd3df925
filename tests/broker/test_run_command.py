"""`peercell run --sim`: a whole cell on a virtual clock, from a config or a day of it."""

import json
from pathlib import Path

import pytest
from tests.broker.conftest import Run

CONFIGS = Path(__file__).parents[2] / "configs"


def test_a_simulated_run_converges_and_leaves_nothing_behind(run: Run, tmp_path: Path) -> None:
    result = run("run", str(CONFIGS / "rural1.toml"), "--sim", "-o", "json")
    assert result.code == 0, result.err
    told = json.loads(result.out)
    assert (told["cell"], told["converged"], told["settled"]) == ("rural1", True, 8)
    assert told["deviation_kwh_max"] < 1e-9
    lines = [line.split()[:2] for line in result.err.splitlines() if " pu, " in line]
    assert (lines[0], lines[-1]) == (["0", "06:00"], ["7", "07:45"])
    assert list(tmp_path.iterdir()) == []


def test_equal_configs_give_equal_runs(run: Run) -> None:
    words = ("run", str(CONFIGS / "case33.toml"), "--sim", "-o", "json")
    first, second = run(*words), run(*words)
    assert first.out == second.out


def test_a_setting_holds_in_place_of_the_config(run: Run) -> None:
    # With another seed an offer may get lost five times, and then an older one counts.
    config = str(CONFIGS / "rural1.toml")
    words = ("run", config, "--sim", "--set", "clock.intervals=2", "--set", "seed=0")
    told = json.loads(run(*words, "--set", "network.loss=30%", "-o", "json").out)
    unharmed = json.loads(run(*words, "-o", "json").out)
    assert (told["converged"], told["intervals"]) == (True, 2)
    assert told["rounds_max"] > unharmed["rounds_max"]
    assert told["cost_eur"] == pytest.approx(unharmed["cost_eur"], rel=1e-6)


def test_a_setting_that_does_not_exist_names_the_nearest(run: Run) -> None:
    result = run("run", str(CONFIGS / "rural1.toml"), "--sim", "--set", "network.los=0.3")
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[0] == (
        'peercell: --set network.los=0.3: unknown key "network.los" (did you mean "network.loss"?)'
    )


@pytest.mark.slow
def test_a_run_takes_a_whole_day(run: Run) -> None:
    path = str(CONFIGS / "rural1.toml")
    told = json.loads(run("run", path, "--day", "2016-01-20", "--sim", "-o", "json").out)
    assert (told["converged"], told["intervals"], told["settled"]) == (True, 96, 96)


@pytest.mark.parametrize(
    ("clock", "words", "what"),
    [
        ("interval_s = 7000.0", ["--day", "2016-05-28"], "a day has no whole number of intervals"),
        ("", ["--day", "1999-01-01"], "has no profiles for 1999-01-01"),
        ("", ["--day", "yesterday"], "'yesterday' is not a day"),
        ("speed = 1e5", [], "traders have time for"),
    ],
)
def test_a_day_that_cannot_be_run_is_told(
    run: Run, tmp_path: Path, clock: str, words: list[str], what: str
) -> None:
    path = tmp_path / "cell.toml"
    text = (CONFIGS / "rural1.toml").read_text()
    path.write_text(text.replace("speed = 180.0", clock) if clock else text)
    result = run("run", str(path), "--sim", *words)
    assert result.code in (1, 2)
    assert what in result.err
    assert result.out == ""


def test_a_simulated_storm_is_the_same_again_and_every_message_is_accounted_for(run: Run) -> None:
    storm = str(CONFIGS / "faults" / "storm.toml")
    words = ("run", str(CONFIGS / "rural1.toml"), "--sim", "--seed", "7", "--faults", storm)
    first, second = (json.loads(run(*words, "-o", "json").out) for _ in range(2))
    assert first == second
    assert (first["converged"], first["seed"], len(first["faults"])) == (True, 7, 3)
    assert first["faults"][2].endswith("no effect, the run was over before it began")
    messages = first["messages"]
    gone = messages["applied"] + sum(messages["dropped"].values()) + messages["in_flight"]
    assert messages["sent"] + messages["duplicated"] == gone
    assert messages["dropped"]["fault"] > 1000
    other = json.loads(run(*words, "--seed", "8", "-o", "json").out)
    assert other["trace_hash"] != first["trace_hash"]
