"""How a supervisor comes to run on its own."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from peercell.agents.errors import PeercellError
from peercell.broker.home import CellHome
from peercell.broker.processes.plan import SUPERVISOR, Plan
from peercell.broker.supervisor import Supervisor


class _Outcome(Struct, frozen=True):
    """What a new supervisor reports once: its process id, or why there will be none."""

    pid: int = 0
    what: str = ""
    why: str = ""
    fix: str = ""


def launch(plan: Plan) -> int:
    """Start a cell in the background and return the process id of its supervisor.

    The peers are then being started; `operate.wait_until_up` waits for them.

    Raises
    ------
    PeercellError : the cell runs already, or its folder or address cannot be used.
    """
    home = CellHome(Path(plan.folder))
    home.prepare()
    # Not `-m`: the fork server would run that module again in each process. It also looks for what
    # it loads on the path of its own interpreter, whatever the path of this one is.
    code = f"from {__name__} import main; main()"
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    with home.log(SUPERVISOR).open("ab") as log:
        started = subprocess.run(  # noqa: S603 - our own interpreter with our own code
            [sys.executable, "-c", code],
            input=msgspec.json.encode(plan),
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )
    try:
        outcome = msgspec.json.decode(started.stdout, type=_Outcome)
    except msgspec.MsgspecError:
        raise PeercellError(
            f'the supervisor of cell "{plan.cell}" did not start',
            f"its reason is in {home.log(SUPERVISOR)}",
        ) from None
    if not outcome.pid:
        raise PeercellError(outcome.what, outcome.why, outcome.fix)
    return outcome.pid


def main() -> None:
    """Be a supervisor: the plan comes in as JSON, the outcome goes out, the rest to the log."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    if os.fork():
        # The one who waits for this process is free to go; the supervisor belongs to nobody.
        os._exit(0)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        supervisor = Supervisor(plan)
    except PeercellError as error:
        _report(_Outcome(what=error.what, why=error.why, fix=error.fix))
        sys.exit(error.exit_code)
    try:
        _report(_Outcome(pid=os.getpid()))
    except BrokenPipeError:
        supervisor.stop("who started it is gone")
    supervisor.run()


def _report(outcome: _Outcome) -> None:
    """Tell the one who waits, and let go of the stream, which else would keep it waiting."""
    sys.stdout.buffer.write(msgspec.json.encode(outcome))
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
