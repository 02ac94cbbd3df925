"""Is this host alive, and are its peers up? A file says so, which costs no connection to read.

`python -m peercell.broker.hosting.pulse` reads it, for a health check that runs every few seconds
in each of many containers: it loads next to nothing.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from peercell.broker.clock import steady_clock

FILE = "pulse"
BEAT_S, OLD_S = 2.0, 10.0


def beat(folder: Path, up: int, peers: int) -> None:
    """Write that a host lives, with how many of its peers are up."""
    fresh = folder / f"{FILE}.new"
    fresh.write_text(f"{up} {peers}\n")
    fresh.replace(folder / FILE)


def check(home: Path, now_s: float, *, ready: bool) -> str:
    """Return what is wrong with the only host below a folder; "" for nothing.

    Parameters
    ----------
    home : folder of all runs
    now_s : s, Unix time
    ready : whether all of its peers have to be up as well
    """
    found = sorted(home.glob(f"*/{FILE}"))
    if not found:
        return f"no host has begun under {home}/"
    age_s = now_s - found[0].stat().st_mtime
    if age_s > OLD_S:
        return f"the host has not said anything for {age_s:.0f} s"
    up, peers = found[0].read_text().split()
    return f"{up} of {peers} peers are up" if ready and up != peers else ""


def main(args: Sequence[str]) -> int:
    """Return 0 when the host lives, and with `ready` when its peers are up; 1 when not."""
    home = Path(os.environ.get("PEERCELL_HOME", "run"))
    wrong = check(home, steady_clock()(), ready="ready" in args)
    sys.stdout.write(f"{wrong or 'ok'}\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
