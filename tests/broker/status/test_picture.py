"""What the answers of all peers come to: when a cell is converged, and what it lacks otherwise."""

import json
from dataclasses import replace
from io import StringIO
from math import isclose

import pytest
from msgspec import structs
from rich.console import Console
from tests.broker.cell_for_tests import (
    MARKET,
    NOTE,
    NOW_S,
    STATES,
    TOLD,
    alone,
    host,
    settlement,
    state,
    status,
)

from peercell.agents.grid_parts import AssetFacts
from peercell.agents.trading.messages import LinkTrade
from peercell.broker.faults.kinds import Loss
from peercell.broker.faults.messages import FaultState
from peercell.broker.faults.orders import Order
from peercell.broker.gate import Heard
from peercell.broker.processes.crew import State
from peercell.broker.status.live import Told
from peercell.broker.status.picture import picture
from peercell.broker.status.text import status_text
from peercell.broker.terminal.watch import Screen, Sparkline, json_line

OTHER = MARKET["aggregator"]


def test_a_cell_whose_members_have_settled_what_is_delivered_is_converged() -> None:
    seen = picture(NOTE, TOLD, NOW_S)
    assert seen.converged
    assert (seen.delivered, seen.traded, seen.intervals) == (1, 2, 4)
    settled = seen.settled
    assert settled is not None
    assert (settled.interval, settled.cost_eur, settled.gap_eur) == (1, 3.0, 6e-7)
    assert isclose(settled.relative_gap, 2e-7)
    # Both ends write a trade down; the aggregator earns its part of what is saved.
    assert (settled.traded_kwh, settled.saving_eur) == (2.0, 1.3)
    assert seen.totals.saving_eur == 2.2
    assert "converged\n" in status_text(seen)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (
            replace(TOLD, states=(state("mg1.trader", State.FAILED, "exit code 1"), *STATES[1:])),
            "mg1.trader is failed: exit code 1",
        ),
        (replace(TOLD, market={"aggregator": OTHER}), "mg1.trader does not answer"),
        (
            replace(TOLD, market={"mg1.trader": status(None), "aggregator": OTHER}),
            "mg1.trader has settled nothing yet, it is in round 3",
        ),
        (
            replace(
                TOLD,
                market={"mg1.trader": status(settlement(0, "aggregator")), "aggregator": OTHER},
            ),
            "mg1.trader has settled interval 0, 1 is delivered",
        ),
        (
            replace(
                TOLD,
                market={
                    "mg1.trader": status(settlement(1, "aggregator", certified=False)),
                    "aggregator": OTHER,
                },
            ),
            "mg1.trader settled interval 1 when the gate closed,"
            " with a gap of 3e-07 EUR of its own",
        ),
    ],
)
def test_what_is_unmet_is_named(told: Told, reason: str) -> None:
    seen = picture(NOTE, told, NOW_S)
    assert not seen.converged
    assert seen.unmet == (reason,)
    assert reason in status_text(seen)


def test_members_that_settled_apart_are_islands() -> None:
    """Each of them has a certificate, of what it could do alone."""
    apart = {
        "mg1.trader": status(alone(settlement(1, "aggregator"))),
        "aggregator": status(alone(settlement(1, "mg1.trader"))),
    }
    told = replace(TOLD, market=apart)
    seen = picture(NOTE, told, NOW_S)
    assert seen.settled is not None
    assert (seen.settled.islands, seen.converged) == (2, False)
    assert seen.unmet == (
        "mg1.trader settled interval 1 without hearing anybody",
        "aggregator settled interval 1 without hearing anybody",
    )
    assert seen.members[0].absent == ("aggregator",)
    assert "1 (06:15) in 2 islands: prices" in status_text(seen)
    assert picture(NOTE, told, NOW_S, allow_islands=True).converged


def test_after_the_last_interval_its_settlement_counts() -> None:
    seen = picture(NOTE, TOLD, NOW_S + 100.0)
    assert seen.unmet == tuple(
        f"{member} has settled interval 1, 3 is delivered" for member in NOTE.members
    )


def test_what_became_of_messages_is_told() -> None:
    peers = list(NOTE.roles)
    hosts = {peer: host(peer, {"dso": 10}, {"dso": Heard(1, 0, 8, 7, 1, 0)}) for peer in peers}
    seen = picture(NOTE, replace(TOLD, hosts=hosts, later=hosts), NOW_S)
    assert (
        "  messages   30 sent = 7 applied + 1 (1 refused) dropped + 22 in flight;"
        " 3 (3 no-route) not sent; 0 refused; 16 UNACCOUNTED FOR\n"
    ) in status_text(seen)


