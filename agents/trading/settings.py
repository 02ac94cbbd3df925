"""What a microgrid trader must be told before it starts."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.trading.blocks import Offer
from peercell.agents.trading.links import Link
from peercell.agents.units import Fraction, PeerName, PositiveDurationS

TOLERANCE = 1e-6
"""Share of the cost that plans may be dearer than the best ones."""


class Method(StrEnum):
    """How prices are found; all end in the same optimum."""

    RCE = "rce"
    """Residual-curve exchange: price and slope are quoted; the fast one."""
    RELAX = "relax"
    """Prices only, each trader clears itself: slow, but proven for any delay and loss."""
    SUBGRADIENT = "subgradient"
    """The paper's Algorithm 1 with a constant step, for comparison."""


class MarketCell(Struct, frozen=True):
    """Traders who clear links among themselves together; a plain link is a cell of two.

    All members know all tariffs of the cell, and each tells its curve to every other one.
    """

    name: str
    members: tuple[PeerName, ...]
    links: tuple[Link, ...]


class TraderSettings(Struct, frozen=True, kw_only=True):
    """One microgrid trader; a coupling agent is one with a load of 0 and no blocks.

    Parameters
    ----------
    offers : load and blocks of each market period
    cells : market cells that the trader belongs to
    roster : all traders of the market in an order known to all; who must agree to stop
    gossip_peers : whom to tell about votes, from `vote_peers`; the trading links are a poor choice
        when they form a line
    tolerance : relative gap at which the traders stop; smaller takes more rounds
    round_s : s between two looks at the market; larger saves messages and takes longer
    heartbeat_rounds : longest silence: the last quote is repeated after 2 rounds, then after twice
        as many, up to this; larger saves messages and takes longer when many get lost
    listen_rounds : rounds after which a starting trader stops waiting for absent neighbours
    gate_closure_s : s after the start of an epoch at which trading ends in any case
    step_eur_per_kwh2 : price step per kWh of imbalance; only `subgradient` has such a constant
    """

    name: PeerName
    offers: Annotated[tuple[Offer, ...], Meta(min_length=1)]
    voll_eur_per_kwh: Annotated[float, Meta(gt=0.0, le=1e6)]
    roster: tuple[PeerName, ...]
    cells: tuple[MarketCell, ...] = ()
    gossip_peers: tuple[PeerName, ...] = ()
    method: Method = Method.RCE
    tolerance: Fraction = TOLERANCE
    round_s: PositiveDurationS = 1.0
    heartbeat_rounds: int = 16
    listen_rounds: int = 30
    gate_closure_s: PositiveDurationS = 600.0
    step_eur_per_kwh2: Annotated[float, Meta(gt=0.0, le=1e6)] = 1e-3
