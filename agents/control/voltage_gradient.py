"""What a voltage agent does by the first algorithm: push voltages back, by gradient descent.

First algorithm of section III of the paper: least squared deviation of the voltages beyond their
limits, by P and Q of all devices. Only broken voltages are gossiped; in each epoch every device
takes one step against them. Nothing in it weighs what a step costs, so it curtails more than
`voltage_dual`; it needs neither prices nor complete views.
"""

from peercell.agents.control.circle import Circle
from peercell.agents.control.device import Device
from peercell.agents.control.pricing import OVER, UNDER
from peercell.agents.control.rhythm import epoch_of, stamp_of
from peercell.agents.control.state_codec import pack, unpack
from peercell.agents.control.voltage_messages import State, StateEntry, VoltageFact
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event

# Step by the largest one that a quadratic of this curvature allows is 2.
_STEP = 1.9
# Share of the way back to its plan that a device goes in an epoch in which nothing is near a limit.
_LEAK, _FAR_PU = 0.05, 0.003


class VoltageGradient:
    """A voltage agent that descends on squared violations; see `Role` and `Law`."""

    quiet = b""

    def __init__(self, settings: VoltageSettings) -> None:
        self.circle = Circle(settings)
        self._band = settings.band
        self._left: list[tuple[float, float]] = [(0.0, 0.0)] * len(settings.place.devices)

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        return self.circle.step(event, now_s, self)

    def begin(self, now_s: float) -> None:
        """See Law.begin."""

    def turn(self, ended: int, now_s: float) -> list[Action]:
        """Take one step against what was told in the epoch that has ended."""
        del now_s
        devices = self.circle.station.devices()
        if not devices:
            return []
        push_kw = push_kvar = 0.0
        told = self._told(ended)
        for member, v_pu in told:
            over, under = self._band.excess(OVER, v_pu), self._band.excess(UNDER, v_pu)
            off = max(over, 0.0) - max(under, 0.0)
            if off and member in self.circle.places.tracks:
                per_kw, per_kvar = self.circle.places.tracks[member].shared(self.circle.track)
                push_kw += per_kw * off
                push_kvar += per_kvar * off
        rate = _STEP * self.circle.places.step_by_reach()
        leak = 0.0 if told else _LEAK
        self._left = [
            _moved(device, left, (rate * push_kw, rate * push_kvar), leak)
            for device, left in zip(devices, self._left, strict=True)
        ]
        return []

    def speak(self) -> bool:
        """Say a voltage that is near a limit or beyond."""
        circle = self.circle
        if circle.settings.place.bus is None:
            return True
        v_pu = circle.station.v_pu
        if max(self._band.excess(OVER, v_pu), self._band.excess(UNDER, v_pu)) > -_FAR_PU:
            stamp = stamp_of(circle.epoch, 0)
            circle.map.put(StateEntry(circle.settings.name, stamp, 0, pack(State(v_pu))))
        return True

    def tick(self, now_s: float) -> list[Action]:
        """Keep the devices where the steps have led them, beside their present plans."""
        station = self.circle.station
        chosen = [
            device.nearest(device.planned_kw + left[0], left[1])
            for device, left in zip(station.devices(), self._left, strict=False)
        ]
        return station.inject(chosen, now_s)

    def hear(
        self, sender: str, message: Message, news: list[VoltageFact], now_s: float
    ) -> list[Action]:
        """See Law.hear: what is told counts when its epoch ends."""
        del sender, message, news, now_s
        return []

    def look(self, now_s: float) -> list[Action]:
        """See Law.look."""
        return self.tick(now_s)

    def _told(self, epoch: int) -> list[tuple[int, float]]:
        """Return the members that have stated a voltage in an epoch, and this."""
        number = self.circle.number
        return [
            (number[entry.owner], state.v_pu)
            for entry in self.circle.map.of(StateEntry)
            if entry.owner in number
            and epoch_of(entry.epoch) == epoch
            and (state := unpack(entry.told)) is not None
        ]


def _moved(
    device: Device, left: tuple[float, float], push: tuple[float, float], leak: float
) -> tuple[float, float]:
    """Return by how much a device leaves its plan after a step against a push."""
    p_kw = device.planned_kw + (1.0 - leak) * left[0] - device.rating_kva * push[0]
    q_kvar = (1.0 - leak) * left[1] - device.rating_kva * push[1]
    p_kw, q_kvar = device.nearest(p_kw, q_kvar)
    return p_kw - device.planned_kw, q_kvar
