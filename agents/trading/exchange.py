"""How a trader finds its price: by exchanging residual curves, or plain prices, with its cells.

Only neighbours' messages are used, the newest of each; hearing one twice or late changes nothing.
"""

from typing import Protocol

import numpy as np

from peercell.agents.messages import Message
from peercell.agents.protocol import Send
from peercell.agents.trading.blocks import Supply
from peercell.agents.trading.curves import (
    BilateralCurve,
    CellLines,
    ClearingCurve,
    cell_table,
)
from peercell.agents.trading.links import LinkPair, links_by_peer
from peercell.agents.trading.messages import CurveQuote
from peercell.agents.trading.response import Responder
from peercell.agents.trading.settings import MarketCell, Method, TraderSettings

# A line that moved less is not told again before the heartbeat: a level by this share of VOLL times
# the tolerance, a slope by this share. Looking at levels alone leaves gaps for good: slopes go on
# improving.
LEVEL_CHANGE = 3e-5
SLOPE_CHANGE = 1e-3
# Looks of silence before a quote is told again; each further silence is twice as long, up to the
# heartbeat. What is lost is soon made good, and a market at rest is quiet.
REPEAT_LOOKS = 2
# Looks after which a neighbour that is silent is not waited for before learning from moves.
LEARN_LOOKS = 20
# EUR/kWh; levels are hypothetical prices, kept within what a message may carry.
LEVEL_MAX = 1e9


class Pricing(Protocol):
    """A way to find prices; the trader around it does not care which.

    `prices` are the trader's own, `heard` the last ones of its neighbours, EUR/kWh each period.
    """

    prices: tuple[float, ...]
    heard: dict[str, tuple[float, ...]]

    def hear(self, sender: str, message: Message) -> list[Send]:
        """Take a quote or a bid in; return what must be answered at once."""
        ...

    def forget(self, peer: str) -> None:
        """Treat a neighbour as absent until it speaks again."""
        ...

    def offer(self, supplies: tuple[Supply, ...]) -> None:
        """Change load and blocks."""
        ...

    def look(self, epoch: int) -> list[Send]:
        """Look at the market once and return what the neighbours must hear."""
        ...

    def tell(self, peer: str) -> list[Send]:
        """Return what the peer was told last."""
        ...

    def imports(self) -> dict[str, tuple[float, ...]]:
        """Return what is planned to be imported from each neighbour, kWh, export negative."""
        ...


