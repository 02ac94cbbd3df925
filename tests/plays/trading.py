"""Traders on the stage: a round is a second, prices in EUR/kWh, one market period."""

from collections.abc import Sequence

from tests.plays.stage import Stage, number

from peercell.agents.messages import Message
from peercell.agents.protocol import Role
from peercell.agents.trading.blocks import Block, Offer
from peercell.agents.trading.closing import GATE_ATTEMPT
from peercell.agents.trading.links import Link
from peercell.agents.trading.messages import (
    Confirmation,
    CurveQuote,
    EpochOpened,
    FrozenPrice,
    Hello,
    LinkTrade,
    PriceMoved,
    Tally,
    TraderSettled,
)
from peercell.agents.trading.settings import MarketCell, TraderSettings
from peercell.agents.trading.trader import MicrogridTrader

VOLL_EUR_PER_KWH = 300.0


class Trading:
    """Traders with a load and one block of generation each, and lines between them."""

    def __init__(self) -> None:
        self.offers: dict[str, Offer] = {}
        self.links: dict[str, tuple[Link, ...]] = {}
        self.gate_s = 600.0

    def role(self, name: str) -> Role:
        """See Cast.role."""
        return MicrogridTrader(self.settings(name))

    def settings(self, name: str) -> TraderSettings:
        """Return what a trader is told."""
        cells = (
            MarketCell(pair, (pair.split("|")[0], pair.split("|")[1]), links)
            for pair, links in self.links.items()
        )
        roster = tuple(self.offers)
        return TraderSettings(
            name=name,
            offers=(self.offers[name],),
            voll_eur_per_kwh=VOLL_EUR_PER_KWH,
            roster=roster,
            cells=tuple(cell for cell in cells if name in cell.members),
            gossip_peers=tuple(peer for peer in roster if peer != name),
            tolerance=1e-4,
            gate_closure_s=self.gate_s,
        )

    def text(self, thing: Message) -> str:
        """See Cast.text."""
        return _pricing(thing) or _closing(thing) or _fact(thing)

    def do(self, _stage: Stage, verb: str, words: Sequence[str]) -> list[str]:
        """See Cast.do: `trader a load 4 costs 10 + 2`, `line a b fee 1 slope 0.5`, `gate 4`."""
        match verb, words:
            case "trader", [name, "load", load, "costs", price, "+", slope]:
                block = Block(float(price), float(slope))
                self.offers[name] = Offer(float(load), (block,))
            case "line", [one, other, "fee", fee, "slope", slope, *rest]:
                most = float(rest[1]) if rest else 1e9
                links = [Link(a, b, float(fee), float(slope), most) for a, b in _both(one, other)]
                self.links[f"{one}|{other}"] = tuple(links)
            case "gate", [seconds]:
                self.gate_s = float(seconds)
            case _:
                raise KeyError(verb)
        return []


def _pricing(thing: Message) -> str:
    match thing:
        case Hello():
            return "hello"
        case CurveQuote(price_eur_per_kwh=(price,), level_eur_per_kwh=(level,)):
            return f"#{thing.seq} price {number(price)}, without you {number(level)}"
        case _:
            return ""


def _closing(thing: Message) -> str:
    match thing:
        case FrozenPrice(price_eur_per_kwh=(price,), attempt=attempt):
            closing = "gate" if attempt >= GATE_ATTEMPT else f"frozen {attempt}"
            return f"{closing} at {number(price)}{', has yours' if thing.heard else ''}"
        case Tally(votes=votes):
            count = int.from_bytes(votes, "little").bit_count()
            return f"good enough for {count}"
        case Confirmation(sold_kwh=(sold,), bought_kwh=(bought,)):
            heard = ", has yours" if thing.heard else ""
            return f"sells {number(sold)}, buys {number(bought)}{heard}"
        case _:
            return ""


def _fact(thing: Message) -> str:
    match thing:
        case PriceMoved(price_eur_per_kwh=(price,)):
            return f"price {number(price)}"
        case TraderSettled():
            return _settled(thing)
        case EpochOpened(epoch=epoch):
            return f"epoch {epoch}"
        case _:
            return ""


def _settled(fact: TraderSettled) -> str:
    word = "settled" if fact.certified else "settled at the gate"
    made, price = number(fact.generation_kwh[0]), number(fact.price_eur_per_kwh[0])
    parts = [f"{word} at {price}, makes {made}", *map(_trade, fact.trades)]
    parts += [f"unconfirmed by {peer}" for peer in fact.unconfirmed]
    return ", ".join(parts)


def _both(one: str, other: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (one, other), (other, one)


def _trade(trade: LinkTrade) -> str:
    if trade.sold_kwh[0]:
        return f"sells {number(trade.sold_kwh[0])} to {trade.peer}"
    return f"buys {number(trade.bought_kwh[0])} from {trade.peer}"
