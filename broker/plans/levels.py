"""Who belongs to which level of control: the agents below a transformer, and those above it."""

from collections.abc import Iterable, Mapping

from msgspec import structs

from peercell.agents.control.coupling import CouplingSettings
from peercell.agents.control.paths import Path
from peercell.agents.control.station import Place
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.grid.paths import level_at, levels

AgentSettings = VoltageSettings | CouplingSettings


def by_level(
    agents: Mapping[str, VoltageSettings], transformers: Iterable[str]
) -> dict[str, AgentSettings]:
    """Return agents that gossip with those of their level alone, and the ones that couple levels.

    A level is what a transformer feeds from a network in which there are agents too. Its coupling
    agent "c.TRANSFORMER" stands where the transformer is connected above.

    Parameters
    ----------
    agents : all of one circle
    transformers : ids of those of the cell
    """
    found_levels = levels({name: told.path for name, told in agents.items()}, transformers)
    names: dict[str, list[str]] = {k: list(level.members) for k, level in found_levels.items()}
    couplings = {key: f"c.{key}" for key in found_levels if key}
    for key, name in couplings.items():
        names[key].append(name)
        names[level_at(found_levels[key].above, found_levels)].append(name)
    found: dict[str, AgentSettings] = {}
    for key, level in found_levels.items():
        for name in level.members:
            found[name] = structs.replace(agents[name], members=tuple(sorted(names[key])))
    for key, name in couplings.items():
        above = found_levels[key].above
        upper = level_at(above, found_levels)
        # The limits of a level are the same for all in it.
        low_some, high_some = (agents[found_levels[at].members[0]] for at in (key, upper))
        found[name] = CouplingSettings(
            lower=_unseeing(low_some, name, names[key], above),
            upper=_unseeing(high_some, name, names[upper], above),
        )
    return found


def _unseeing(some: VoltageSettings, name: str, members: list[str], path: Path) -> VoltageSettings:
    """Return the settings of a member that has neither meter nor device."""
    return structs.replace(
        some, name=name, members=tuple(sorted(members)), place=Place(), path=path
    )
