"""How the beginning of a run reads on a terminal."""

from collections import Counter

from peercell.broker.processes.cell_runs import Begun


def run_text(begun: Begun) -> str:
    """Return what a cell consists of, in three lines."""
    roles = Counter(begun.note.roles.values())
    names = {"trader": "microgrid trader", "grid": "grid service", "dso": "DSO"}
    names |= {"voltage": "voltage agent", "voltage gradient": "voltage agent"}
    names |= {"voltage coupling": "coupling agent"}
    parts = [
        f"{count} {names.get(role, role)}{'s' if count > 1 else ''}"
        for role, count in roles.items()
    ]
    calendar = begun.note.calendar
    processes = len({state.pid for state in begun.states})
    return "\n".join(
        (
            f'cell "{begun.note.cell}": {", ".join(parts)}',
            f"  market     {calendar.intervals} intervals of {calendar.period_s:g} s from"
            f" {calendar.at_first:%d %B %Y %H:%M}, one in {calendar.interval_s:g} s",
            f"  processes  {processes} started in {begun.took_s:.1f} s, logs and journals in"
            f" {begun.folder}",
        )
    )
