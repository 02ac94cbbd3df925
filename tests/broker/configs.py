"""The least that a config must say, and a way to say more."""

from pathlib import Path

from peercell.broker.config import Config, read_config

MINIMAL = """\
name = "a"
grid = "rural1"
[clock]
start = 2016-05-28T06:00:00
intervals = 8
"""


def make_config(folder: Path, more: str = "", head: str = MINIMAL) -> Config:
    """Return a config, from a file in a folder."""
    path = folder / "cell.toml"
    path.write_text(head + more)
    return read_config(path)
