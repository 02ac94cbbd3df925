"""Who belongs to which level of control: the agents below a transformer, and those above it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from msgspec import Struct, structs

from peercell.agents.control.coupling import CouplingSettings
from peercell.agents.control.paths import Path
from peercell.agents.control.station import Place
from peercell.agents.control.voltage_settings import VoltageSettings

AgentSettings = VoltageSettings | CouplingSettings


class _Level(Struct):
    """Members of a level; `above` is the way to where it hangs below another one, if it does."""

    members: list[str]
    above: Path


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
    levels = _levels(agents, frozenset(transformers))
    some = next(iter(agents.values()))
    names: dict[str, list[str]] = {key: list(level.members) for key, level in levels.items()}
    couplings = {key: f"c.{key}" for key in levels if key}
    for key, name in couplings.items():
        names[key].append(name)
        names[_key(levels[key].above, levels.keys())].append(name)
    found: dict[str, AgentSettings] = {}
    for key, level in levels.items():
        for name in level.members:
            found[name] = structs.replace(agents[name], members=tuple(sorted(names[key])))
    for key, name in couplings.items():
        above = levels[key].above
        upper = names[_key(above, levels.keys())]
        found[name] = CouplingSettings(
            lower=_unseeing(some, name, names[key], above),
            upper=_unseeing(some, name, upper, above),
        )
    return found


def _unseeing(some: VoltageSettings, name: str, members: list[str], path: Path) -> VoltageSettings:
    """Return the settings of a member that has neither meter nor device."""
    return structs.replace(
        some, name=name, members=tuple(sorted(members)), place=Place(), path=path
    )


def _levels(
    agents: Mapping[str, VoltageSettings], transformers: frozenset[str]
) -> dict[str, _Level]:
    """Return the levels by the transformer that feeds them; "" is what hangs below no other."""
    at: dict[str, list[str]] = defaultdict(list)
    above: dict[str, Path] = {}
    for name, told in agents.items():
        passed = [k for k, span in enumerate(told.path) if span.branch in transformers]
        key = told.path[passed[-1]].branch if passed else ""
        at[key].append(name)
        above[key] = told.path[: passed[-1]] if passed else ()
    levels: dict[str, _Level] = {"": _Level([], ())}
    for key, members in at.items():
        if key and _key(above[key], at.keys()) in at:
            levels[key] = _Level(members, above[key])
        else:
            levels[""].members += members
    return levels


def _key(path: Path, known: Iterable[str]) -> str:
    """Return the level in which a path ends: the last one that it passes, "" for the top."""
    keys = set(known)
    return next((span.branch for span in reversed(path) if span.branch in keys), "")
