"""Where a simulation is made: Mesa, and what it brings along, is loaded with the first one."""

from importlib import import_module
from typing import TYPE_CHECKING

from peercell.agents.errors import MissingExtraError
from peercell.broker.faults.network import LinkFaults

if TYPE_CHECKING:
    from peercell.broker.simulation import Simulation


def simulation(network: LinkFaults, seed: int, near: frozenset[str] = frozenset()) -> "Simulation":
    """Return a new simulation, see there.

    Raises
    ------
    MissingExtraError : Mesa is not installed.
    """
    try:
        module = import_module("peercell.broker.simulation")
    except ModuleNotFoundError as error:
        if error.name != "mesa":
            raise
        raise MissingExtraError("simulating", "sim") from None
    made: Simulation = module.Simulation(network, seed, near)
    return made
