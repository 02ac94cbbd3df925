"""Which class makes a peer? The usual one of its role, or one that the config names."""

import inspect
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, structs

from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.agents.dso import DsoSettings
from peercell.agents.errors import PeercellError
from peercell.agents.membership_messages import MembershipMessage
from peercell.agents.trading.aggregator import AggregatorSettings
from peercell.agents.trading.market import MarketTraderSettings
from peercell.agents.trading.prosumer import ProsumerSettings
from peercell.broker.agent import find
from peercell.broker.config import Config
from peercell.broker.configuration.role_tables import CONTROL, DSO, PROSUMER, TRADING, WHOLESALE
from peercell.broker.configuration.settings_table import SettingsTable
from peercell.broker.configuration.toml_file import ConfigError, Keys
from peercell.broker.operator_port import HostMessage
from peercell.broker.roles import CellMessage, settings_of
from peercell.broker.wire import Codec

GROUP = "peercell.agents"
"""Entry points by which a package announces its roles."""

_TABLES: dict[type[Struct], SettingsTable[Any]] = {
    MarketTraderSettings: TRADING,
    AggregatorSettings: WHOLESALE,
    ProsumerSettings: PROSUMER,
    DsoSettings: DSO,
    VoltageSettings: CONTROL,
}


class Own(NamedTuple):
    """What makes a peer: the reference of a class, "" for the usual one, and what it is told."""

    make: str
    settings: Struct


def own_class(config: Config, peer: str, settings: Struct) -> Own:
    """Return what the config wants a peer to be made by, and what that is told.

    Parameters
    ----------
    config : what the user says; its folder is where classes are looked for first
    peer : id
    settings : of its role

    Raises
    ------
    ConfigError : there is no such class, or it is no role that is made of these settings.
    """
    table = _TABLES.get(type(settings))
    if table is None:
        return Own("", settings)
    terms = config.table(table, peer)
    keys = config.cell.peers.get(peer, {})
    place, own_place = (
        ("peers", peer, key) if key in keys else (table.key, key) for key in ("class", "own")
    )
    if terms.class_ is None:
        if terms.own:
            raise config.file.wrong(own_place, "settings of an own class, and no class")
        return Own("", settings)
    reference = f"{config.folder.resolve()}!{_announced(config, place, terms.class_)}"
    try:
        wrong = _misfit(find(reference), type(settings))
    except PeercellError as error:
        raise _no_class(config, place, terms.class_, error.why) from None
    except Exception as error:
        raise _no_class(config, place, terms.class_, f"{type(error).__name__}: {error}") from error
    if wrong:
        raise config.file.wrong(place, f'"{terms.class_}" cannot be {peer}', wrong)
    return Own(reference, _told(config, own_place, settings, (reference, terms.own)))


def _told(
    config: Config, place: Keys, settings: Struct, own: tuple[str, Mapping[str, Any]]
) -> Struct:
    """Return settings of a role as a class takes them, with what the class alone is told."""
    make, extra = own
    kind: type[Struct] = settings_of(find(make))
    usual = structs.asdict(settings)
    known = [name for name in kind.__struct_fields__ if name not in usual]
    for key in extra:
        if key not in known:
            raise config.file.unknown_key((*place, key), known)
    try:
        return msgspec.convert({**usual, **extra}, kind)
    except msgspec.ValidationError as error:
        what = f"this does not fit {kind.__name__}"
        raise config.file.wrong(place, what, str(error)) from None


def own_unions(makes: Iterable[str]) -> tuple[str, ...]:
    """Return references of the unions of messages that own classes bring along, each once.

    A class that speaks in words of its own has them as `messages`.

    Parameters
    ----------
    makes : references of classes, as `own_class` gives them
    """
    named = {make: getattr(find(make), "messages", None) for make in makes if make}
    once = {union: f"{make}.messages" for make, union in named.items() if union is not None}
    return tuple(once.values())


def _no_class(config: Config, place: Keys, name: str, why: str) -> ConfigError:
    module = name.partition(":")[0]
    lost = f"put {module}.py into {config.folder.resolve()}" if "No module named" in why else ""
    return config.file.wrong(place, f'cannot import "{name}"', why, lost)


def _announced(config: Config, place: Keys, name: str) -> str:
    """Return "module:Class" for the name of an entry point; a name with a colon stays."""
    if ":" in name:
        return name
    known = {point.name: point.value for point in entry_points(group=GROUP)}
    if name not in known:
        raise config.file.wrong(
            place,
            f'no installed package announces a role "{name}"',
            f"entry points of {GROUP}: {', '.join(sorted(known)) or 'none'}",
            "a class beside the config is written with its module: my_agents:CautiousTrader",
        )
    return known[name]


def _misfit(make: Any, settings: type[Struct]) -> str:
    """Return why a class is no role that is made of settings of a type, "" if it is one."""
    if not callable(getattr(make, "step", None)):
        return f"{make!r} has no step(event, now_s)"
    parameters = inspect.signature(make, eval_str=True).parameters
    wanted = settings.__name__
    if "settings" not in parameters:
        return f"it must be made of `settings: {wanted}`, and has no such parameter"
    taken = parameters["settings"].annotation
    if not (isinstance(taken, type) and issubclass(taken, settings)):
        return f"it must be made of `settings: {wanted}`, and wants {taken!r}"
    return _muddle(getattr(make, "messages", None))


def _muddle(messages: object) -> str:
    """Return why messages of an own class cannot be told from those of a cell, "" if they can."""
    unions = () if messages is None else (messages,)
    try:
        Codec(CellMessage, MembershipMessage, HostMessage, *unions)
    except TypeError as error:
        return f"of its messages: {error}"
    return ""
