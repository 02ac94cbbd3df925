"""`peercell grid ls`, `show` and `check`: which cells there are, and what is in them."""

import re
from dataclasses import replace

import click
from msgspec import Struct

from peercell.broker.cellcheck import check_cell, slip_text, slips
from peercell.broker.cells import load_cell, shipped_folder, shipped_names
from peercell.broker.terminal.command import data_command
from peercell.broker.terminal.output import Answer, listing, record, table, warn
from peercell.broker.terminal.report import check_text, summary_text
from peercell.grid.cellfile import decode_cell
from peercell.grid.feeder import Feeder
from peercell.grid.summary import asset_summaries, summary

_ASSET_COLUMNS = {
    "asset": "", "kind": "", "customer": "", "bus": "", "microgrid": "", "p_kw": ".2f",
    "q_kvar": ".2f", "rating_kva": ".2f", "profile": "",
}  # fmt: skip
_SPDX = re.compile(r"\b[A-Z][A-Za-z]+-\d[\w.]*(?:-[A-Z]\w+)?")


class ShippedCell(Struct, frozen=True, kw_only=True):
    """A row of `peercell grid ls`; `days` is what the profiles cover."""

    cell: str
    title: str
    buses: int
    customers: int
    microgrids: int
    days: float
    kb: float
    licence: str


def shipped_cells() -> list[ShippedCell]:
    """Return the cells that come with the package."""
    return [_shipped_cell(name) for name in shipped_names()]


def _shipped_cell(name: str) -> ShippedCell:
    folder = shipped_folder() / name
    cell = decode_cell((folder / "cell.json").read_bytes())
    return ShippedCell(
        cell=name,
        title=cell.title,
        buses=len(cell.buses),
        customers=len(cell.customers),
        microgrids=len(cell.zones.microgrids),
        days=cell.timeline.steps * cell.timeline.step_s / 86_400,
        kb=sum(path.stat().st_size for path in folder.iterdir()) / 1000,
        licence=cell.provenance.licence,
    )


def _short(licence: str) -> str:
    """Return the SPDX names in a licence's text, all of it where there is none."""
    return ", ".join(dict.fromkeys(_SPDX.findall(licence))) or licence


@data_command("ls", "peercell grid ls", "peercell grid ls -o json")
def ls() -> Answer:
    """List the shipped cells."""
    columns = {
        "cell": "", "buses": "", "customers": "", "microgrids": "", "days": "g", "kb": ".1f",
        "licence": "", "title": "",
    }  # fmt: skip
    answer = listing(shipped_cells(), columns, "next: peercell grid show CELL")
    short = [{**row, "licence": _short(str(row["licence"]))} for row in answer.rows]
    return replace(answer, text=table(short, columns))


@data_command(
    "show",
    "peercell grid show rural1",
    "peercell grid show rural1 --assets",
    "peercell grid show ./my-cell -o json",
)
@click.argument("cell")
@click.option("--assets", is_flag=True, help="List the assets of all customers instead.")
def show(cell: str, assets: bool) -> Answer:
    """Show what a cell holds.

    CELL is a shipped cell (peercell grid ls) or the folder of one.
    """
    loaded = load_cell(cell)
    if assets:
        return listing(asset_summaries(loaded.cell), _ASSET_COLUMNS)
    found = summary(loaded.cell, loaded.profiles)
    return record(found, summary_text(found), f"next: peercell grid check {cell}")


@data_command("check", "peercell grid check ./my-cell", "peercell grid check rural1 -o json")
@click.argument("cell")
def check(cell: str) -> Answer:
    """Check a cell: slips in its file, its power flow at any time.

    CELL is the folder of a cell, or a shipped cell. What looks wrong is told with file and line.
    """
    loaded = load_cell(cell)
    feeder = Feeder(loaded.cell)
    found = slips(loaded, feeder)
    for slip in found:
        warn(slip_text(slip))
    checked = check_cell(loaded, feeder, found)
    return record(checked, check_text(checked))