class CellBook:
    """What one trader knows of one market cell, and what it has told it."""

    def __init__(self, name: str, cell: MarketCell) -> None:
        self.name = cell.name
        self.own = cell.members.index(name)
        self.members = cell.members
        self.peers = tuple(member for member in cell.members if member != name)
        self.links = links_by_peer(name, cell.links)
        self.bilateral = len(cell.members) == 2
        self.quotes: dict[str, CurveQuote] = {}
        # Who is to be heard before something is learnt, and who has repeated its last quote: it
        # says nothing for long, so nobody waits for it.
        self.awaited: set[str] = set()
        self.resting: set[str] = set()
        self.sent: CurveQuote | None = None
        self.sent_look = 0
        self.silence = REPEAT_LOOKS
        self._table = cell_table(cell.members, cell.links)
        self._present: tuple[int, ...] = ()
        self._among = self._table

    def curve_to(self, peer: str, period: int, plain: bool) -> BilateralCurve:
        """Return the import curve towards one neighbour; with `plain` its price stands still."""
        quote = self.quotes.get(peer)
        pair = self.links.get(peer, _NO_LINKS)
        if quote is None:
            return BilateralCurve(None, None, 0.0, 1.0)
        level, slope = quote.level_eur_per_kwh[period], quote.slope_eur_per_kwh2[period]
        if plain:
            level, slope = quote.price_eur_per_kwh[period], 0.0
        return BilateralCurve(pair.inward, pair.outward, level, slope)

    def imports(self, period: int, price: float, plain: bool) -> dict[str, float]:
        """Return what is imported from each neighbour at an own price, kWh, export negative."""
        if plain or self.bilateral:
            return {peer: self.curve_to(peer, period, plain).at(price) for peer in self.links}
        shares = dict.fromkeys(self.links, 0.0)
        curve = self.clearing(period)
        for k, energy in zip(self._present, curve.shares(price), strict=True):
            if self.members[k] in shares:
                shares[self.members[k]] = energy
        return shares

    def clearing(self, period: int) -> ClearingCurve:
        """Return the import curve of a cell of more than two, among those who have spoken."""
        present = tuple(
            k for k, member in enumerate(self.members) if k == self.own or member in self.quotes
        )
        if present != self._present:
            self._present = present
            self._among = self._table.among(list(present))
        heard = [self.quotes.get(self.members[k]) for k in present]
        said = np.array(
            [
                (0.0, 1.0, 0.0)
                if quote is None
                else (
                    quote.level_eur_per_kwh[period],
                    quote.slope_eur_per_kwh2[period],
                    quote.price_eur_per_kwh[period],
                )
                for quote in heard
            ]
        ).T
        lines = CellLines(said[0], said[1], said[2])
        return ClearingCurve(self._among, present.index(self.own), lines)

    def changed(self, quote: CurveQuote, small: float) -> bool:
        """Tell whether a new quote is worth a message: more than a small price in EUR/kWh apart."""
        old = self.sent
        if old is None or old.epoch != quote.epoch:
            return True
        return (
            _moved(old.price_eur_per_kwh, quote.price_eur_per_kwh, small)
            or _moved(old.level_eur_per_kwh, quote.level_eur_per_kwh, small)
            or any(
                abs(new - known) > SLOPE_CHANGE * known
                for new, known in zip(quote.slope_eur_per_kwh2, old.slope_eur_per_kwh2, strict=True)
            )
        )


_NO_LINKS = LinkPair()


def _moved(before: tuple[float, ...], now: tuple[float, ...], small: float) -> bool:
    """Tell whether any entry differs by more than a small amount."""
    return any(abs(new - old) > small for old, new in zip(before, now, strict=True))


def _line(quote: CurveQuote) -> tuple[tuple[float, ...], ...]:
    """Return what a quote says, whenever it was sent."""
    return quote.price_eur_per_kwh, quote.level_eur_per_kwh, quote.slope_eur_per_kwh2


