"""docs/reference/cli.md is made from the commands: `python -m tests.broker.test_cli_reference`."""

from collections.abc import Iterator
from pathlib import Path

import click

from peercell.broker.cli import cli
from peercell.broker.terminal.command import Deferred, Session

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
HEAD = """# Commands

Made from the commands by `python -m tests.broker.test_cli_reference`; what holds for all of
them is in [cli-contract.md](cli-contract.md).
"""


def _sections(command: click.Command, path: str, parent: click.Context | None) -> Iterator[str]:
    """Yield the help of a command and of all below it."""
    loaded = command.load() if isinstance(command, Deferred) else command
    context = click.Context(
        loaded, parent, path.rpartition(" ")[2], obj=Session(), **loaded.context_settings
    )
    context.terminal_width = 100
    yield f"## {path}\n\n```text\n{loaded.get_help(context)}\n```\n"
    if isinstance(loaded, click.Group):
        for name, child in loaded.commands.items():
            yield from _sections(child, f"{path} {name}", context)


def reference() -> str:
    """Return the text of the reference."""
    return "\n".join([HEAD, *_sections(cli, "peercell", None)])


def test_the_reference_is_fresh() -> None:
    assert REFERENCE.read_text() == reference(), "python -m tests.broker.test_cli_reference"


if __name__ == "__main__":
    REFERENCE.write_text(reference())
