"""That equal inputs give equal outputs in another process too, where sets have another order."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.broker import hurt_cell

ROOT = Path(__file__).parents[2]


def _digests(hash_seed: str) -> Any:
    """Return what a process of its own finds that orders its sets by a seed."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))),
        "PYTHONHASHSEED": hash_seed,
    }
    done = subprocess.run(
        [sys.executable, "-m", hurt_cell.__name__],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_a_hurt_cell_does_the_same_whatever_the_order_of_its_sets() -> None:
    first, *others = map(_digests, ("1", "2", "3"))
    assert all(len(run) > 20 for run in first)
    assert others == [first, first]
