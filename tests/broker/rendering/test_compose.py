"""The Compose file is what the config says, in words that both versions of Compose know."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.broker.conftest import Run

from peercell.broker.cli import cli

ROOT = Path(__file__).parents[3]
CELL, SPLIT = ROOT / "configs/rural1.toml", ROOT / "configs/compose/street.toml"
DAY = "2016-05-28"
# What docker-compose 1.29.2 refuses of what Compose v2 knows, and the other way round.
REFUSED = {"name", "include", "version", "develop", "start_interval", "additional_contexts"}


@pytest.fixture
def committed() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def keys_in(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys_in, value.values()))
    return set().union(*map(keys_in, value)) if isinstance(value, list) else set()


def test_the_committed_file_is_what_is_rendered(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docker-compose.yml").read_text()
    command = re.search(r"^#   peercell (render compose .*)$", text, re.M)
    assert command is not None
    told = run(*command[1].split())
    assert told.code == 0, told.err
    assert told.out == text, f"peercell {command[1]} > docker-compose.yml"


def test_every_peer_runs_in_exactly_one_service(committed: dict[str, Any]) -> None:
    services = committed["services"]
    whole = {name for name, told in services.items() if "profiles" not in told}
    assert whole == {
        *("rural1-keys", "broker", "physics", "dso", "aggregator", "observer"),
        *("mg1", "mg2", "mg3", "mg4"),
    }
    split = [name for name, told in services.items() if told.get("profiles") == ["split"]]
    assert 15 < len(split) - 1 <= 20
    for name in whole - {"rural1-keys"}:
        assert services[name]["command"][:3] == ["host", "configs/rural1.toml", name]


def test_services_are_no_more_than_they_have_to_be(committed: dict[str, Any]) -> None:
    for name, told in committed["services"].items():
        if told.get("command", [""])[0] != "host":
            continue
        assert told["init"] is True, name
        assert told["read_only"] is True, name
        assert told["cap_drop"] == ["ALL"], name
        assert told["restart"] == "unless-stopped", name
        assert re.fullmatch(r"\d+m", told["mem_limit"]), name
        assert all(port.startswith("127.0.0.1:") for port in told.get("ports", [])), name


def test_each_host_sees_its_own_keys_alone(committed: dict[str, Any]) -> None:
    seen: dict[str, list[str]] = {}
    for name, told in committed["services"].items():
        for volume in told.get("volumes", []):
            source = volume.split(":")[0]
            assert source in committed["volumes"]
            seen.setdefault(source, []).append(name)
    for source, users in seen.items():
        hosts = [user for user in users if not user.endswith("-keys")]
        assert len(hosts) == (0 if source.endswith("-operator") else 1), source


def test_only_what_both_versions_know_is_used(committed: dict[str, Any]) -> None:
    assert not keys_in(committed) & (REFUSED - {"name"})
    assert "name" not in committed


def test_what_services_run_is_what_our_command_line_takes(committed: dict[str, Any]) -> None:
    for name, told in committed["services"].items():
        command = told.get("command")
        if command is None:
            continue
        with cli.make_context("peercell", list(command)) as context:
            group, sub, rest = cli.resolve_command(context, list(command))
            assert sub is not None, (name, group)
            if command[0] == "host":
                with sub.make_context(group, list(rest), parent=context) as parsed:
                    assert parsed.params["chosen"], name


def test_keys_come_from_secrets_where_they_are_made_beforehand(run: Run) -> None:
    told = yaml.safe_load(run("render", "compose", str(CELL), "--secrets", "keys").out)
    assert "rural1-keys" not in told["services"]
    assert told["secrets"]["rural1.mg1.c1.secret"] == {"file": "keys/mg1/mg1.c1.secret"}
    mg1 = told["services"]["mg1"]
    assert {each["source"] for each in mg1["secrets"]} <= set(told["secrets"])
    assert {each["target"] for each in mg1["secrets"]} == {
        *("cell.charter", "mg1.trader.secret", "mg1.c1.secret", "volt.1.secret")
    }
    assert mg1["environment"]["PEERCELL_HOST_KEYS"] == "/run/secrets"
    assert "depends_on" not in mg1


def test_a_config_of_ones_own_is_mounted(run: Run, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(CELL.read_text().replace('name = "rural1"', 'name = "own"'))
    told = yaml.safe_load(run("render", "compose", str(own)).out)
    assert told["services"]["mg1"]["command"][1] == "/etc/peercell/own.toml"
    assert f"{tmp_path}:/etc/peercell:ro" in told["services"]["mg1"]["volumes"]
