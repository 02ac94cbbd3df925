"""The keys of all peers of a config, made and admitted in one folder."""

from pathlib import Path

from msgspec import Struct

from peercell.broker.config import load_grid, read_config
from peercell.broker.directory import directory_spec
from peercell.broker.hosting.places import OBSERVER_SPEC
from peercell.broker.plans.cell import plan_cell
from peercell.broker.plans.live import peer_specs
from peercell.broker.security.enrolment import OPERATOR, enrolled
from peercell.broker.security.identity import load_or_make_identity


class CellKeys(Struct, frozen=True):
    """What a folder of keys holds.

    Parameters
    ----------
    cell : name, as it is in the charter
    folder : of the keys
    operator : fingerprint of the keys that admit
    peers : how many are admitted
    """

    cell: str
    folder: str
    operator: str
    peers: int


def keys_of_cell(config: Path, folder: Path, now_s: float) -> CellKeys:
    """Return what a folder holds, once all peers of a config have keys in it and are admitted.

    Raises
    ------
    ConfigError : the config is wrong.
    KeyFileError : a key in the folder cannot be used.
    """
    told = read_config(config)
    plan = plan_cell(told, load_grid(told), now_s)
    folder.mkdir(parents=True, exist_ok=True)
    operator = load_or_make_identity(folder / OPERATOR, "operator")
    specs = (directory_spec(), OBSERVER_SPEC, *peer_specs(plan))
    charter = enrolled(folder, plan.name, [(spec.peer, (spec,)) for spec in specs], now_s)
    named = str(folder)
    return CellKeys(charter.cell, named, operator.public.fingerprint, len(charter.admissions))
