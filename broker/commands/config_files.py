"""`peercell config schema`, `validate` and `init`: the file that says what a cell is."""

from dataclasses import replace
from pathlib import Path

import click
from msgspec import structs

from peercell.agents.errors import PeercellError
from peercell.broker.cells import load_cell
from peercell.broker.configuration.check import check_config, check_text
from peercell.broker.configuration.reference import ConfigKey, config_schema, config_tables
from peercell.broker.configuration.starter import starter
from peercell.broker.terminal.command import data_command
from peercell.broker.terminal.output import Answer, Format, record, render

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


class ConfigExistsError(PeercellError):
    """A config that is there already."""


@data_command("schema", "peercell config schema", "peercell config schema -o csv")
def schema() -> Answer:
    """Print the JSON Schema of a config, for an editor.

    As jsonl and csv it is a list of all keys with what they may be, their defaults and meanings.
    """
    keys = [structs.asdict(key) for table in config_tables() for key in table.keys]
    answer = Answer(config_schema(), keys, ConfigKey.__struct_fields__, "")
    return replace(answer, text=render(answer, Format.JSON))


@data_command(
    "validate",
    "peercell config validate configs/rural1.toml",
    "peercell config validate configs/case33.toml -o json",
)
@click.argument("file", type=_FILE)
def validate(file: Path) -> Answer:
    """Check a config and the cell that it makes.

    FILE is a TOML file. What is wrong with it is told with its line.
    """
    checked = check_config(file)
    return record(checked, check_text(checked))


@data_command(
    "init", "peercell config init study --grid rural1", "peercell config init . --grid ./my-cell"
)
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option(
    "--grid", required=True, metavar="CELL", help="A shipped cell (peercell grid ls), or a folder."
)
def init(folder: Path, grid: str) -> Answer:
    """Write a first config for a cell of the grid.

    It becomes DIR/cell.toml, with comments and no more than is needed; DIR is made if need be.
    """
    path = folder / "cell.toml"
    if path.exists():
        raise ConfigExistsError(
            f"{path} is there already", "nothing was written", f"peercell config validate {path}"
        )
    text = starter(load_cell(grid), folder)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    hint = f"next: peercell config validate {path}"
    return record({"config": str(path), "grid": grid}, f"wrote {path}", hint)
