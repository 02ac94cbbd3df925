"""When trading may stop: tries to close the market by freezing, certifying and voting.

A try (attempt) starts when traders find their market quiet. Each freezes its price for the attempt
and tells its neighbours; with theirs it knows its part of the plan and its gap, and votes. When a
frozen plan turns out too poor, whoever sees it calls the next attempt; a higher number voids all
lower ones. Trading goes on meanwhile.
"""

from collections.abc import Mapping
from math import log2

from peercell.agents.agreement import Agreement
from peercell.agents.protocol import Send
from peercell.agents.trading.ballots import Ballots
from peercell.agents.trading.blocks import Supply
from peercell.agents.trading.certificate import Position, position, rounding_eur
from peercell.agents.trading.links import LinkPair
from peercell.agents.trading.messages import FrozenPrice, Tally
from peercell.agents.trading.settings import TraderSettings

# The attempt under which a plan of the gate is confirmed: no vote gets so far.
GATE_ATTEMPT = 2**40
# Rounds after which a missing answer is asked for again; the way there and back takes one.
ASK_ROUNDS = 2
# Rounds for which the market must look quiet before a price is frozen.
QUIET_ROUNDS = 2
# Rounds after which an unchanged tally is told again.
REPEAT_ROUNDS = 5
# Gossip peers told in one round.
FANOUT = 2
# Share of the tolerance kept back for rounding in the sums of grants.
MARGIN = 1e-6

PriceVector = tuple[float, ...]


