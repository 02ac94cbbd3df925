"""What traders say to each other and to their observers: the trading plane's page of messages.

Arrays have one entry for each market period of the horizon. `session` is the host time at which
the sender was started and `seq` counts its messages, so the pair orders all it has ever said:
newest wins, and a message that is repeated, late or out of order changes nothing. `epoch` counts
changes of the problem (a load or an offer changed), `attempt` the tries to close one.
"""

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from peercell.agents.messages import Message
from peercell.agents.trading.blocks import Offer
from peercell.agents.units import (
    Counter,
    EnergyKwh,
    LevelEurPerKwh,
    MoneyEur,
    NetEnergyKwh,
    NonNegativeMoneyEur,
    PeerName,
    PriceEurPerKwh,
    SlopeEurPerKwh2,
)

# A month of quarter hours.
PERIODS_MAX = 2976

PriceVector = Annotated[tuple[PriceEurPerKwh, ...], Meta(min_length=1, max_length=PERIODS_MAX)]
LevelVector = Annotated[tuple[LevelEurPerKwh, ...], Meta(min_length=1, max_length=PERIODS_MAX)]
SlopeVector = Annotated[tuple[SlopeEurPerKwh2, ...], Meta(min_length=1, max_length=PERIODS_MAX)]
EnergyVector = Annotated[tuple[EnergyKwh, ...], Meta(min_length=1, max_length=PERIODS_MAX)]
# Blocks of a roster, and bytes of the votes of one.
BLOCKS_MAX, BLOCK_BYTES_MAX = 1024, 128
Ballots = Annotated[bytes, Meta(max_length=BLOCK_BYTES_MAX)]
CellName = Annotated[str, Meta(min_length=1, max_length=160)]


class Hello(Message, frozen=True):
    """I have just started and only listen: tell me your last quote, and count me as absent."""

    epoch: Counter
    session: Counter


class CurveQuote(Message, frozen=True):
    """My price, and how it would be without this cell: level, rising by slope a kWh you take."""

    cell: CellName
    epoch: Counter
    session: Counter
    seq: Counter
    price_eur_per_kwh: PriceVector
    level_eur_per_kwh: LevelVector
    slope_eur_per_kwh2: SlopeVector


class EnergyBid(Message, frozen=True):
    """What I want to buy from you at your last price (Algorithm 1 of the paper)."""

    epoch: Counter
    session: Counter
    seq: Counter
    energy_kwh: EnergyVector


class FrozenPrice(Message, frozen=True):
    """My price under this attempt, for good: what we trade follows from yours and mine.

    `heard` says that I have yours, so that nobody answers an answer. At the gate `import_kwh` is
    what I plan to import from you, export negative.
    """

    binds: ClassVar[bool] = True

    epoch: Counter
    attempt: Counter
    price_eur_per_kwh: PriceVector
    heard: bool = False
    import_kwh: Annotated[tuple[NetEnergyKwh, ...], Meta(max_length=PERIODS_MAX)] = ()


class BlockVotes(Struct, frozen=True, array_like=True):
    """Part of a tally: who has voted in one block of the roster, a bit for each member of it."""

    block: Annotated[int, Meta(ge=0, lt=BLOCKS_MAX)]
    votes: Ballots


class Tally(Message, frozen=True):
    """Whose certificate is known to be good enough, what I lack, and what I have given to you.

    `votes` is a bit set over the roster or, where that is cut into blocks, over its blocks: those
    in which all have voted; `blocks` are then the votes in others that you need. `granted_eur` only
    ever grows within an attempt.
    """

    binds: ClassVar[bool] = True

    epoch: Counter
    attempt: Counter
    votes: Ballots
    debt_eur: NonNegativeMoneyEur
    granted_eur: NonNegativeMoneyEur
    blocks: Annotated[tuple[BlockVotes, ...], Meta(max_length=BLOCKS_MAX)] = ()


class Confirmation(Message, frozen=True):
    """What I sell to you and buy from you, and the price at which each of us sells.

    `heard` says that I have yours, so that nobody answers an answer.
    """

    binds: ClassVar[bool] = True

    epoch: Counter
    attempt: Counter
    sold_kwh: EnergyVector
    bought_kwh: EnergyVector
    own_price_eur_per_kwh: PriceVector
    peer_price_eur_per_kwh: PriceVector
    heard: bool = False


class Recall(Message, frozen=True):
    """All have voted for this attempt, and I have forgotten what for: tell me what we trade.

    My price in it is there once somebody has told me. `void`: I shall never know, or there is
    nothing between us in this attempt, so nothing is traded.
    """

    binds: ClassVar[bool] = True

    epoch: Counter
    attempt: Counter
    price_eur_per_kwh: Annotated[tuple[PriceEurPerKwh, ...], Meta(max_length=PERIODS_MAX)] = ()
    void: bool = False


TradingMessage = Hello | CurveQuote | EnergyBid | FrozenPrice | Tally | Confirmation | Recall
"""All that crosses a link between traders."""


class OfferChange(Message, frozen=True):
    """Command: load or blocks have changed; a new epoch begins, the next one if none is named.

    An epoch that has begun already is not opened again, since prices may have been frozen in it;
    the answer names the epoch that is open.
    """

    offers: Annotated[tuple[Offer, ...], Meta(min_length=1, max_length=PERIODS_MAX)]
    epoch: Counter | None = None


class EpochOpened(Message, frozen=True):
    """Answer and fact: prices are now sought for this epoch."""

    epoch: Counter


class PriceMoved(Message, frozen=True):
    """Fact: the trader's price has changed."""

    epoch: Counter
    round: Counter
    price_eur_per_kwh: PriceVector


class LinkTrade(Message, frozen=True):
    """Part of a fact: what is sold to and bought from one neighbour, confirmed by both."""

    peer: PeerName
    sold_kwh: EnergyVector
    bought_kwh: EnergyVector


class TraderSettled(Message, frozen=True):
    """Fact: the trader's final part of an epoch's plan.

    `certified` is False when the gate closed before all agreed that the plan is good enough.
    `gap_eur` is the trader's share of the plan's error, `payment_eur` what it pays to sellers
    minus what buyers pay it, `cost_eur` its generation, lost load and transfer. The plan rests on
    the prices of the neighbours `heard`; links to those `absent` counted as open, so whoever lacks
    some may be on an island, which a certificate does not show.
    """

    epoch: Counter
    attempt: Counter
    round: Counter
    certified: bool
    price_eur_per_kwh: PriceVector
    generation_kwh: EnergyVector
    unserved_kwh: EnergyVector
    spilled_kwh: EnergyVector
    trades: tuple[LinkTrade, ...]
    cost_eur: MoneyEur
    payment_eur: MoneyEur
    gap_eur: NonNegativeMoneyEur
    standalone_eur: MoneyEur
    disputes: tuple[PeerName, ...]
    unconfirmed: tuple[PeerName, ...]
    heard: tuple[PeerName, ...]
    absent: tuple[PeerName, ...]


TradingFact = PriceMoved | EpochOpened | TraderSettled
"""All that a trader tells its observers."""
