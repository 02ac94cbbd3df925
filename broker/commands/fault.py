"""`peercell fault ls|rm|clear`: what is broken on purpose in a running cell, and taking it back."""

from dataclasses import replace
from pathlib import Path

import click

from peercell.broker.commands.options import cell_option
from peercell.broker.doctor import Health
from peercell.broker.faults.doctor import ways
from peercell.broker.faults.running import FaultRow, end_faults, fault_rows
from peercell.broker.faults.texts import ends_text, hit_text
from peercell.broker.processes.cell_runs import find_cell
from peercell.broker.terminal.command import Session, data_command
from peercell.broker.terminal.output import Answer, builtins, listing, table

COLUMNS = ("id", "kind", "what", "hits", "links", "peers", "ends_s", "seed", "refused")


@data_command("ls", "peercell fault ls", "peercell fault ls -o wide")
@cell_option
@click.pass_obj
def ls(session: Session, cell: str | None) -> Answer:
    """List the faults that are on: what they hit, how often, and when they end.

    A fault that has hit nothing yet is shown in red. `-o wide` names all that they hit.
    """
    found = fault_rows(_folder(session, cell))
    rows = [row for each in found if isinstance(row := builtins(each), dict)]
    flat = [{**row, "peers": " ".join(each.peers)} for row, each in zip(rows, found, strict=True)]
    hint = "" if found else "nothing is broken"
    return Answer(rows, flat, COLUMNS, _table(found), hint, wide=_table(found, wide=True))


@data_command("rm", "peercell fault rm f1")
@click.argument("fault", metavar="ID")
@cell_option
@click.pass_obj
def rm(session: Session, fault: str, cell: str | None) -> Answer:
    """Take a fault back."""
    end_faults(_folder(session, cell), fault)
    return Answer([{"id": fault}], [{"id": fault}], ("id",), f"{fault} is over")


@data_command("clear", "peercell fault clear")
@cell_option
@click.pass_obj
def clear(session: Session, cell: str | None) -> Answer:
    """Take all faults back.

    It is no error when there are none.
    """
    folder = _folder(session, cell)
    rows = [{"id": each.id} for each in fault_rows(folder)]
    end_faults(folder, None)
    text = "\n".join(f"{row['id']} is over" for row in rows)
    return Answer(rows, rows, ("id",), text, "" if rows else "nothing was broken")


@data_command("doctor", "peercell fault doctor", "peercell fault doctor -o json")
def doctor() -> Answer:
    """Tell what can break a cell on this machine, and what is used for which faults.

    Ends with 3 when something is missing that is used.
    """
    found = ways()
    fails = any(each.health is Health.FAIL for each in found)
    answer = listing(found, dict.fromkeys(("health", "check", "found", "fix"), ""))
    return replace(answer, exit_code=3 if fails else 0)


def _folder(session: Session, cell: str | None) -> Path:
    return session.home.resolve() / find_cell(session.home, cell).cell


def _table(found: tuple[FaultRow, ...], *, wide: bool = False) -> str:
    """Return the faults as a table, in red those that have hit nothing.

    A wide one names all that they hit, and what else there is to tell of them.
    """
    rows = [
        {"id": each.id, "kind": each.kind, "what": each.what,
         "hits": "refused" if each.refused else each.hits,
         "where": hit_text(each, all_of_them=wide), "ends": ends_text(each), "seed": each.seed,
         "ends_s": each.ends_s, "refused": each.refused}
        for each in found
    ]  # fmt: skip
    columns = ["id", "what", "hits", "where", "ends", "seed"]
    if wide:
        columns = ["id", "kind", "what", "hits", "ends_s", "seed", "where", "refused"]
    forms = {**dict.fromkeys(columns, ""), **({"ends_s": ".1f"} if wide else {})}
    header, *lines = table(rows, forms).splitlines() or [""]
    shown = [
        line if each.hits else click.style(line, fg="red")
        for line, each in zip(lines, found, strict=True)
    ]
    return "\n".join([header, *shown, *([] if wide else _refusals(found))])


def _refusals(found: tuple[FaultRow, ...]) -> list[str]:
    return [f"{each.id} has no effect: {each.refused}" for each in found if each.refused]
