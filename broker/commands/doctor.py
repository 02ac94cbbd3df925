"""`peercell doctor`: whether this machine can run a cell."""

from dataclasses import replace

import click

from peercell.broker.doctor import Health, findings
from peercell.broker.terminal.command import Session, data_command
from peercell.broker.terminal.output import Answer, listing


@data_command("doctor", "peercell doctor", "peercell doctor -o json")
@click.pass_obj
def doctor(session: Session) -> Answer:
    """Check whether this machine can run a cell.

    Ends with 3 when it cannot, and says what to try.
    """
    found = findings(session.home)
    fails = any(each.health is Health.FAIL for each in found)
    answer = listing(found, dict.fromkeys(("health", "check", "found", "fix"), ""))
    return replace(answer, exit_code=3 if fails else 0)
