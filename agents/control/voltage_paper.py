"""What a voltage agent does by the letter of the paper: fixed steps, and push-sum for the prices.

The second algorithm as section III tells it: each agent raises the multiplier of its own limit in
proportion to what it measures, and a push-sum over all multipliers tells every agent all of them.
Nobody waits for anybody. It is here to compare with: a step that is safe for all is a small one, so
that mild cases take tens of epochs and severe ones never end; `voltage_dual` takes a handful.
"""

from hashlib import blake2b

import numpy as np

from peercell.agents.control.circle import Circle, session_at
from peercell.agents.control.pricing import OVER, UNDER
from peercell.agents.control.voltage_messages import VoltageFact
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, Send
from peercell.agents.push_sum import INPUT_MAX, PushSum
from peercell.agents.push_sum_messages import Heard, Sum

_STEP = 1.9


class VoltagePaper:
    """A voltage agent of the paper's second algorithm, for at most 64 members; see `Law`."""

    quiet = b""

    def __init__(self, settings: VoltageSettings) -> None:
        self.circle = Circle(settings)
        self.sums = PushSum([0.0] * len(settings.members), 1)
        seed = int.from_bytes(blake2b(settings.name.encode(), digest_size=8).digest())
        self._chance = np.random.default_rng(seed)
        self._over = self._under = 0.0

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        return self.circle.step(event, now_s, self)

    def begin(self, now_s: float) -> None:
        """See Law.begin."""
        self.sums = PushSum([0.0] * len(self.circle.number), session_at(now_s))

    def turn(self, ended: int, now_s: float) -> list[Action]:
        """Raise or lower the own multipliers by what is measured now."""
        del ended, now_s
        circle = self.circle
        station, places, settings = circle.station, circle.places, circle.settings
        if not station.sees or not circle.knows_all or settings.place.bus is None:
            return []
        step, v_pu, band = _STEP * places.step_by_price(), station.v_pu, settings.band
        self._over = max(self._over + step * band.excess(OVER, v_pu), 0.0)
        self._under = max(self._under + step * band.excess(UNDER, v_pu), 0.0)
        inputs = [0.0] * len(circle.number)
        inputs[circle.me] = min(max(self._over - self._under, -INPUT_MAX), INPUT_MAX)
        self.sums.set_input(inputs)
        return []

    def speak(self) -> bool:
        """See Law.speak: there is nothing that push-sum does not carry."""
        return True

    def tick(self, now_s: float) -> list[Action]:
        """Follow the prices, and pass shares of all multipliers on to the neighbours."""
        actions = [*self._links(), *self.look(now_s)]
        for _ in range(self.circle.settings.fan_out):
            told = self.sums.tick(self._chance)
            actions += [] if told is None else [Send(*told)]
        return actions

    def hear(
        self, sender: str, message: Message, news: list[VoltageFact], now_s: float
    ) -> list[Action]:
        """See Law.hear."""
        del news, now_s
        if not isinstance(message, Sum | Heard):
            return []
        answer = self.sums.receive(sender, message)
        return [] if answer is None else [Send(*answer)]

    def look(self, now_s: float) -> list[Action]:
        """See Law.look."""
        return self.circle.station.follow(*self._price(), now_s)

    def _links(self) -> list[Action]:
        """Pass shares on to those that the circle talks with, and take back what others have."""
        links = self.circle.links
        for peer in set(self.sums.links).difference(links):
            self.sums.close_link(peer)
        greetings = (self.sums.open_link(peer) for peer in links)
        return [Send(*greeting) for greeting in greetings if greeting is not None]

    def _price(self) -> tuple[float, float]:
        """Return the price of a kW and a kvar here, by what is known of all multipliers."""
        circle = self.circle
        means = self.sums.estimate()
        price_kw = price_kvar = 0.0
        if means is None or not circle.settings.place.devices:
            return price_kw, price_kvar
        tracks = circle.places.tracks
        for member, mean in enumerate(means):
            if mean and member in tracks:
                per_kw, per_kvar = tracks[member].shared(circle.track)
                price_kw += per_kw * mean * len(means)
                price_kvar += per_kvar * mean * len(means)
        return price_kw, price_kvar
