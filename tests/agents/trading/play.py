"""A market played out round by round in simulation, and what an all-seeing eye sees."""

from dataclasses import dataclass, field

from msgspec.structs import replace

from peercell.agents.protocol import Action, Event, Role, Send
from peercell.agents.trading.blocks import Supply
from peercell.agents.trading.certificate import Position, agreed, position, position_with
from peercell.agents.trading.links import Link, links_by_peer
from peercell.agents.trading.messages import Confirmation, TraderSettled
from peercell.agents.trading.settings import TraderSettings
from peercell.agents.trading.trader import MicrogridTrader, Phase
from peercell.broker.faults.network import LinkFaults
from peercell.broker.simulation import Simulation
from peercell.broker.solving.instance import Market
from peercell.broker.solving.trade import SolveSettings, trader_settings

ENDLESS = "somebody who never votes"


@dataclass
class Play:
    """Traders of a market on a simulation; one round is one second.

    An endless play has a member in its roster that never votes, so that trading goes on.
    """

    market: Market
    settings: SolveSettings = field(default_factory=SolveSettings)
    endless: bool = False

    def __post_init__(self) -> None:
        self.simulation = Simulation(self.settings.faults, self.settings.seed)
        voll = self.market.voll_eur_per_kwh
        self.supplies = {name: (Supply(o, voll),) for name, o in self.market.offers.items()}
        links: dict[str, list[Link]] = {name: [] for name in self.market.offers}
        for link in self.market.links:
            links[link.seller].append(link)
            links[link.buyer].append(link)
        self.links = {name: links_by_peer(name, found) for name, found in links.items()}
        self.told = trader_settings(self.market, self.settings)
        self.roles: dict[str, MicrogridTrader] = {}
        for name in self.market.offers:
            self.start(name, 0.0)

    def settings_of(self, name: str) -> TraderSettings:
        """Return what a trader of this play is told."""
        told = self.told[name]
        return replace(told, roster=(*told.roster, ENDLESS)) if self.endless else told

    def start(self, name: str, at_s: float) -> None:
        """Start a trader, again if need be."""
        self.roles[name] = MicrogridTrader(self.settings_of(name))
        self.simulation.start(name, self.roles[name], at_s)

    def run(self, rounds: int) -> None:
        """Let some rounds pass."""
        self.simulation.run(self.simulation.now_s + rounds)

    def settle(self, rounds_max: int = 2000) -> dict[str, TraderSettled]:
        """Run until all have settled and return what they said; it is an error if they do not."""
        for _ in range(rounds_max):
            if all(role.phase is Phase.SETTLED for role in self.roles.values()):
                break
            self.run(1)
        assert all(role.phase is Phase.SETTLED for role in self.roles.values())
        said = self.simulation.facts_of(TraderSettled)
        return {name: fact for _, name, fact in said if name in self.roles}

    @property
    def prices(self) -> dict[str, float]:
        """The prices of this moment."""
        return {name: role.prices_eur_per_kwh[0] for name, role in self.roles.items()}

    @property
    def gap(self) -> float:
        """The relative gap that a certificate of this moment would show, of the better plan.

        One is what follows from the prices, which traders vote on; the other is what both ends of
        each link plan, which is settled at the gate.
        """
        return min(self.gap_by_prices, self.gap_by_plans)

    @property
    def gap_by_prices(self) -> float:
        """The relative gap where what is traded follows from the prices of both ends."""
        frozen = {name: (price,) for name, price in self.prices.items()}
        plans = [
            position(self.supplies[name], self.links[name], frozen[name], frozen)
            for name in self.market.offers
        ]
        return _relative_gap(plans)

    @property
    def gap_by_plans(self) -> float:
        """The relative gap of what would be settled if the gate closed now."""
        prices = {name: role.prices_eur_per_kwh for name, role in self.roles.items()}
        imports = {name: role.pricing.imports() for name, role in self.roles.items()}
        plans = []
        for name, planned in imports.items():
            trades = {
                peer: agreed(own, imports[peer][name], prices[peer])
                for peer, own in planned.items()
            }
            plan = position_with(self.supplies[name], self.links[name], prices[name], trades)
            plans.append(plan)
        return _relative_gap(plans)

    def rounds_to(self, gap: float, rounds_max: int = 1000) -> int:
        """Run until the gap is this small and return how many rounds that took."""
        for count in range(rounds_max):
            if self.gap <= gap:
                return count
            self.run(1)
        raise AssertionError(f"the gap is still {self.gap:.1e} after {rounds_max} rounds")


def _relative_gap(plans: list[Position]) -> float:
    return sum(plan.gap_eur for plan in plans) / sum(plan.cost_eur for plan in plans)


class Liar:
    """A trader that confirms twice what it has sold."""

    def __init__(self, honest: Role) -> None:
        self.honest = honest

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        return [self._twisted(action) for action in self.honest.step(event, now_s)]

    def _twisted(self, action: Action) -> Action:
        if isinstance(action, Send) and isinstance(action.message, Confirmation):
            doubled = tuple(2.0 * energy for energy in action.message.sold_kwh)
            return Send(action.to, replace(action.message, sold_kwh=doubled))
        return action


LOSSY = LinkFaults(drop=0.3)
SLOW = LinkFaults(delay_s_min=0.0, delay_s_max=10.0)
BAD = LinkFaults(drop=0.3, duplicate=0.2, delay_s_min=0.0, delay_s_max=10.0)
