"""`peercell trade solve`: a stand-alone instance, traded out by the real protocol."""

from dataclasses import replace
from pathlib import Path

import click

from peercell.agents.trading.settings import Method
from peercell.broker.faults.network import LinkFaults
from peercell.broker.solving.instance import read_instance
from peercell.broker.solving.trade import SolveSettings, TradeResult, solve_instance
from peercell.broker.solving.trade_processes import solve_with_processes
from peercell.broker.terminal.command import data_command
from peercell.broker.terminal.interrupts import Interrupts
from peercell.broker.terminal.output import Answer, record, table
from peercell.broker.terminal.params import percent

NOT_CONVERGED = 5
COLUMNS = {
    "trader": "",
    "price_eur_per_kwh": ".6f",
    "generation_kwh": ".4f",
    "unserved_kwh": ".4f",
    "payment_eur": ".4f",
    "standalone_eur": ".4f",
}


@data_command(
    "solve",
    "peercell trade solve ring.json",
    "peercell trade solve ring.json --drop 30% -o json",
    "peercell trade solve ring.json --processes --drop 30%",
)
@click.argument("instance", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--sim/--processes",
    default=True,
    show_default=True,
    help="All traders in this process on a virtual clock, or each a process of its own.",
)
@click.option(
    "--method",
    type=click.Choice(Method, case_sensitive=False),
    default=Method.RCE,
    show_default=True,
    help="How prices are found; all find the same ones.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0.0, 1.0, min_open=True),
    default=SolveSettings().tolerance,
    show_default=True,
    help="Relative gap at which the traders stop; prices are good to about its square root.",
)
@click.option(
    "--drop",
    type=percent,
    default="0%",
    show_default=True,
    help="Share of the messages that get lost.",
)
def solve(instance: Path, sim: bool, method: Method, tolerance: float, drop: float) -> Answer:
    """Trade a stand-alone instance out by the real protocol.

    Ends with 5 when the traders did not agree before the gate closed; what they had then is shown
    all the same, with its gap.
    """
    asked = read_instance(instance.read_bytes(), str(instance))
    settings = SolveSettings(method=method, tolerance=tolerance, faults=LinkFaults(drop=drop))
    if sim:
        found = solve_instance(asked, settings)
    else:
        with Interrupts() as interrupts:
            found = solve_with_processes(asked, settings, interrupts.pause)
    return replace(record(found, _text(found)), exit_code=0 if found.converged else NOT_CONVERGED)


def _text(found: TradeResult) -> str:
    """Return a result as a table of the traders, their trades, and the verdict."""
    rows = [
        {
            "trader": name,
            "price_eur_per_kwh": price,
            "generation_kwh": found.generation_kwh[name],
            "unserved_kwh": found.unserved_kwh[name],
            "payment_eur": found.payments_eur[name],
            "standalone_eur": found.standalone_eur[name],
        }
        for name, price in found.prices.items()
    ]
    trades = [f"{line.seller} -> {line.buyer}  {line.kwh:.4f} kWh" for line in found.trades]
    verdict = "converged" if found.converged else "not converged"
    return "\n".join(
        (
            table(rows, COLUMNS),
            *trades,
            f"{verdict} in {found.rounds} rounds and {found.messages:,} messages:"
            f" {found.cost_eur:.6f} EUR, at most {found.relative_gap:.1e} above the best plan",
        )
    )