class CurveExchange:
    """Residual-curve exchange, and price relaxation, its form without slopes.

    Parameters
    ----------
    settings : of the trader
    supplies : its cost curve in each period
    session : host time of its start; orders its messages after those of an earlier life
    """

    def __init__(
        self, settings: TraderSettings, supplies: tuple[Supply, ...], session: int
    ) -> None:
        self.settings = settings
        self.session = session
        self._small = LEVEL_CHANGE * settings.tolerance * settings.voll_eur_per_kwh
        self.plain = settings.method is Method.RELAX
        books = [CellBook(settings.name, cell) for cell in settings.cells]
        # Responders take curves with known bends first.
        self.books = sorted(books, key=lambda book: not book.bilateral)
        self._by_name = {book.name: book for book in self.books}
        self.periods = [Responder(supply) for supply in supplies]
        self.prices = tuple(period.price for period in self.periods)
        self.heard: dict[str, tuple[float, ...]] = {}
        # None until a look has known of quotes.
        self._planned: dict[str, tuple[float, ...]] | None = None
        self._learnt: dict[str, tuple[float, ...]] = {}
        self._learnt_look = 0
        self._news = True
        self._looks = 0
        self._seq = 0

    def hear(self, sender: str, message: Message) -> list[Send]:
        """See Pricing.hear; a quote out of range is ignored."""
        if not isinstance(message, CurveQuote):
            return []
        book = self._by_name.get(message.cell)
        if book is None or sender not in book.peers or not self._valid(message):
            return []
        old = book.quotes.get(sender)
        if old is None or (message.session, message.seq) > (old.session, old.seq):
            book.quotes[sender] = message
            book.awaited.discard(sender)
            if old is not None and _line(old) == _line(message):
                book.resting.add(sender)
            else:
                book.resting.discard(sender)
            self.heard[sender] = message.price_eur_per_kwh
            self._news = True
        return []

    def _valid(self, quote: CurveQuote) -> bool:
        size = len(self.periods)
        return (
            len(quote.price_eur_per_kwh) == size
            and len(quote.level_eur_per_kwh) == size
            and len(quote.slope_eur_per_kwh2) == size
            and max(quote.price_eur_per_kwh) <= self.settings.voll_eur_per_kwh
        )

    def forget(self, peer: str) -> None:
        """See Pricing.forget."""
        self.heard.pop(peer, None)
        self._learnt.pop(peer, None)
        for book in self.books:
            if book.quotes.pop(peer, None) is not None:
                self._news = True

    def offer(self, supplies: tuple[Supply, ...]) -> None:
        """See Pricing.offer; what was learnt stays as a warm start."""
        for period, supply in zip(self.periods, supplies, strict=True):
            period.offer(supply)
        self._news = True

    def look(self, epoch: int) -> list[Send]:
        """See Pricing.look: quotes that changed, and after some silence those that did not."""
        self._looks += 1
        news, self._news = self._news, False
        if news:
            waits = any(book.awaited for book in self.books)
            learn = not waits or self._looks - self._learnt_look >= LEARN_LOOKS
            for t, period in enumerate(self.periods):
                self._respond(t, period, self._moves(t) if learn else None)
            if learn:
                self._learnt_look = self._looks
                for book in self.books:
                    book.awaited = book.quotes.keys() - book.resting
                self._learnt = dict(self.heard)
            self.prices = tuple(period.price for period in self.periods)
            self._planned = self._plan() if self.heard else None
        sends = []
        for k, book in enumerate(self.books):
            silent = self._looks - book.sent_look >= book.silence
            if not (news or silent or book.sent is None or book.sent.epoch != epoch):
                continue
            quote = self._quote(book, k, epoch)
            changed = book.changed(quote, self._small)
            if silent or changed:
                doubled = min(2 * book.silence, self.settings.heartbeat_rounds)
                book.silence = REPEAT_LOOKS if changed else doubled
                self._seq += 1
                book.sent, book.sent_look = quote, self._looks
                sends += [Send(peer, quote) for peer in book.peers]
        return sends

    def _moves(self, t: int) -> list[float]:
        """Return by how much each neighbour's price moved since something was last learnt."""
        return [self.heard[peer][t] - before[t] for peer, before in self._learnt.items()]

    def _respond(self, t: int, period: Responder, moves: list[float] | None) -> None:
        if self.plain:
            period.relax(
                [book.curve_to(peer, t, plain=True) for book in self.books for peer in book.peers],
                len(self.books),
            )
            return
        period.respond(
            [book.curve_to(book.peers[0], t, plain=False) for book in self.books if book.bilateral],
            [book.clearing(t) for book in self.books if not book.bilateral],
            moves,
        )

    def _quote(self, book: CellBook, k: int, epoch: int) -> CurveQuote:
        return CurveQuote(
            book.name,
            epoch,
            self.session,
            self._seq + 1,
            self.prices,
            tuple(min(max(p.lines[k][0], -LEVEL_MAX), LEVEL_MAX) for p in self.periods),
            tuple(period.lines[k][1] for period in self.periods),
        )

    def tell(self, peer: str) -> list[Send]:
        """See Pricing.tell."""
        return [
            Send(peer, book.sent)
            for book in self.books
            if book.sent is not None and peer in book.peers
        ]

    def imports(self) -> dict[str, tuple[float, ...]]:
        """See Pricing.imports: at the last look, when own supply and imports met the load.

        Where no look has known of quotes yet, at those that have come since.
        """
        return self._plan() if self._planned is None else self._planned

    def _plan(self) -> dict[str, tuple[float, ...]]:
        """Return what is imported from each neighbour at the present prices and quotes, kWh."""
        planned: dict[str, list[float]] = {}
        for book in self.books:
            for t, price in enumerate(self.prices):
                for peer, energy in book.imports(t, price, self.plain).items():
                    planned.setdefault(peer, [0.0] * len(self.prices))[t] += energy
        return {peer: tuple(energies) for peer, energies in planned.items()}
