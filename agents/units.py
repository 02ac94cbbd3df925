"""What a number may be: each type is a unit and its legal bounds, checked when a message is read.

Both bounds on every float: one bound lets infinity in, none lets NaN in (docs/decisions.md,
"bounded floats"). Inside the program quantities are plain floats; the unit is in the name.
"""

from typing import Annotated

from msgspec import Meta

PriceEurPerKwh = Annotated[float, Meta(ge=0.0, le=1e6)]
"""EUR/kWh; a market price, never negative since surplus may be spilled for nothing."""

LevelEurPerKwh = Annotated[float, Meta(ge=-1e9, le=1e9)]
"""EUR/kWh; a price that would hold under some condition, so it may leave the market's range."""

SlopeEurPerKwh2 = Annotated[float, Meta(ge=0.0, le=1e12)]
"""EUR/kWh per kWh; how fast a price moves with a quantity."""

EnergyKwh = Annotated[float, Meta(ge=0.0, le=1e9)]
"""kWh within one period, a quantity without direction."""

NetEnergyKwh = Annotated[float, Meta(ge=-1e9, le=1e9)]
"""kWh within one period, positive inwards."""

MoneyEur = Annotated[float, Meta(ge=-1e15, le=1e15)]
"""EUR, positive when somebody pays it."""

NonNegativeMoneyEur = Annotated[float, Meta(ge=0.0, le=1e15)]
"""EUR that cannot be negative: a gap, a debt, a grant."""

PositiveDurationS = Annotated[float, Meta(gt=0.0, le=1e7)]
"""Seconds, longer than nothing."""

Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
"""A share of one."""

Counter = Annotated[int, Meta(ge=0, le=2**53)]
"""Counts up: sequence numbers, epochs, sessions."""

PeerName = Annotated[str, Meta(min_length=1, max_length=64)]
"""Name of a peer, unique in its cell."""

UNLIMITED_KWH = 1e9
"""kWh; stands for no limit, since infinity must not cross a link."""
