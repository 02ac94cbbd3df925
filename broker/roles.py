"""How the host of a peer builds its role, and all that the peers of a cell say to each other."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

import msgspec
import numpy as np
from msgspec import Raw, Struct

from peercell import agents
from peercell.agents.control.reconfiguration_messages import (
    ReconfigurationFact,
    ReconfigurationGossip,
)
from peercell.agents.control.voltage_messages import (
    EpochsStalled,
    VoltageControlled,
    VoltageGossip,
)
from peercell.agents.dso_messages import DsoFact, DsoStatus, DsoStatusQuery
from peercell.agents.grid_messages import GridReply, GridRequest, GridRevision
from peercell.agents.protocol import Role
from peercell.agents.push_sum_messages import PushSumMessage
from peercell.agents.trading.contract_messages import (
    ContractMessage,
    MarketFact,
    MarketStatus,
    MarketStatusQuery,
)
from peercell.agents.trading.messages import OfferChange, TradingFact, TradingMessage
from peercell.broker.agent import find
from peercell.broker.processes.crew import PeerSpec

CellMessage = (
    TradingMessage
    | TradingFact
    | OfferChange
    | ContractMessage
    | MarketFact
    | MarketStatusQuery
    | MarketStatus
    | GridRequest
    | GridReply
    | GridRevision
    | DsoFact
    | DsoStatusQuery
    | DsoStatus
    | VoltageGossip
    | PushSumMessage
    | VoltageControlled
    | EpochsStalled
    | ReconfigurationGossip
    | ReconfigurationFact
)
"""All that crosses a link in a cell, is told to observers, or asked by an operator."""

CELL_MESSAGES = f"{__name__}:CellMessage"

ROLES: Mapping[str, str] = {**agents.ROLES, "grid": "peercell.broker.grid_peer:grid_service"}
"""Name of each role -> "module:name" of what makes it from `settings`."""

# A fork server that has loaded this page has loaded the pure roles: peers then share their code.
_PURE = {role: find(reference) for role, reference in agents.ROLES.items()}


class _Told(Struct, frozen=True):
    """What a peer is told: what it is, the settings of that role, and a class in its place."""

    role: str
    settings: Raw
    make: str = ""


def peer_spec(peer: str, role: str, settings: Struct, seed: int, make: str = "") -> PeerSpec:
    """Return a peer as its host wants it.

    Parameters
    ----------
    peer : id
    role : one of `ROLES`
    settings : of the role
    seed : of the generator of its host
    make : reference of another class than that of the role
    """
    told = _Told(role, Raw(msgspec.json.encode(settings)), make)
    return PeerSpec(
        peer=peer,
        role=role,
        factory=f"{__name__}:build",
        settings=msgspec.json.encode(told),
        seed=seed,
    )


def build(peer: str, settings: bytes, generator: np.random.Generator) -> Role:
    """Return the role of a peer from what `peer_spec` wrote.

    Raises
    ------
    PeercellError : there is no such role, or it cannot be made of these settings.
    """
    del peer, generator  # the settings name the peer, and no role here plays dice
    told = msgspec.json.decode(settings, type=_Told)
    usual = _PURE.get(told.role) or find(ROLES[told.role])
    make: Any = find(told.make) if told.make else usual
    role: Role = make(msgspec.json.decode(told.settings, type=settings_of(make)))
    return role


def settings_of(make: Any) -> Any:
    """Return the type of the settings that a role is made of."""
    return signature(make, eval_str=True).parameters["settings"].annotation
