"""To whom does each peer of a cell talk? To those whom its settings name, and who name it."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from peercell.agents.control.coupling import CouplingSettings
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.agents.dso import DsoSettings
from peercell.agents.overlay import overlay
from peercell.agents.trading.aggregator import AggregatorSettings
from peercell.agents.trading.market import MarketTraderSettings
from peercell.agents.trading.prosumer import ProsumerSettings
from peercell.agents.trading.settings import TraderSettings


def neighbours(settings: Mapping[str, Struct]) -> dict[str, tuple[str, ...]]:
    """Return to whom each peer talks, in the order of the peers."""
    pairs = {
        frozenset((peer, other)) for peer, told in settings.items() for other in _addressed(told)
    }
    return {
        peer: tuple(other for other in settings if other != peer and {peer, other} in pairs)
        for peer in settings
    }


def _addressed(told: Struct) -> Iterator[str]:
    """Yield the peers that a peer's settings name."""
    match told:
        case MarketTraderSettings(trading=trading, prosumers=prosumers):
            yield from prosumers
            yield from _partners(trading)
        case AggregatorSettings(trading=trading):
            yield from _partners(trading)
        case ProsumerSettings(grid=grid, trader=trader):
            yield grid
            if trader is not None:
                yield trader
        case DsoSettings(grid=grid):
            yield grid
        case VoltageSettings(name=name, grid=grid, members=members):
            yield grid
            yield from overlay(members)[name]
        case CouplingSettings(lower=lower, upper=upper):
            yield from _addressed(lower)
            yield from _addressed(upper)


def _partners(trading: TraderSettings) -> Iterator[str]:
    """Yield the members of the market that one of them talks to."""
    yield from trading.gossip_peers
    for cell in trading.cells:
        yield from cell.members
