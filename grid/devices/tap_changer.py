"""When an on-load tap changer moves, and at which positions a network's changers come to rest."""

from collections.abc import Callable, Sequence

from msgspec import Struct, structs

from peercell.agents.errors import DeviceError
from peercell.grid.devices.errors import HuntingError
from peercell.grid.devices.quantity import number
from peercell.grid.model import TapChanger, Transformer


class ChangerState(Struct, frozen=True, kw_only=True):
    """What a tap changer remembers.

    `side` is where the voltage was last: 1 above the band, -1 below it, 0 inside or locked out;
    `since_s` when it came there or the changer moved. `moved_at_pu` is the deviation from the
    set-point that caused the last move, 0 once the voltage has been inside the band.
    """

    position: int
    side: int = 0
    since_s: float = 0.0
    moved_at_pu: float = 0.0


def observe(
    transformer: Transformer, state: ChangerState, voltage_pu: float, now_s: float
) -> ChangerState:
    """Return the state of a changer after a look at the voltage, at most one position further.

    A voltage outside the band, on one side for the changer's delay, moves it by one position
    towards the band; the delay then runs again (definite time). It stays at the end of its table.

    Lock-out: where a step is wider than the band, the voltage jumps across it and a changer would
    step back and forth without end. A move is refused that would take back the last one when the
    voltage has since crossed the band by no more than a step does, and is no further from the
    set-point than before. So the changer rests at the better of the two positions. A voltage inside
    the band, or one that the last step does not explain, ends the lock.

    Parameters
    ----------
    transformer : with a changer that holds a bus on the low-voltage side.
    voltage_pu : at the changer's bus.
    now_s : simulated time, never before the last look.

    Raises
    ------
    DeviceError : no changer, a changer of the high-voltage bus, a voltage that is not a number.
    """
    changer = _changer(transformer)
    deviation_pu = float(number("voltage_pu", voltage_pu)) - changer.v_set_pu
    side = (deviation_pu > 0.0) - (deviation_pu < 0.0)
    if abs(deviation_pu) <= changer.dead_band_pu / 2.0:
        return ChangerState(position=state.position, since_s=now_s)
    position = _next_position(transformer, state.position, lower_voltage=side > 0)
    step = abs(transformer.at(position).ratio / transformer.at(state.position).ratio - 1.0)
    if _jumped(state.moved_at_pu, deviation_pu, step):
        # Side 0, so that the delay begins when the lock ends.
        return structs.replace(state, side=0, since_s=now_s)
    if side != state.side:
        state = structs.replace(state, side=side, since_s=now_s)
    if now_s - state.since_s < changer.delay_s or position == state.position:
        return state
    return ChangerState(position=position, side=side, since_s=now_s, moved_at_pu=deviation_pu)


def rest_positions(
    transformers: Sequence[Transformer],
    positions: Sequence[int],
    voltages_of: Callable[[Sequence[int]], Sequence[float]],
) -> tuple[int, ...]:
    """Return the positions at which all changers stay, as after a long time without other change.

    Parameters
    ----------
    transformers : those with a changer.
    positions : where they start.
    voltages_of : the voltage at each changer's bus in pu when the changers stand like this.

    Raises
    ------
    HuntingError : the changers drive each other on without end.
    DeviceError : see `observe`.
    """
    at_once = [
        structs.replace(unit, changer=structs.replace(_changer(unit), delay_s=0.0))
        for unit in transformers
    ]
    states = [ChangerState(position=position) for position in positions]
    rounds = 2 * sum(len(unit.taps) for unit in transformers) + 1
    for _ in range(rounds):
        voltages = voltages_of([state.position for state in states])
        after = [
            observe(unit, state, voltage, 0.0)
            for unit, state, voltage in zip(at_once, states, voltages, strict=True)
        ]
        if [state.position for state in after] == [state.position for state in states]:
            return tuple(state.position for state in after)
        states = after
    names = ", ".join(unit.id for unit in transformers)
    raise HuntingError(
        f"the tap changers {names} do not come to rest",
        f"they still move after {rounds} rounds",
        "give the changers in a row different delays, or wider bands",
    )


def _changer(transformer: Transformer) -> TapChanger:
    changer = transformer.changer
    if changer is None:
        raise DeviceError(f'transformer "{transformer.id}" has no tap changer')
    if changer.bus == transformer.hv_bus:
        raise DeviceError(
            f'the tap changer of "{transformer.id}" cannot hold its high-voltage bus',
            "its steps act on the low-voltage side",
            "name a bus on the low-voltage side",
        )
    return changer


def _jumped(before_pu: float, after_pu: float, step_pu: float) -> bool:
    """Tell whether a changer's own step explains that the voltage crossed the band to no harm."""
    crossed = before_pu * after_pu < 0.0
    swing_pu = abs(after_pu - before_pu)
    # Loads of constant power answer to a step with a little more than the step.
    return crossed and swing_pu <= 1.5 * step_pu and abs(after_pu) <= abs(before_pu)


def _next_position(transformer: Transformer, position: int, *, lower_voltage: bool) -> int:
    """Return the neighbouring position towards a lower or higher voltage, or the same at the end.

    A larger ratio lowers the voltage on the low-voltage side.
    """
    order = sorted(transformer.taps, key=lambda tap: tap.ratio)
    places = [tap.position for tap in order]
    place = places.index(position) + (1 if lower_voltage else -1)
    return places[min(max(place, 0), len(places) - 1)]
