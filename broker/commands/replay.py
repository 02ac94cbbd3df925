"""`peercell replay`: whether a peer, told again what it was told, does again what it did."""

from pathlib import Path

import click

from peercell.broker.replay import replay_peer
from peercell.broker.terminal.command import data_command
from peercell.broker.terminal.output import Answer, builtins


@data_command("replay", "peercell replay run/rural1/mg2.trader.journal")
@click.argument("journal", type=click.Path(path_type=Path, dir_okay=False))
def replay(journal: Path) -> Answer:
    """Run a peer again from its journal and compare what it does.

    Ends with 1 when a step came out differently, and shows the first one.
    """
    found = replay_peer(journal)
    difference = found.difference
    row = {
        "peer": found.peer,
        "runs": found.runs,
        "steps": found.steps,
        "failures": found.failures,
        "missed": found.missed,
        "torn_bytes": found.torn_bytes,
        "same": difference is None,
        "difference": None if difference is None else builtins(difference),
    }
    runs = "1 run" if found.runs == 1 else f"{found.runs} runs"
    text = f"{found.peer}: {found.steps} steps in {runs}"
    if difference is None:
        text += f", all as recorded, {found.failures} of them failures"
        if found.missed:
            text += f"; {found.missed} could not be replayed, since some were not recorded"
    else:
        text += (
            f"; step {difference.step} came out differently\n"
            f"  event     {difference.event}\n"
            f"  recorded  {difference.recorded}\n"
            f"  repeated  {difference.repeated}"
        )
    return Answer(row, [row], (), text, exit_code=0 if difference is None else 1)
