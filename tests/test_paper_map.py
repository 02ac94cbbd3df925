"""The map from the paper to the code is complete and true."""

import re
from pathlib import Path

import click
import pytest

from peercell.broker.cli import cli

ROOT = Path(__file__).parent.parent
SECTIONS = {"I", "II", "III", "IV", "V", "V.A", "V.B", "V.C", "VI", "VII"}
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs/paper-map.md").read_text().splitlines()
    if re.match(r"\| [IV]+", line)
]


def names(cell: str) -> list[str]:
    """Return what a cell of the table names in code type."""
    return re.findall(r"`([^`]+)`", cell)


def test_every_section_is_listed() -> None:
    assert {row[0] for row in ROWS} == SECTIONS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}: {row[1]}")
def test_a_row_says_what_is_so(row: list[str]) -> None:
    _, _, modules, state, shown = row
    assert state in {"works", "planned"}
    assert names(modules), "name the module"
    for module in names(modules):
        assert (ROOT / module).exists() is (state == "works"), f"{module}: change the state"
    assert bool(shown) is (state == "works"), (
        "a command or a test for what works, and only for that"
    )
    for name in names(shown):
        if name.startswith("peercell "):
            assert_is_command(name.split()[1:])
        else:
            assert (ROOT / name).exists(), name


def assert_is_command(words: list[str]) -> None:
    """Follow the words through the tree of commands to one that does something."""
    command: click.Command | None = cli
    for word in words:
        if not isinstance(command, click.Group):
            return
        command = command.get_command(click.Context(command), word)
        assert command is not None, f"there is no command {' '.join(words)}"
    assert not isinstance(command, click.Group), words