def test_what_no_cell_may_do_is_told() -> None:
    fine = AssetFacts("pv-1", "1", "pv", 3.0, 4.0, 5.0)
    assert picture(NOTE, replace(TOLD, assets=(fine,)), NOW_S).broken == ()
    beyond = structs.replace(fine, q_kvar=5.0)
    one_sided = settlement(1, "mg1.trader")
    plan = structs.replace(one_sided.plan, trades=(LinkTrade("mg1.trader", (0.0,), (1.0,)),))
    market = {**MARKET, "aggregator": status(structs.replace(one_sided, plan=plan))}
    hosts = {"dso": host("dso", {}, {"mg1.trader": Heard(1, 0, 9, 9, 1, 0)})}
    seen = picture(NOTE, replace(TOLD, market=market, hosts=hosts, assets=(beyond,)), NOW_S)
    trade, count, rating = seen.broken
    assert trade.startswith("mg1.trader sold (2.0,) kWh to aggregator in 1, which bought (1.0,)")
    assert count.startswith("dso has lost count of what mg1.trader said")
    assert rating.startswith("pv-1 is set to 5.83095 kVA")
    assert not seen.converged
    assert "BROKEN     pv-1" in status_text(seen)


def test_what_is_broken_on_purpose_is_shown() -> None:
    order = Order(id="f3", fault=Loss(share=0.3), until_s=NOW_S + 8.0)
    seen = picture(NOTE, replace(TOLD, faults=(FaultState(order, 0),)), NOW_S)
    assert seen.faults == ("f3 loss 30 % on all, for 8 s more",)
    assert "  fault      f3 loss 30 % on all, for 8 s more\n" in status_text(seen)
    console = Console(width=120, file=StringIO(), force_terminal=False)
    with console.capture() as drawn:
        console.print(Screen(console).draw(seen))
    assert "fault     f3 loss 30 % on all" in drawn.get()


def test_the_live_view_draws_what_the_picture_says() -> None:
    seen = picture(NOTE, TOLD, NOW_S)
    console = Console(width=120, file=StringIO(), force_terminal=False)
    screen = Screen(console)
    screen.draw(seen)
    with console.capture() as drawn:
        console.print(screen.draw(seen))
    lines = drawn.get().splitlines()
    assert lines[0].split() == ["cell", '"two"', "converged"]
    (member,) = (line.split() for line in lines if line.startswith("mg1.trader"))
    assert member == ["mg1.trader", "1", "3", "0.2000", "2.000", "0.650", "3.0e-07", "▁▁"]
    assert json.loads(json_line(seen))["converged"] is True


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        ([], 9, ""),
        ([1.0], 9, "▁"),
        ([0.0, 0.5, 1.0], 9, "▁▅█"),
        ([3.0, 1.0], 9, "█▁"),
        ([9.0, 3.0, 1.0], 2, "█▁"),
    ],
)
def test_sparklines(values: list[float], width: int, drawn: str) -> None:
    console = Console(width=width, file=StringIO(), force_terminal=False)
    with console.capture() as captured:
        console.print(Sparkline(values))
    assert captured.get().strip() == drawn


def test_a_narrow_view_shows_the_newest_prices() -> None:
    """They are what somebody watches; rich alone would cut them off at the right."""
    seen = picture(NOTE, TOLD, NOW_S)
    console = Console(width=80, file=StringIO(), force_terminal=False)
    screen = Screen(console)
    for price in [0.2] * 59 + [0.3]:
        priced = tuple(structs.replace(each, price_eur_per_kwh=price) for each in seen.members)
        drawn = screen.draw(structs.replace(seen, members=priced))
    with console.capture() as captured:
        console.print(drawn)
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= 80
    (row,) = (line for line in lines if line.startswith("mg1.trader"))
    assert row.endswith("▁▁█")


def test_a_saving_of_nothing_has_no_sign() -> None:
    seen = picture(NOTE, TOLD, NOW_S)
    lost = tuple(structs.replace(each, saving_eur=-1e-9) for each in seen.members)
    console = Console(width=120, file=StringIO(), force_terminal=False)
    with console.capture() as drawn:
        console.print(Screen(console).draw(structs.replace(seen, members=lost)))
    assert "  0.000 " in drawn.get()
    assert "-0.000" not in drawn.get()
