"""How an instance is traded out: each trader a role, all in one process on a virtual clock."""

from collections.abc import Mapping

from msgspec import Struct

from peercell.agents.trading.ballots import vote_peers
from peercell.agents.trading.blocks import Supply
from peercell.agents.trading.messages import TraderSettled
from peercell.agents.trading.settings import MarketCell, Method, TraderSettings
from peercell.agents.trading.trader import MicrogridTrader, Phase
from peercell.broker.faults.network import LinkFaults
from peercell.broker.simulated_time import uncollected
from peercell.broker.simulating import simulation
from peercell.broker.solving.instance import Instance, Market, to_market

# Rounds in which everyone settles after the gate has closed, whatever gets lost.
SETTLE_ROUNDS = 200


class SolveSettings(Struct, frozen=True, kw_only=True):
    """How to trade an instance out.

    Parameters
    ----------
    method : how prices are found
    tolerance : relative gap to stop at; prices are good to about its square root
    rounds_max : gate closure; the plan at hand is then settled, its gap known
    step_eur_per_kwh2 : price step of `subgradient`; None for `safe_step`
    faults : what the network does to messages; times are in rounds
    seed : of the faults
    """

    method: Method = Method.RCE
    tolerance: float = 1e-10
    rounds_max: int = 10_000
    step_eur_per_kwh2: float | None = None
    faults: LinkFaults = LinkFaults()
    seed: int = 0


class TradeLine(Struct, frozen=True, rename={"seller": "from", "buyer": "to"}):
    """Energy that one trader sells to another, confirmed by both."""

    seller: str
    buyer: str
    kwh: float


class TradeResult(Struct, frozen=True):
    """How the trading of an instance ended, as `trade solve -o json` prints it.

    `converged` says that all traders agreed before the gate that the gap is small enough, and all
    trades were confirmed. `rounds` ends when the last of them knew; `messages` counts all sent.
    The true optimum lies between `dual_bound_eur` and `cost_eur`; `relative_gap` is their
    difference by the cost. `payments_eur` is what a trader pays to sellers minus what buyers pay
    it, and adds up to 0. `generation_kwh` is what is put to use: load = generation + unserved
    + bought - sold for each trader.
    """

    converged: bool
    rounds: int
    messages: int
    cost_eur: float
    dual_bound_eur: float
    relative_gap: float
    prices: dict[str, float]
    generation_kwh: dict[str, float]
    unserved_kwh: dict[str, float]
    trades: tuple[TradeLine, ...]
    standalone_eur: dict[str, float]
    payments_eur: dict[str, float]


def solve_instance(instance: Instance, settings: SolveSettings | None = None) -> TradeResult:
    """Return how the market of an instance file ends; see `trade_out`."""
    return trade_out(to_market(instance), settings or SolveSettings())


@uncollected()
def trade_out(market: Market, settings: SolveSettings) -> TradeResult:
    """Return how a market ends when its traders run the protocol in one process.

    Parameters
    ----------
    market : of one period
    settings : method, tolerance, faults and seed; the defaults are right for a good network
    """
    run = simulation(settings.faults, settings.seed)
    roles = {
        name: MicrogridTrader(role_settings)
        for name, role_settings in trader_settings(market, settings).items()
    }
    for name, role in roles.items():
        run.start(name, role)
    for second in range(settings.rounds_max + SETTLE_ROUNDS):
        run.run(second)
        if all(role.phase is Phase.SETTLED for role in roles.values()):
            break
    settled = {name: fact for _, name, fact in run.facts_of(TraderSettled)}
    return trade_result(market, settled, run.sent)


def trader_settings(market: Market, settings: SolveSettings) -> dict[str, TraderSettings]:
    """Return what each trader of a market is told; one round is one second."""
    names = tuple(market.offers)
    cells: dict[str, list[MarketCell]] = {name: [] for name in names}
    for cell in market.cells:
        for member in cell.members:
            cells[member].append(cell)
    peers = vote_peers(names)
    step = settings.step_eur_per_kwh2
    if step is None:
        step = safe_step(market)
    return {
        name: TraderSettings(
            name=name,
            offers=(offer,),
            voll_eur_per_kwh=market.voll_eur_per_kwh,
            roster=names,
            cells=tuple(cells[name]),
            gossip_peers=peers[name],
            method=settings.method,
            tolerance=settings.tolerance,
            gate_closure_s=float(settings.rounds_max),
            step_eur_per_kwh2=step,
        )
        for name, offer in market.offers.items()
    }


def safe_step(market: Market) -> float:
    """Return a constant step, EUR/kWh^2, with which `subgradient` does not diverge.

    One by the largest rise of any trader's imbalance with prices; flat blocks have none, so with
    them the prices end up hovering within a step.
    """
    rises = dict.fromkeys(market.offers, 0.0)
    for name, offer in market.offers.items():
        rises[name] += sum(
            1.0 / block.slope_eur_per_kwh2 for block in offer.blocks if block.slope_eur_per_kwh2
        )
    for link in market.links:
        rises[link.seller] += 2.0 / link.slope_eur_per_kwh2
        rises[link.buyer] += 2.0 / link.slope_eur_per_kwh2
    largest = max(rises.values())
    return 1.0 / largest if largest else market.voll_eur_per_kwh


def trade_result(
    market: Market, settled: Mapping[str, TraderSettled], message_count: int
) -> TradeResult:
    """Return the market's outcome from what each trader reported.

    A trade counts when both of its ends report it; the dual bound is computed anew from the prices
    alone, so it holds whatever was lost.
    """
    facts = {name: settled[name] for name in market.offers}
    sold = {
        (name, trade.peer): trade.sold_kwh[0] for name, f in facts.items() for trade in f.trades
    }
    bought = {
        (trade.peer, name): trade.bought_kwh[0] for name, f in facts.items() for trade in f.trades
    }
    prices = {name: fact.price_eur_per_kwh[0] for name, fact in facts.items()}
    cost = sum(fact.cost_eur for fact in facts.values())
    bound = dual_bound(market, prices)
    return TradeResult(
        converged=all(
            fact.certified and not fact.disputes and not fact.unconfirmed for fact in facts.values()
        ),
        rounds=max(fact.round for fact in facts.values()),
        messages=message_count,
        cost_eur=cost,
        dual_bound_eur=bound,
        relative_gap=max(cost - bound, 0.0) / cost if cost else 0.0,
        prices=prices,
        generation_kwh={name: fact.generation_kwh[0] for name, fact in facts.items()},
        unserved_kwh={name: fact.unserved_kwh[0] for name, fact in facts.items()},
        trades=tuple(
            TradeLine(seller, buyer, energy)
            for (seller, buyer), energy in sold.items()
            if energy > 0.0 and bought.get((seller, buyer)) == energy
        ),
        standalone_eur={name: fact.standalone_eur for name, fact in facts.items()},
        payments_eur={name: fact.payment_eur for name, fact in facts.items()},
    )


def dual_bound(market: Market, prices: Mapping[str, float]) -> float:
    """Return what no plan of a market can cost less than, EUR, by any prices in [0, VOLL].

    Sum of load * price - C*(price) over the traders, minus what carrying could earn on the links.
    """
    bound = 0.0
    for name, offer in market.offers.items():
        supply = Supply(offer, market.voll_eur_per_kwh)
        bound += offer.load_kwh * prices[name] - supply.surplus(prices[name])
    return bound - sum(
        link.surplus(prices[link.buyer] - prices[link.seller]) for link in market.links
    )
