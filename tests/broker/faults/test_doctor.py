"""What the doctor says about ways to break a cell, with and without the tools."""

from pathlib import Path

import pytest

from peercell.broker.doctor import Health
from peercell.broker.faults.doctor import ways


def test_what_is_used_works_here_and_every_way_is_told() -> None:
    found = {each.check: each for each in ways()}
    assert list(found) == [
        "shim",
        "signals",
        "netem",
        "tbf",
        "iptables",
        "namespaces",
        "containers",
    ]
    assert {each.health for each in found.values()} == {Health.OK}
    used = [name for name, each in found.items() if each.found.startswith("used")]
    assert used[:2] == ["shim", "signals"]
    for name in ("netem", "tbf", "iptables", "containers"):
        assert "to be had" in found[name].found
    assert "peercell lab" in found["namespaces"].found


def test_a_tool_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {each.check: each.found for each in ways()}
    assert "docker is not installed" in found["containers"]
    assert "is not installed" in found["netem"]
