"""`--set KEY=VALUES`: lists, ranges with both ends, shares; and what stands in place of a file."""

from datetime import datetime
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.broker.configs import MINIMAL, make_config

from peercell.agents.errors import PeercellError
from peercell.broker.config import read_config
from peercell.broker.configuration.setting import axis, setting
from peercell.broker.configuration.toml_file import Keys, Setting
from peercell.broker.plans.live import RunOrder, plan_run, read_order


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0:40%:10%", (0.0, 0.1, 0.2, 0.3, 0.4)),
        ("0:1:0.1", tuple(k / 10 for k in range(11))),
        ("1:9:3", (1, 4, 7)),
        ("3:1:-1", (3, 2, 1)),
        ("0.3:0.1:-0.1", (0.3, 0.2, 0.1)),
        ("5:5:1", (5,)),
        ("0,0.05:0.15:0.05", (0, 0.05, 0.1, 0.15)),
        ("0.05,0.1,0.2", (0.05, 0.1, 0.2)),
        ("30%", (0.3,)),
        (" 1 , 2 ", (1, 2)),
        ("dual,gradient", ("dual", "gradient")),
        ('"a,b",c', ('"a', 'b"', "c")),
        ('"a,b","c"', ("a,b", "c")),
        ("true,false", (True, False)),
        ("2016-05-28T06:00:00", (datetime(2016, 5, 28, 6),)),
        ("[1, 2],[3]", ([1, 2], [3])),
    ],
)
def test_values_are_lists_and_ranges(text: str, values: tuple[Any, ...]) -> None:
    found = axis(f"network.loss={text}").values
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@given(st.integers(-1000, 1000), st.integers(0, 200), st.integers(1, 50))
def test_a_range_has_both_ends_and_equal_steps(first: int, count: int, step: int) -> None:
    last = first + count * step
    found = axis(f"a={first / 100}:{last / 100}:{step / 100}").values
    assert (found[0], found[-1], len(found)) == (first / 100, last / 100, count + 1)


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("seed", ("seed",)),
        ("network.loss", ("network", "loss")),
        ("peers.'mg1.c9'.share", ("peers", "mg1.c9", "share")),
        ('peers."mg1.c9".share', ("peers", "mg1.c9", "share")),
    ],
)
def test_a_key_is_spelt_as_in_the_file(key: str, place: Keys) -> None:
    assert axis(f"{key}=1").place == place
    assert setting(f"{key}=1") == Setting(place, 1)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("network.loss", "is no setting"),
        ("=1", "is no setting"),
        ("a b=1", "is no setting"),
        ("a=", "is no setting"),
        ("a=1\nb=2", "is no setting"),
        ("[a]\nb=1", "is no setting"),
        ("a=0:1:0", "never comes"),
        ("a=0:1:-0.1", "never comes"),
        ("a=0:1:1e-9", "gives 1000000001 values, at most 10000"),
        ("a=1,x,1", "gives 1 twice"),
        ("a=x,,y", "a value is empty"),
        ("a=nan", "which no key can have"),
    ],
)
def test_what_is_no_setting_is_told(text: str, what: str) -> None:
    with pytest.raises(click.BadParameter, match=what):
        axis(text)


def test_a_single_setting_takes_one_value() -> None:
    with pytest.raises(click.BadParameter, match="more than one value"):
        setting("a=1,2")


def test_a_setting_holds_in_place_of_the_file(tmp_path: Path) -> None:
    make_config(tmp_path, '[peers."mg1.c1"]\nstep_s = 0.25\n')
    words = ("clock.intervals=4", "network.loss=30%", "peers.'mg1.c9'.step_s=0.5", "seed=9")
    config = read_config(tmp_path / "cell.toml", tuple(setting(word) for word in words))
    assert (config.cell.clock.intervals, config.cell.seed) == (4, 9)
    assert config.cell.clock.start == datetime(2016, 5, 28, 6)
    assert config.cell.network.loss == 0.3
    assert config.cell.peers == {"mg1.c1": {"step_s": 0.25}, "mg1.c9": {"step_s": 0.5}}


@pytest.mark.parametrize(
    ("word", "what"),
    [
        (
            "tradin.round_s=1",
            '--set tradin.round_s=1: unknown key "tradin" (did you mean "trading"?)',
        ),
        (
            "network.los=0.1",
            '--set network.los=0.1: unknown key "network.los" (did you mean "network.loss"?)',
        ),
        ("network.loss=110%", '--set network.loss=1.1: "network.loss" cannot be 1.1'),
        ("clock.intervals=ten", '--set clock.intervals=ten: "clock.intervals" cannot be "ten"'),
        ("clock.offers_due=0.9", "--set clock.offers_due=0.9: trading must open before"),
        ("name.first=1", '--set name.first=1: "name" cannot be a table'),
        ("clock=1", '--set clock=1: "clock" cannot be 1'),
    ],
)
def test_an_error_names_the_setting_that_is_wrong(tmp_path: Path, word: str, what: str) -> None:
    make_config(tmp_path)
    with pytest.raises(PeercellError) as caught:
        read_config(tmp_path / "cell.toml", (setting(word),))
    assert caught.value.what.startswith(what)


def test_an_error_elsewhere_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "cell.toml").write_text(f"{MINIMAL}speed = -1\n")
    with pytest.raises(PeercellError) as caught:
        read_config(tmp_path / "cell.toml", (setting("clock.intervals=4"),))
    assert caught.value.what.startswith(f'{tmp_path}/cell.toml:6: "clock.speed" cannot be -1')


def test_a_day_says_when(tmp_path: Path) -> None:
    day = datetime(2016, 1, 20).date()
    make_config(tmp_path)
    order = RunOrder(
        config=tmp_path / "cell.toml", day=day, settings=(setting("clock.intervals=4"),)
    )
    with pytest.raises(PeercellError, match=r"clock\.intervals=4 does not go with --day"):
        read_order(order)


def test_processes_have_a_real_network(tmp_path: Path) -> None:
    make_config(tmp_path, "[network]\nloss = 0.1\n")
    with pytest.raises(PeercellError) as caught:
        plan_run(RunOrder(config=tmp_path / "cell.toml"), 1e9)
    assert caught.value.what.endswith("cell.toml:6: [network] says what a simulated network does")
    assert caught.value.fix == f"peercell run {tmp_path}/cell.toml --sim"
