"""`peercell fault add KIND …`: break something in a running cell, for a while."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from peercell.broker.commands.options import cell_option
from peercell.broker.faults.kinds import (
    AnyFault,
    Bandwidth,
    Clock,
    Corrupt,
    Delay,
    DiskFull,
    Duplicate,
    Failpoint,
    Forge,
    Islanding,
    Kill,
    Lie,
    LineOpen,
    LoadStep,
    Loss,
    Memory,
    MeterNoise,
    Partition,
    Pause,
    PvTrip,
    Reorder,
    Replay,
    Slow,
)
from peercell.broker.faults.plan import Step
from peercell.broker.faults.running import FaultRow, add_fault
from peercell.broker.faults.texts import ends_text, hit_text
from peercell.broker.plans.live import read_note
from peercell.broker.processes.cell_runs import find_cell
from peercell.broker.terminal.command import Command, Session, data_command
from peercell.broker.terminal.output import Answer, record
from peercell.broker.terminal.params import duration, jittered, offset, percent, rate

_on = click.argument("on", metavar="SELECTOR", default="all")
_on_asked = click.argument("on", metavar="SELECTOR")
_share = click.argument("share", type=percent)

_COMMON = (
    click.option(
        "--seed",
        type=click.IntRange(0, 2**63 - 1),
        help="Of all chance in it; one that follows from the time when not given.",
    ),
    click.option("--dry-run", is_flag=True, help="Only tell what it would hit."),
    cell_option,
)


def _for_option(kind: str) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    return click.option(
        "--for",
        "for_s",
        type=duration,
        envvar=f"PEERCELL_FAULT_ADD_{kind.replace('-', '_').upper()}_FOR",
        help="How long, such as 20s; only a cell that runs with --lab may be broken without end.",
    )


def _kind(name: str, *examples: str) -> Callable[[Callable[..., AnyFault]], Command]:
    """Return a decorator that makes a command which adds the fault that a function returns."""

    def decorate(function: Callable[..., AnyFault]) -> Command:
        @functools.wraps(function)
        def add(
            session: Session, for_s: float | None, seed: int | None, dry_run: bool,
            cell: str | None, **told: Any,
        ) -> Answer:  # fmt: skip
            step = Step(fault=function(**told), for_s=for_s, seed=seed)
            folder = session.home.resolve() / find_cell(session.home, cell).cell
            return _added(add_fault(folder, read_note(folder), step, dry_run=dry_run))

        called: Callable[..., Answer] = _for_option(name)(add)
        for option in reversed(_COMMON):
            called = option(called)
        return data_command(name, *(f"peercell fault add {name} {each}" for each in examples))(
            click.pass_obj(called)
        )

    return decorate


def _added(row: FaultRow) -> Answer:
    if not row.id:
        return record(row, f"would be: {row.what}, {hit_text(row)}, {ends_text(row)}")
    text = f"{row.id}  {row.what}, {hit_text(row)}, {ends_text(row)}"
    found = record(row, text, f"remove: peercell fault rm {row.id}     look: peercell fault ls")
    if not row.refused:
        return found
    return replace(found, text=f"{text}\nit has no effect: {row.refused}", exit_code=1)


@_kind("loss", "30% all --for 20s", "100% 'mg1->mg4' --for 5s")
@_share
@_on
def loss(share: float, on: str) -> AnyFault:
    """Lose a share of the messages."""
    return Loss(share=share, on=on)


@_kind("delay", "200ms±50ms 'mg1<->mg4' --for 20s")
@click.argument("delay", type=jittered)
@_on
def delay(delay: tuple[float, float], on: str) -> AnyFault:
    """Let messages take longer, give or take some."""
    return Delay(delay_s=delay[0], jitter_s=delay[1], on=on)


@_kind("duplicate", "10% all --for 20s")
@_share
@_on
def duplicate(share: float, on: str) -> AnyFault:
    """Let a share of the messages arrive twice."""
    return Duplicate(share=share, on=on)


@_kind("reorder", "20% all --by 300ms --for 20s")
@_share
@_on
@click.option("--by", type=duration, default="500ms", show_default=True, help="Longest wait.")
def reorder(share: float, on: str, by: float) -> AnyFault:
    """Hold a share of the messages back, so that others overtake them."""
    return Reorder(share=share, by_s=by, on=on)


@_kind("corrupt", "5% role=trader --for 20s")
@_share
@_on
def corrupt(share: float, on: str) -> AnyFault:
    """Spoil a share of the messages, so that nobody can read them."""
    return Corrupt(share=share, on=on)


@_kind("bandwidth", "20kB/s 'mg1->mg4' --for 20s")
@click.argument("bytes_per_s", metavar="RATE", type=rate)
@_on
@click.option("--queue", type=duration, default="1s", show_default=True, help="Longest wait.")
def bandwidth(bytes_per_s: float, on: str, queue: float) -> AnyFault:
    """Let each link carry no more than so many bytes a second."""
    return Bandwidth(bytes_per_s=bytes_per_s, queue_s=queue, on=on)


@_kind("partition", "mg1,mg2 --from-rest --for 15s", "'mg1->mg4' --for 5s")
@_on_asked
@click.option("--from-rest", is_flag=True, help="Cut the links to all others.")
def partition(on: str, from_rest: bool) -> AnyFault:
    """Cut links: both ways, or one way for `a->b`."""
    return Partition(on=f"{on} from rest" if from_rest else on)


@_kind("kill", "any:3 --restart-after 5s --seed 4", "mg1.trader --at before-send")
@_on_asked
@click.option(
    "--restart-after", type=duration, default="0s", show_default=True, help="When it is back."
)
@click.option(
    "--memory",
    type=click.Choice(Memory, case_sensitive=False),
    default=Memory.KEPT,
    show_default=True,
    help="What it still knows of others then.",
)
@click.option(
    "--at",
    type=click.Choice([point.value for point in Failpoint]),
    help="Where in their work, within 10 s; at once when not given.",
)
def kill(on: str, restart_after: float, memory: Memory, at: str | None) -> AnyFault:
    """End the processes of peers; they come again."""
    point = None if at is None else Failpoint(at)
    return Kill(on=on, restart_after_s=restart_after, state=memory, point=point)


@_kind("pause", "mg2.trader --for 5s")
@_on_asked
def pause(on: str) -> AnyFault:
    """Let the processes of peers stand still."""
    return Pause(on=on)


@_kind("slow", "20% role=trader --for 10s")
@_share
@_on_asked
def slow(share: float, on: str) -> AnyFault:
    """Give the processes of peers a share of their time only."""
    if not share:
        raise click.BadParameter("a peer that gets no time is paused: peercell fault add pause")
    return Slow(share=share, on=on)


@_kind("clock", "2s mg2.trader --for 20s", "--for 5s -- -500ms mg2.trader")
@click.argument("ahead", type=offset)
@_on_asked
@click.option("--drift", type=float, default=0.0, show_default=True, help="ppm, on top of it.")
def clock(ahead: float, on: str, drift: float) -> AnyFault:
    """Let the clocks of peers be wrong by so much."""
    return Clock(ahead_s=ahead, drift_ppm=drift, on=on)


@_kind("disk-full", "mg2.trader --for 20s")
@_on_asked
def disk_full(on: str) -> AnyFault:
    """Let peers have no room to write to."""
    return DiskFull(on=on)


@_kind("lie", "mg2.trader --price=-0.1 --for 20s")
@_on_asked
@click.option("--price", type=float, required=True, help="EUR/kWh.")
def lie(on: str, price: float) -> AnyFault:
    """Let peers tell others this price in place of their own."""
    return Lie(price_eur_per_kwh=price, on=on)


@_kind("replay", "20% mg2.trader --after 5s --for 20s")
@_share
@_on_asked
@click.option("--after", type=duration, default="5s", show_default=True, help="How much later.")
def replay(share: float, on: str, after: float) -> AnyFault:
    """Let a share of the messages of peers be sent once more, much later."""
    return Replay(share=share, after_s=after, on=on)


@_kind("forge", "10% mg2.trader --name mg1.trader --for 5s")
@_share
@_on_asked
@click.option("--name", required=True, help="Peer in whose name to speak.")
def forge(share: float, on: str, name: str) -> AnyFault:
    """Let a share of the messages of peers be said in the name of another one, too."""
    return Forge(share=share, name=name, on=on)


@_kind("line-open", "line-3 --for 20s", "10-3 --for 20s")
@click.argument("line")
def line_open(line: str) -> AnyFault:
    """Take a line or transformer out of service, by its name or its two buses."""
    return LineOpen(line=line)


@_kind("islanding", "mg1 --for 20s")
@click.argument("microgrid")
def islanding(microgrid: str) -> AnyFault:
    """Take all lines out of service that connect a microgrid to the rest."""
    return Islanding(microgrid=microgrid)


@_kind("load-step", "20 load-11 --for 20s", "--for 20s -- -5 'load-*'")
@click.argument("by_kw", metavar="KW", type=click.FloatRange(-1e6, 1e6))
@click.argument("on", metavar="ASSETS")
def load_step(by_kw: float, on: str) -> AnyFault:
    """Let each of some loads take in so much more, kW, than it is set to.

    What a load injects, positive into the grid as everywhere, falls by KW; a negative KW is a load
    that takes in less. ASSETS are patterns of names of assets, customers, prosumers or buses.
    """
    return LoadStep(by_kw=by_kw, on=on)


@_kind("pv-trip", "'pv-*' --for 20s", "mg1.c1 --for 20s")
@click.argument("on", metavar="ASSETS")
def pv_trip(on: str) -> AnyFault:
    """Let generators put nothing in, whatever they are set to.

    ASSETS are patterns of names of assets, customers, prosumers or buses.
    """
    return PvTrip(on=on)


@_kind("meter-noise", "0.01 role=voltage --for 20s")
@click.argument("sigma_pu", metavar="PU", type=click.FloatRange(0.0, 0.1))
@_on
def meter_noise(sigma_pu: float, on: str) -> AnyFault:
    """Let the voltages that peers measure be off by chance, with this standard deviation."""
    return MeterNoise(sigma_pu=sigma_pu, on=on)
