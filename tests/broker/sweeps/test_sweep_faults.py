"""Sweeps in whose runs something is broken."""

import json
import shlex
from pathlib import Path

from tests.broker.configs import MINIMAL
from tests.broker.conftest import Run


def test_a_run_that_is_hurt_is_what_peercell_run_prints(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(MINIMAL.replace("intervals = 8", "intervals = 1"))
    plan = tmp_path / "plan.toml"
    plan.write_text("[[steps]]\nfor_s = 9.0\nfault = { kind = 'loss', share = 0.3 }\n")
    result = run("sweep", str(config), "--faults", str(plan), "--seeds", "2", "--out", "hurt")
    assert result.code == 0, result.err
    repeat = json.loads(run("results", "repro", "hurt/1", "-o", "json").out)
    assert repeat["same_config"]
    lines = Path("hurt/runs.jsonl").read_text().splitlines()
    one, other = (json.loads(line)["result"] for line in lines)
    assert one["faults"] != other["faults"], "each run has its own chance"
    words = shlex.split(repeat["command"])
    assert words[:2] == ["peercell", "run"]
    again = json.loads(run(*words[1:], "-o", "json").out)
    assert again == next(each for each in (one, other) if each["seed"] == again["seed"])
    plan.write_text(plan.read_text().replace("0.3", "0.4"))
    refused = run("sweep", str(config), "--faults", str(plan), "--seeds", "3", "--out", "hurt")
    assert "holds a sweep with another config or plan" in refused.err
