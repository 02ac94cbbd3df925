"""`peercell control solve` and `reconfigure`: the real agents at one operating point."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path

import click
import numpy as np
from msgspec import Struct

from peercell.agents.errors import MissingExtraError, PeercellError
from peercell.agents.grid_parts import Reading
from peercell.broker.cells import load_cell
from peercell.broker.commands.options import time_option
from peercell.broker.faults.network import LinkFaults
from peercell.broker.plots.control import draw_profile
from peercell.broker.solving.control_cases import load_control_case
from peercell.broker.solving.control_log import ControlResult, optimum_of
from peercell.broker.solving.control_processes import control_with_processes
from peercell.broker.solving.control_run import Algorithm, ControlRun, ControlSettings
from peercell.broker.solving.reconfiguring import ReconfigurationRun, Reconfigured
from peercell.broker.terminal.command import data_command, hint
from peercell.broker.terminal.interrupts import Interrupts
from peercell.broker.terminal.output import Answer, record, table
from peercell.broker.terminal.params import percent, picture, span
from peercell.grid.controlled_feeder import ControlledFeeder

NOT_IN_LIMITS = 5
NOT_AGREED = 5
_EXCHANGE = {"closed": "", "opened": "", "losses_kw": ".3f"}
_TICKS_A_NOTE = 50


class Faults(Struct, frozen=True):
    """What goes wrong: with the messages, and with which share of the agents; and its seed."""

    links: LinkFaults
    crash: float
    seed: int


_drop = click.option(
    "--drop",
    type=percent,
    default="0%",
    show_default=True,
    help="Share of the messages between agents that get lost.",
)
_delay = click.option(
    "--delay",
    type=span,
    default="0.5",
    show_default=True,
    help="Ticks that a message takes, or from least to most: 0-2.",
)
_seed = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of what goes wrong."
)


def with_faults(run: Callable[..., Answer]) -> Callable[..., Answer]:
    """Return a command that also has the options of what goes wrong, as one argument."""

    @_drop
    @_delay
    @click.option(
        "--crash",
        type=percent,
        default="0%",
        show_default=True,
        help="Share of the agents that crash for good when the limits have held.",
    )
    @_seed
    @wraps(run)
    def command(
        drop: float, delay: tuple[float, float], crash: float, seed: int, **others: object
    ) -> Answer:
        links = LinkFaults(drop=drop, delay_s_min=delay[0], delay_s_max=delay[1])
        return run(faults=Faults(links, crash, seed), **others)

    return command


@data_command(
    "solve",
    "peercell control solve suburb.json",
    "peercell control solve suburb.json --drop 30% --delay 0-2 -o json",
    "peercell control solve suburb.json --crash 10%",
    "peercell control solve suburb.json --algorithm droop --plot droop.svg",
)
@click.argument("case", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--sim/--processes",
    default=True,
    show_default=True,
    help="All agents in this process on a virtual clock, or each a process of its own.",
)
@click.option(
    "--algorithm",
    type=click.Choice(Algorithm, case_sensitive=False),
    default=Algorithm.DUAL,
    show_default=True,
    help="How: shared prices, push back, by the letter of the paper, inverters alone.",
)
@with_faults
@click.option(
    "--plot",
    type=picture,
    metavar="FILE",
    help="Draw the voltages before and after to a file: .svg, .png or .pdf.",
)
def solve(case: Path, sim: bool, algorithm: Algorithm, faults: Faults, plot: Path | None) -> Answer:
    """Control one operating point with the real agents.

    What they come to is compared with the best there is. A tick is a second. Ends with 5
    when the limits do not hold in the end.
    """
    asked = load_control_case(case)
    if faults.crash and algorithm is Algorithm.DROOP:
        raise click.UsageError("--crash ends agents, and --algorithm droop has none")
    settings = ControlSettings(
        algorithm=algorithm, faults=faults.links, crash_share=faults.crash, seed=faults.seed
    )
    seen = _Seen()
    if sim:
        found = ControlRun(asked, settings, seen).run()
    elif faults.crash or faults.links != LinkFaults(drop=faults.links.drop):
        raise click.UsageError("--crash and --delay belong to the simulation: they need --sim")
    else:
        with Interrupts() as interrupts:
            found = control_with_processes(asked, settings, interrupts.pause, seen)
    if plot:
        feeder = ControlledFeeder(asked)
        draw_profile(feeder, feeder.uncontrolled, seen.powers, plot)
    try:
        found = found.beside(optimum_of(asked))
    except MissingExtraError as error:
        hint(f"no optimum to compare with: {error.fix}")
    except PeercellError as error:
        hint(f"no optimum to compare with: {error.what}, {error.why}")
    return replace(record(found, _text(found)), exit_code=0 if found.in_limits else NOT_IN_LIMITS)


@data_command(
    "reconfigure",
    "peercell control reconfigure case33",
    "peercell control reconfigure mvlv108 --at 2016-07-28T12:00 -o json",
    "peercell control reconfigure case33 --drop 30% --delay 0-2",
)
@click.argument("cell")
@time_option
@_drop
@_delay
@_seed
def reconfigure(
    cell: str, at: dt.datetime | None, drop: float, delay: tuple[float, float], seed: int
) -> Answer:
    """Open a network where it then loses least.

    CELL is a shipped cell (peercell grid ls) or the folder of one. An agent sits at each of its
    open points; they agree on exchanges until none saves anything, and set the switches. The
    network is radial all the while. A tick is a second. csv prints a row an exchange.
    Ends with 5 when the agents do not agree in the end.
    """
    links = LinkFaults(drop=drop, delay_s_min=delay[0], delay_s_max=delay[1])
    found = ReconfigurationRun(load_cell(cell), at, links, seed).run()
    rows = [{key: getattr(each, key) for key in _EXCHANGE} for each in found.exchanges]
    text = f"{table(rows, _EXCHANGE)}\n{_verdict(found)}"
    return Answer(found, rows, tuple(_EXCHANGE), text, "", 0 if found.settled else NOT_AGREED)


def _verdict(found: Reconfigured) -> str:
    """Return what a reconfiguration has come to, in two lines."""
    agreed = f"agreed after {found.ticks} ticks" if found.settled else "not agreed"
    return (
        f"{agreed}: losses {found.losses_before_kw:.3f} to {found.losses_kw:.3f} kW, lowest "
        f"voltage {found.v_min_before_pu:.4f} to {found.v_min_pu:.4f} pu\n"
        f"open: {', '.join(found.open)}"
    )


class _Seen:
    """Keeps the last reading, and says now and then how far it is.

    Attributes
    ----------
    powers : (devices,) kW and kvar of the devices in it
    """

    def __init__(self) -> None:
        self.powers = np.zeros(0), np.zeros(0)

    def __call__(self, tick: int, reading: Reading) -> None:
        """Take in what was measured in a tick."""
        assets = reading.assets
        self.powers = np.array([a.p_kw for a in assets]), np.array([a.q_kvar for a in assets])
        if tick % _TICKS_A_NOTE == 0:
            hint(f"tick {tick}: {reading.v_min_pu:.4f} to {reading.v_max_pu:.4f} pu")


def _text(found: ControlResult) -> str:
    """Return a result as a table and a verdict."""
    rows = [
        {"what": name, "value": value}
        for name, value in (
            ("voltages, pu", f"{found.v_min_pu:.5f} to {found.v_max_pu:.5f}"),
            ("off the plan, kW", f"{found.curtailed_kw:.3f}"),
            ("reactive power, kvar", f"{found.reactive_kvar:.3f}"),
            ("objective", f"{found.objective:.4f}"),
            ("optimum", _or_dash(found.optimum_objective, ".4f")),
            ("above the optimum, %", _or_dash(found.gap_percent, ".3f")),
            ("bytes an agent and tick", f"{found.bytes_per_agent_s:.0f}"),
        )
    ]
    held = f"in limits for good after {found.ticks} ticks and {found.epochs} changes of prices"
    verdict = held if found.in_limits else "not in limits"
    return f"{table(rows, {'what': '', 'value': ''})}\n{verdict}"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
