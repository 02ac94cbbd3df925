"""How a fault reads on a terminal, and how to write it again."""

from typing import TYPE_CHECKING

from msgspec import structs, to_builtins

from peercell.broker.faults.kinds import AnyFault, Kill
from peercell.broker.faults.messages import FaultState
from peercell.broker.faults.plan import Step

if TYPE_CHECKING:
    from peercell.broker.faults.running import FaultRow

NAMED_MAX = 4

_TEXTS = {
    "loss": "loss {share} on {on}",
    "delay": "delay {delay_s} ± {jitter_s} on {on}",
    "duplicate": "duplicate {share} on {on}",
    "reorder": "reorder {share} by up to {by_s} on {on}",
    "corrupt": "corrupt {share} on {on}",
    "bandwidth": "bandwidth {bytes_per_s:g} B/s on {on}",
    "partition": "partition {on}",
    "kill": "kill {on}, back after {restart_after_s}, memory {state}",
    "pause": "pause {on}",
    "slow": "slow {on} to {share}",
    "clock": "clock of {on} ahead by {ahead_s}, drifting {drift_ppm:g} ppm",
    "disk-full": "disk full of {on}",
    "lie": "lie {on}: price {price_eur_per_kwh:g} EUR/kWh",
    "replay": "replay {share} of {on} after {after_s}",
    "forge": "forge {share} of {on} in the name of {name}",
    "line-open": "line {line} open",
    "load-step": "load step {by_kw:g} kW at {on}",
    "pv-trip": "trip of {on}",
    "meter-noise": "meter noise {sigma_pu:g} pu at {on}",
    "islanding": "islanding of {microgrid}",
}


def fault_text(fault: AnyFault) -> str:
    """Return a fault in some words, such as `loss 30 % on all`."""
    told: dict[str, object] = {
        key: _shown(key, value) for key, value in structs.asdict(fault).items()
    }
    text = _TEXTS[fault.kind].format_map(told)
    return f"{text}, at {fault.point}" if isinstance(fault, Kill) and fault.point else text


def state_text(state: FaultState, now_s: float) -> str:
    """Return a fault that is on in some words, with its id and how long it is still on."""
    order = state.order
    until = "" if order.until_s is None else f", for {max(0.0, order.until_s - now_s):.0f} s more"
    return f"{order.id} {fault_text(order.fault)}{until}"


def step_text(step: Step) -> str:
    """Return a step of a plan in some words, with its time."""
    lasted = "" if step.for_s is None else f" for {step.for_s:.0f} s"
    return f"{step.name} {fault_text(step.fault)}, after {step.at_s:.0f} s{lasted}".strip()


def hit_text(row: "FaultRow", *, all_of_them: bool = False) -> str:
    """Return whom a fault hits, in some words, or with all names."""
    if row.links is not None:
        return f"{row.links} links"
    if all_of_them:
        return ", ".join(row.peers)
    named = ", ".join(row.peers[:NAMED_MAX])
    more = len(row.peers) - NAMED_MAX
    return f"{named} and {more} more" if more > 0 else named


def ends_text(row: "FaultRow") -> str:
    """Return how long a fault is still on, in some words."""
    if row.kind == "kill":
        return "over at once"
    return "until it is removed" if row.ends_s is None else f"ends in {row.ends_s:.0f} s"


def _shown(key: str, value: object) -> object:
    if isinstance(value, float) and key == "share":
        return f"{100.0 * value:g} %"
    if isinstance(value, float) and key.endswith("_s") and key != "bytes_per_s":
        return f"{value:g} s" if value >= 1.0 or not value else f"{1000.0 * value:g} ms"
    return to_builtins(value)
