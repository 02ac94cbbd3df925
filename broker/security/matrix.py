"""Which role may say which kind of message to other peers: what no row here allows is refused.

Only what crosses a link between peers is here. Queries and commands of operators, and the answers
to them, go through the control socket of a host, so no role may say them to a peer.
"""

from collections.abc import Iterable

from peercell.agents.control.reconfiguration_messages import (
    ReconfigurationFact,
    ReconfigurationGossip,
)
from peercell.agents.control.voltage_messages import (
    EpochsStalled,
    VoltageControlled,
    VoltageGossip,
)
from peercell.agents.dso_messages import DsoFact
from peercell.agents.grid_messages import (
    Corrections,
    DisturbanceOrder,
    GridHello,
    GridRefusal,
    GridReply,
    GridRevision,
    RestoreOrder,
    SensitivityQuery,
    SetPoints,
    SnapshotQuery,
    SoftOpenPointOrder,
    StateQuery,
    StatsQuery,
    Subscription,
    SwitchingOrder,
    TimeOrder,
    TopologyQuery,
    WhatIfQuery,
)
from peercell.agents.membership_messages import Gossip, Probing
from peercell.agents.messages import Message
from peercell.agents.push_sum_messages import PushSumMessage
from peercell.agents.trading.contract_messages import (
    Delivery,
    Fallback,
    LateOffer,
    OfferCall,
    ProsumerOffer,
    Schedule,
    ScheduleCall,
    Settlement,
    Unsettled,
)
from peercell.agents.trading.messages import TradingFact, TradingMessage
from peercell.broker.wire import kind_of, messages_of

TRADERS = frozenset({"microgrid trader", "trader", "aggregator"})
VOLTAGE = frozenset({"voltage", "voltage coupling", "voltage gradient", "voltage paper"})
OPEN_POINT = frozenset({"open point"})
MARKET_TRADER = frozenset({"trader"})
AGGREGATOR = frozenset({"aggregator"})
PROSUMER = frozenset({"prosumer"})
DSO = frozenset({"dso"})
GRID = frozenset({"grid"})
DIRECTORY = frozenset({"directory"})

_GRID_CALLERS = TRADERS | VOLTAGE | OPEN_POINT | PROSUMER | DSO
ROLES = _GRID_CALLERS | GRID | DIRECTORY
"""All roles that this page knows; others may gossip and say what their own pages bring."""

MEMBERSHIP = Gossip | Probing
"""What every member may say, whatever its role."""

TABLE: tuple[tuple[object, frozenset[str]], ...] = (
    (TradingMessage | TradingFact, TRADERS),
    (OfferCall | Schedule, MARKET_TRADER),
    (ProsumerOffer | ScheduleCall, PROSUMER),
    (LateOffer, MARKET_TRADER),
    (Settlement | Unsettled, MARKET_TRADER | AGGREGATOR),
    (Fallback | Delivery, PROSUMER),
    # What of it each may see is for the grid service to say.
    (GridHello | StateQuery | Subscription, _GRID_CALLERS),
    (SensitivityQuery | TopologyQuery | WhatIfQuery, _GRID_CALLERS - PROSUMER),
    (SetPoints, PROSUMER),
    (Corrections, VOLTAGE),
    (SwitchingOrder, DSO | OPEN_POINT),
    (SoftOpenPointOrder | DisturbanceOrder | TimeOrder | RestoreOrder, DSO),
    (SnapshotQuery | StatsQuery, DSO),
    (GridReply | GridRevision, GRID),
    # Whoever is refused by the grid service tells its observer so, in the words of the refusal.
    (GridRefusal, _GRID_CALLERS),
    (DsoFact, DSO),
    (VoltageGossip | PushSumMessage | VoltageControlled | EpochsStalled, VOLTAGE),
    (ReconfigurationGossip | ReconfigurationFact, OPEN_POINT),
)
"""Unions of messages, and the roles that may say them."""


def kinds_for(role: str, kinds: Iterable[type[Message]]) -> frozenset[str]:
    """Return the names of the kinds that a role may say.

    Parameters
    ----------
    role : of the sender, as its admission states it
    kinds : that the receiving host knows; those of pages that do not come with peercell, brought by
        an own class of the config, may be said by every member
    """
    own = {kind_of(each) for each in kinds if not each.__module__.startswith("peercell.")}
    return _allowed(role) | own


def _allowed(role: str) -> frozenset[str]:
    rows = (union for union, roles in TABLE if role in roles)
    said = (each for union in (MEMBERSHIP, *rows) for each in messages_of(union))
    return frozenset(map(kind_of, said))