class Closing:
    """One trader's part in closing the market.

    Parameters
    ----------
    settings : of the trader
    links : its links by neighbour
    """

    def __init__(self, settings: TraderSettings, links: Mapping[str, LinkPair]) -> None:
        self.settings = settings
        self.links = links
        self._places = _places.of(settings.roster)
        self.own = self._places[settings.name]
        self._ballots = Ballots(self.own, len(settings.roster))
        self.excused = 0
        self.epoch = 0
        self.patience = 4 + int(log2(len(settings.roster)))
        self.open(0)

    def open(self, epoch: int) -> None:
        """Begin an epoch: all attempts of earlier ones are void."""
        self.epoch = epoch
        # The attempt and plan that all have voted for, and the last ones that we have voted for.
        self.decided: tuple[int, Position] | None = None
        self._pledge: tuple[int, Position] | None = None
        self.pledges: dict[int, Position] = {}
        # The last attempt that our price was frozen in.
        self.spoken = -1
        # An attempt that has come to its end, and that we know nothing of: we have forgotten it.
        self.missed: int | None = None
        self._strictness = 1.0
        # Rounds for which the market has looked quiet, whatever became of an attempt meanwhile.
        self._quiet = 0
        self._begin(0)

    def _begin(self, attempt: int) -> None:
        self.attempt = attempt
        self.frozen: PriceVector | None = None
        # Whether an earlier life of ours has spoken in it, whose price we do not know.
        self._is_spoken = False
        self.plan: Position | None = None
        self.agreement = Agreement(self.own, len(self.settings.roster))
        self.agreement.excused = self.excused
        self._heard: dict[str, PriceVector] = {}
        self._told: dict[str, tuple[Tally, int]] = {}
        self._age = 0
        self._next_peer = 0

    @property
    def said(self) -> tuple[int, int, int]:
        """What differs whenever there is more that others may rely on."""
        return self.epoch, self.spoken, len(self.pledges)

    def resume(self, spoken: int, pledges: Mapping[int, Position]) -> None:
        """Stand by what an earlier life has said in this epoch."""
        self.spoken = spoken
        self.pledges = dict(pledges)
        if pledges:
            last = max(pledges)
            self._pledge = (last, pledges[last])

    def join_late(self) -> None:
        """Take part from the next attempt on: an earlier life may have spoken in this one."""
        self._begin(max(self.attempt, self.spoken) + 1)

    def restarted(self, peer: str) -> None:
        """Void the attempt if a neighbour that restarted has, or may have, taken part in it."""
        if peer in self.links and (self.frozen or peer in self._heard):
            self._begin(self.attempt + 1)

    def excuse(self, peer: str, down: bool) -> None:
        """Count a member as down, or up again; its links count as open while it is down."""
        bit = self._bit(peer)
        self.excused = self.excused | bit if down else self.excused & ~bit
        if peer in self.links and self.decided is None:
            self._begin(self.attempt + 1)
        self.agreement.excused = self.excused
        self._note_vote()

    def hear_frozen(self, sender: str, message: FrozenPrice) -> list[Send]:
        """Take a neighbour's frozen price in; who repeats it and lacks ours is answered."""
        if not self._follow(message.attempt):
            return self.tell(sender)
        if sender not in self.links or len(message.price_eur_per_kwh) != len(self.settings.offers):
            return []
        self._is_spoken |= message.heard and self.frozen is None
        repeated = sender in self._heard
        if self._heard.setdefault(sender, message.price_eur_per_kwh) != message.price_eur_per_kwh:
            return self._part_from(sender)
        if repeated and not message.heard and self.frozen is not None:
            return [self._price_for(sender, self.frozen)]
        return []

    def _part_from(self, forgetful: str) -> list[Send]:
        """Void an attempt in which somebody has frozen a second price, unless all have voted."""
        if self.decided is None:
            self._begin(self.attempt + 1)
        return self.tell(forgetful)

    def hear_tally(self, sender: str, message: Tally) -> list[Send]:
        """Take votes and grants in; answer those who know less than what is decided."""
        votes = self._ballots.read(message.votes, message.blocks)
        if self.agreement.is_complete(votes):
            # An attempt that we have left may have come to its end without us.
            self.hear_decided(message.attempt)
        if self._follow(message.attempt):
            self._is_spoken |= not self.agreement.voted and bool(votes >> self.own & 1)
            self.agreement.hear(sender, votes, message.debt_eur, message.granted_eur)
            self._note_vote()
            if self.decided is None:
                return []
        # Who knows that all have voted is told nothing, so nobody answers an answer.
        return [] if votes == self.agreement.everyone else self.tell(sender)

    def hear_decided(self, attempt: int) -> None:
        """Take in that all have voted for an attempt, which counts if it is our last as well."""
        if self.decided is not None:
            return
        if self._pledge is not None and attempt == self._pledge[0]:
            self.decided = self._pledge
        elif attempt not in self.pledges:
            self.missed = attempt

    def hear_confirmed(self, attempt: int) -> None:
        """Take in that somebody settles an attempt, which counts if we have ever voted for it.

        Who settles has voted in no later one, and never will: so no later one comes to an end.
        """
        if self.decided is None and attempt in self.pledges:
            self.decided = (attempt, self.pledges[attempt])
        elif self.decided is None:
            self.missed = attempt

    def _follow(self, attempt: int) -> bool:
        """Tell whether a message's attempt is ours, after joining a later one."""
        if attempt > self.attempt and self.decided is None:
            self._begin(attempt)
        return attempt == self.attempt

    def _note_vote(self) -> None:
        """Remember the plan once we have voted for it, and that all have."""
        if self.plan is not None and self.agreement.voted:
            self._pledge = (self.attempt, self.plan)
            self.pledges[self.attempt] = self.plan
            if self.agreement.complete and self.decided is None:
                self.decided = self._pledge

    def look(
        self,
        supplies: tuple[Supply, ...],
        prices: PriceVector,
        peer_prices: Mapping[str, PriceVector],
    ) -> list[Send]:
        """Take one step towards closing, given the own and the neighbours' present prices."""
        self._age += 1
        sends: list[Send] = []
        quiet = self._is_quiet(supplies, prices, peer_prices)
        if quiet and self._failed(supplies):
            self._begin(self.attempt + 1)
        if self.frozen is None and not self._is_spoken and self._quiet >= QUIET_ROUNDS:
            sends += self._freeze(prices)
        elif self.frozen is not None and self.plan is None and self._age % ASK_ROUNDS == 0:
            sends += [self._price_for(peer, self.frozen) for peer in self._missing()]
        if self.frozen is not None and self.plan is None and not self._missing():
            self._certify(supplies, self.frozen)
        return sends + self.gossip()

    def _is_quiet(
        self,
        supplies: tuple[Supply, ...],
        prices: PriceVector,
        peer_prices: Mapping[str, PriceVector],
    ) -> bool:
        """Tell whether freezing the present prices would leave a small enough gap."""
        heard_all = all(peer in peer_prices for peer in self.links if self._counts(peer))
        if self.agreement.voted or not heard_all:
            return False
        now = position(supplies, self.links, prices, peer_prices)
        share = self._strictness * self.settings.tolerance * _turnover(now)
        quiet = now.gap_eur <= share + rounding_eur(supplies, self.links, now)
        self._quiet = self._quiet + 1 if quiet else 0
        return quiet

    def _failed(self, supplies: tuple[Supply, ...]) -> bool:
        """Tell whether this attempt cannot be saved by waiting: too poor, or too long in debt."""
        if self.plan is None or self.agreement.voted:
            return False
        share = self.settings.tolerance * _turnover(self.plan)
        if self.plan.gap_eur > share + rounding_eur(supplies, self.links, self.plan):
            return True
        if self._age > self.patience:
            # Nobody had slack to spare: bring a smaller gap next time.
            self._strictness *= 0.5
            return True
        return False

    def _freeze(self, prices: PriceVector) -> list[Send]:
        self.frozen = prices
        self.spoken = self.attempt
        self._age = 0
        return [self._price_for(peer, prices) for peer in self.links if self._counts(peer)]

    def _certify(self, supplies: tuple[Supply, ...], prices: PriceVector) -> None:
        heard = {peer: price for peer, price in self._heard.items() if self._counts(peer)}
        plan = position(supplies, self.links, prices, heard)
        self.plan = plan
        self._age = 0
        allowance = (1.0 - MARGIN) * self.settings.tolerance * plan.cost_eur
        rounding = rounding_eur(supplies, self.links, plan)
        self.agreement.declare(plan.gap_eur, allowance + rounding)
        self._note_vote()

    def _counts(self, peer: str) -> bool:
        return not self.excused or not self.excused & self._bit(peer)

    def _bit(self, peer: str) -> int:
        """Return the bit of a member in votes; 0 for who is none."""
        place = self._places.get(peer)
        return 0 if place is None else 1 << place

    def _missing(self) -> list[str]:
        return [peer for peer in self.links if peer not in self._heard and self._counts(peer)]

    def _price_for(self, peer: str, prices: PriceVector) -> Send:
        heard = peer in self._heard
        return Send(peer, FrozenPrice(self.epoch, self.attempt, prices, heard))

    def tell(self, peer: str) -> list[Send]:
        """Return what a peer must hear that does not know how trading ended."""
        return [Send(peer, self._tally(peer))]

    def gossip(self) -> list[Send]:
        """Return tallies for the next gossip peers that do not know what we know."""
        agreement = self.agreement
        spoken = agreement.voted or agreement.debt_eur > 0.0 or self.decided is not None
        if not spoken:
            return []
        sends = []
        peers = self.settings.gossip_peers
        for _ in range(len(peers)):
            peer = peers[self._next_peer % len(peers)]
            self._next_peer += 1
            tally = self._tally(peer)
            told, age = self._told.get(peer, (None, 0))
            late = self.decided is None and self._age - age >= REPEAT_ROUNDS
            if told != tally or late:
                self._told[peer] = (tally, self._age)
                sends.append(Send(peer, tally))
                if len(sends) == FANOUT:
                    break
        return sends

    def _tally(self, peer: str) -> Tally:
        agreement, place = self.agreement, self._places.get(peer, self.own)
        if self.decided is not None:
            votes, blocks = self._ballots.write(agreement.everyone, 0, place)
            return Tally(self.epoch, self.decided[0], votes, 0.0, 0.0, blocks)
        votes, blocks = self._ballots.write(agreement.votes, self.excused, place)
        granted_eur = agreement.granted_eur(peer)
        debt_eur = agreement.debt_eur
        return Tally(self.epoch, self.attempt, votes, debt_eur, granted_eur, blocks)


class _Places:
    """The place of each member; made once where thousands of traders share a roster."""

    def __init__(self) -> None:
        self._roster: tuple[str, ...] = ()
        self._places: Mapping[str, int] = {}

    def of(self, roster: tuple[str, ...]) -> Mapping[str, int]:
        """Return the places in a roster."""
        # Not by `lru_cache`: to hash the names takes as long as to number them.
        if roster is not self._roster:
            self._roster = roster
            self._places = {peer: place for place, peer in enumerate(roster)}
        return self._places


_places = _Places()


def _turnover(plan: Position) -> float:
    """Return the money that a position moves, EUR: what a gap is measured against."""
    sold = sum(
        price * energy
        for trade in plan.trades.values()
        for price, energy in zip(plan.price_eur_per_kwh, trade.sold_kwh, strict=True)
    )
    return plan.cost_eur + sold
