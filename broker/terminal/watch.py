"""The live view of a cell: a screen that is redrawn, or a line of JSON a second for programs."""

import json
import time
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path

from msgspec import structs
from rich.console import (
    Console,
    ConsoleOptions,
    Group,
    JustifyMethod,
    RenderableType,
    RenderResult,
)
from rich.live import Live
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from peercell.broker.clock import steady_clock
from peercell.broker.plans.live import RunNote
from peercell.broker.status.live import ask_cell
from peercell.broker.status.picture import Picture, picture
from peercell.broker.status.text import grid_text, interval_text, settled_text
from peercell.broker.terminal.output import builtins

FRAME_S, LINE_S = 0.5, 1.0
BARS = "▁▂▃▄▅▆▇█"
HISTORY = 60
HELP = "q ends the view, not the cell"


def pictures(
    folder: Path, note: RunNote, every_s: float, go_on: Callable[[float], bool]
) -> Iterator[Picture]:
    """Yield a picture of a cell every so often, until nobody wants more.

    Parameters
    ----------
    folder, note : of the run
    every_s : s between two pictures
    go_on : waits so many s after each and returns whether there is to be another; may raise

    Raises
    ------
    UnreachableError : the cell does not run any more.
    """
    clock = steady_clock()
    wanted = go_on(0.0)
    while wanted:
        begun_s = time.monotonic()
        yield picture(note, ask_cell(folder, note), clock())
        wanted = go_on(max(0.0, every_s - (time.monotonic() - begun_s)))


def only(seen: Picture, members: Container[str]) -> Picture:
    """Return a picture without the other members; what is said of the whole stays."""
    shown = tuple(each for each in seen.members if each.member in members)
    return structs.replace(seen, members=shown)


def json_line(seen: Picture) -> str:
    """Return a picture as one line of JSON."""
    return json.dumps(builtins(seen), ensure_ascii=False, allow_nan=False)


class Screen:
    """Draws pictures on a terminal, with the prices of the last minute.

    Parameters
    ----------
    console : where
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._prices: dict[str, list[float]] = {}

    def show(self, seen: Iterator[Picture]) -> None:
        """Draw pictures over the whole terminal until there are no more, and leave the last one.

        Raises
        ------
        UnreachableError : see `pictures`.
        """
        last: RenderableType = ""
        try:
            with Live(console=self._console, auto_refresh=False, screen=True) as live:
                for each in seen:
                    last = self.draw(each)
                    live.update(Group(last, Text(HELP, style="dim")), refresh=True)
        finally:
            self._console.print(last)

    def draw(self, seen: Picture) -> RenderableType:
        """Return a picture as it is drawn; its prices join those of before."""
        for member in seen.members:
            if member.price_eur_per_kwh is not None:
                history = self._prices.setdefault(member.member, [])
                history.append(member.price_eur_per_kwh)
                del history[:-HISTORY]
        lines = [
            Text(f'cell "{seen.cell}"', style="bold")
            + Text("  converged" if seen.converged else "  not converged", style="bold"),
            Text(f"interval  {interval_text(seen)}"),
            Text(f"settled   {settled_text(seen.settled)}" if seen.settled else "settled   -"),
            Text(f"grid      {grid_text(seen)}"),
            *(Text(f"fault     {each}", style="bold red") for each in seen.faults),
            *(Text(f"unmet     {reason}", style="yellow") for reason in seen.unmet[:3]),
        ]
        return Group(*lines, self._members(seen))

    def _members(self, seen: Picture) -> Table:
        table = Table(box=None, pad_edge=False)
        for name in ("member", "interval", "rounds", "EUR/kWh", "kWh", "saved EUR", "gap EUR"):
            justify: JustifyMethod = "left" if name == "member" else "right"
            table.add_column(name, justify=justify, no_wrap=True)
        # Whatever width there is too little of is taken from here.
        prices = f"price, {HISTORY * FRAME_S:.0f} s"
        table.add_column(prices, min_width=len(prices))
        for each in seen.members:
            table.add_row(
                each.member,
                _number(each.interval, "d"),
                str(each.rounds),
                _number(each.price_eur_per_kwh, "z.4f"),
                _number(each.traded_kwh, "z.3f"),
                _number(each.saving_eur, "z.3f"),
                _number(each.gap_eur, ".1e"),
                Sparkline(self._prices.get(each.member, [])),
            )
        return table


class Sparkline:
    """Numbers as bars between the smallest and the largest of them; the newest where room is short.

    Parameters
    ----------
    values : the newest last
    """

    def __init__(self, values: Sequence[float]) -> None:
        self._values = values

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        """Draw as many as there is room for."""
        values = self._values[-options.max_width :]
        if not values:
            return
        low, high = min(values), max(values)
        spread = high - low or 1.0
        top = len(BARS) - 1
        yield Text("".join(BARS[round(top * (value - low) / spread)] for value in values))

    def __rich_measure__(self, _: Console, options: ConsoleOptions) -> Measurement:
        """Tell how much room it wants."""
        return Measurement(0, min(len(self._values), options.max_width))


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
