"""What a trader does about its neighbours' offers: residual-curve exchange, one period.

The trader clears its own balance exactly against the import curves of its cells, then tells each
cell: without trading here my price would be `level`, each kWh you take raises it by `slope`.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from peercell.agents.trading.blocks import Supply
from peercell.agents.trading.curves import BilateralCurve, ClearingCurve

# Searches end by themselves; this bound only turns a bug into a wrong answer instead of a hang.
BENDS_MAX = 100
# Share of VOLL below which a price may only be rounding.
PRICE_DIGITS = 1e-10


class Tangent(NamedTuple):
    """An import curve near a price: kWh there, and kWh more per EUR/kWh above it."""

    energy: float
    rise: float
    price: float


NO_IMPORT = Tangent(0.0, 0.0, 0.0)


def exact_price(
    supply: Supply, curves: Sequence[BilateralCurve], tangent: Tangent = NO_IMPORT
) -> float:
    """Return the price, EUR/kWh, at which own supply and imports meet the load, exactly.

    Supply and imports are piecewise linear and never fall, so the price is found by bisection
    over the sorted bends and one interpolation. It is 0 when there is more than enough (the rest
    is spilled) and VOLL when there is too little (the rest is shed).

    Parameters
    ----------
    supply : cost curve of the trader
    curves : import curves with known bends
    tangent : further imports, taken as a straight line
    """
    voll = supply.voll_eur_per_kwh
    anchor, rise, anchor_price = tangent

    def most(price: float) -> float:
        energy = anchor + rise * (price - anchor_price) + supply.up_to(price)
        for curve in curves:
            energy += curve.at(price)
        return energy

    target = supply.load_kwh
    if most(0.0) >= target:
        return 0.0
    if most(voll) < target:
        return voll
    edges = [*supply.edges, 0.0, voll]
    for curve in curves:
        edges += [edge for edge in curve.edges() if 0.0 < edge < voll]
    edges.sort()
    k = bisect_left(edges, target, key=most)
    upper, lower = edges[k], edges[k - 1]
    high = most(upper) - supply.up_to(upper) + supply.below(upper)
    if high <= target:
        return upper
    low = most(lower)
    price_per_kwh = (upper - lower) / (high - low)
    price = lower + (target - low) * price_per_kwh
    # Far ends cancel badly; what is still missing here does not.
    return min(max(price + (target - most(price)) * price_per_kwh, lower), upper)


def clearing_price(
    supply: Supply,
    exact: Sequence[BilateralCurve],
    bent: Sequence[ClearingCurve],
    guess: float,
) -> float:
    """Return the price, EUR/kWh, at which own supply and all imports meet the load.

    Curves of larger cells are replaced by tangents until the price repeats; since every curve
    never falls, each trial also halves or shortens the bracket that contains the answer.
    """
    if not bent:
        return exact_price(supply, exact)
    # Open bracket: each trial becomes one of its ends, so no price is tried twice.
    low, high = -1.0, supply.voll_eur_per_kwh + 1.0
    price, move = guess, supply.voll_eur_per_kwh
    for _ in range(BENDS_MAX):
        energies, rises = zip(*(curve.tangent(price) for curve in bent), strict=True)
        found = exact_price(supply, exact, Tangent(sum(energies), sum(rises), price))
        move, before = abs(found - price), move
        if move <= PRICE_DIGITS * supply.voll_eur_per_kwh and (move >= before or move == 0.0):
            # Within rounding, and no longer getting better.
            return found
        low, high = (price, high) if found > price else (low, price)
        price = found if low < found < high else 0.5 * (low + high)
    return price


# EUR/kWh^2 in units of VOLL per kWh of load: the steepest line that is told. Ten times less slows
# trees of traders whose units are all at their limits (docs/explanation/trading.md).
STEEPEST = 100.0
# Narrowest chord in units of VOLL.
CHORD_MIN = 1e-8
CAUTION_FALL, CAUTION_RISE = 0.9, 2.0
# Of a neighbour's price beside the own one. More holds traders up that come back together, less
# lets some trees go round in circles.
NEIGHBOUR_WEIGHT = 0.5
# A drift that shrinks faster than this between two times is about to end, and teaches no caution.
CREEP_MIN = 0.7
# Half of the old line is enough to end cycles; less new than that only makes trees slow.
DAMPING_FALL, DAMPING_RISE, DAMPING_MIN = 0.8, 1.2, 0.5
# The share of moves that turned is averaged with this weight of the newest. Chance turns half of
# them; a trader that turns more often than this is in a cycle, or pulls against one.
TURN_WEIGHT, TURNS_MOST = 0.25, 0.55
# A larger cell is cleared at once: the price of a member in further cells swings for a while with
# the news from either side, without any cycle, and to average would only hold that up.
TURN_WEIGHT_CLEARED = 0.1

# Moves of a circuit. A price goes round in a circle when it has got no farther than this share of
# the way that it went; it goes straight from the second share on.
CIRCUIT, ROUND_MOST, STRAIGHT_LEAST = 30, 0.1, 0.8
# Of the way of the last circuit: a circle that keeps this share does not end by itself, and one
# that keeps no more than that has ended.
LASTS_LEAST, ENDS_MOST = 0.5, 0.1
BOLD_MIN = 1.0 / 64.0

ImportCurve = BilateralCurve | ClearingCurve


class Boldness:
    """How much of what a trader tells may be new: less while its price goes round in circles.

    Some markets never come to rest else (docs/results/rest.md): the steep line of a trader at its
    limit throws a neighbour to VOLL, that one the next, and after some dozens of rounds all is as
    it was. Turns do not tell, since prices turn in markets that converge as well.

    Attributes
    ----------
    share : of the new in what is told, the most
    """

    __slots__ = ("_begin", "_last_way", "_moves", "_way", "share")

    def __init__(self, price: float) -> None:
        self.share = 1.0
        self._last_way = 0.0
        self._set_out(price)

    def _set_out(self, price: float) -> None:
        self._begin = price
        self._moves = 0
        self._way = 0.0

    def note(self, move: float, price: float) -> None:
        """Take in a move that has led to a price."""
        self._moves += 1
        self._way += abs(move)
        if self._moves < CIRCUIT:
            return
        got = abs(price - self._begin)
        if got >= STRAIGHT_LEAST * self._way or self._way <= ENDS_MOST * self._last_way:
            self.share = min(2.0 * self.share, 1.0)
        elif got < ROUND_MOST * self._way and self._way > LASTS_LEAST * self._last_way > 0.0:
            self.share = max(0.5 * self.share, BOLD_MIN)
        self._last_way = self._way
        self._set_out(price)


class Responder:
    """The memory and the arithmetic of one trader in one period.

    Constants adapt themselves: `caution` shares the trader's elasticity out among its cells when
    the prices around it creep one way (promising all of it to everyone moves loops too slowly),
    `damping` averages what is told when the price keeps turning, `boldness` when it goes round.
    """

    def __init__(self, supply: Supply) -> None:
        self.supply = supply
        self.price = exact_price(supply, ())
        self.lines: list[tuple[float, float]] = []
        own_kwh = supply.load_kwh or supply.width_kwh or 1.0
        self._own_kwh = own_kwh
        self._slope_max = STEEPEST * supply.voll_eur_per_kwh / own_kwh
        self._chord_min = CHORD_MIN * supply.voll_eur_per_kwh
        self._caution = 1.0
        self._damping = 1.0
        self._drift = 0.0
        self._last_drift = 0.0
        self._last_move = 0.0
        self._turns = 0.0
        self._boldness = Boldness(self.price)

    def offer(self, supply: Supply) -> None:
        """Change load and blocks and keep everything that was learnt."""
        self.supply = supply
        self._boldness = Boldness(self.price)

    def respond(
        self,
        exact: Sequence[BilateralCurve],
        bent: Sequence[ClearingCurve],
        moves: Sequence[float] | None = (),
    ) -> None:
        """Set the price and what is told to each cell: lines (level, slope), exact ones first.

        `moves` are those of the neighbours' prices since they were last given, when all neighbours
        that are not at rest have spoken since then; else None.
        """
        before = self.price
        self.price = clearing_price(self.supply, exact, bent, before)
        cells: list[ImportCurve] = [*exact, *bent]
        self._calm_down(self.price - before, TURN_WEIGHT_CLEARED if bent else TURN_WEIGHT)
        self._drift += self.price - before
        if moves is not None:
            around = self._drift + NEIGHBOUR_WEIGHT * sum(moves)
            self._grow_cautious(around / (1.0 + NEIGHBOUR_WEIGHT * len(moves)), len(cells))
            self._drift = 0.0
        chord = max(abs(self.price - before), self._chord_min)
        low, high = self.price - chord, self.price + chord
        imports = [cell.at(self.price) for cell in cells]
        own = self._own_rise(low, high, sum(imports))
        rises = [0.0]
        if len(cells) > 1:
            rises = [(cell.at(high) - cell.at(low)) / (high - low) for cell in cells]
        total = sum(rises)
        # In one cell of many a trader says its own cost, which nobody echoes: nothing to calm down.
        alone = not exact and len(bent) == 1
        keep = 0.0 if alone else 1.0 - min(self._damping, self._boldness.share)
        lines = []
        for k, imported in enumerate(imports):
            rise = own + self._caution * max(total - rises[k], 0.0)
            slope = min(1.0 / rise, self._slope_max) if rise > 0.0 else self._slope_max
            level = self.price + slope * imported
            if keep > 0.0 and len(self.lines) == len(cells):
                level += keep * (self.lines[k][0] - level)
                slope += keep * (self.lines[k][1] - slope)
            lines.append((level, slope))
        self.lines = lines

    def relax(self, curves: Sequence[BilateralCurve], cell_count: int) -> None:
        """Set the price against neighbours whose prices stand still; all cells hear a flat line.

        This map never falls in any neighbour's price, so from 0 it only climbs and from VOLL it
        only falls, to the optimum, whatever the order, delay or loss (Bertsekas and El Baz 1987).
        """
        self.price = exact_price(self.supply, curves)
        self.lines = [(self.price, 0.0)] * cell_count

    def _own_rise(self, low: float, high: float, imported: float) -> float:
        """Return the chord slope of own supply, kWh per EUR/kWh, shedding and spilling included."""
        supply = self.supply
        energy = supply.up_to(high) - supply.below(low)
        if high >= supply.voll_eur_per_kwh:
            energy += self._own_kwh
        if self.price <= 0.0:
            # What is spilled can be had for nothing, but no more than that.
            energy += max(supply.up_to(0.0) + imported - supply.load_kwh, 0.0)
        return energy / (high - low)

    def _grow_cautious(self, drift: float, cell_count: int) -> None:
        """Learn how much elasticity to share out from whether prices around turned or went on.

        The drift is the mean move of the trader's price and its neighbours' between two times at
        which everyone has been heard. Single moves turn at random when news comes in late and one
        at a time, and single prices swing against each other while their common level creeps;
        caution would never build up, and groups without own elasticity have been seen to drift for
        hundreds of rounds.
        """
        if drift * self._last_drift < 0.0:
            self._caution = min(1.0, self._caution * CAUTION_RISE)
        elif drift * self._last_drift > 0.0 and abs(drift) >= CREEP_MIN * abs(self._last_drift):
            self._caution = max(self._caution * CAUTION_FALL, 1.0 / max(cell_count - 1, 1))
        if drift != 0.0:
            self._last_drift = drift

    def _calm_down(self, move: float, weight: float) -> None:
        """Average more while the price keeps turning: single moves count, so cycles end.

        A group at its limits whose prices chase each other in a circle would else never grow
        cautious, and its common price would creep for hundreds of rounds.
        """
        if move == 0.0:
            return
        self._boldness.note(move, self.price)
        turned = 1.0 if move * self._last_move < 0.0 else 0.0
        self._turns += weight * (turned - self._turns)
        change = DAMPING_FALL if self._turns > TURNS_MOST else DAMPING_RISE
        self._damping = min(max(self._damping * change, DAMPING_MIN), 1.0)
        self._last_move = move
