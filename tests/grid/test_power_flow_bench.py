"""The benchmark of the power flow runs and finds agreement; its times are not judged here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_the_quick_benchmark_finds_every_engine_in_agreement() -> None:
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-m", "bench.power_flow", "--quick"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    missed = [line for line in run.stdout.splitlines() if line.startswith("- missed")]
    assert not [line for line in missed if "|dV|" in line or "|V|" in line or "MiB" in line]
    assert run.stdout.count("\n| rural3 (129) |") == 1
