"""How a picture of a cell reads on a terminal."""

from collections.abc import Iterator

from peercell.broker.status.balance import Messages
from peercell.broker.status.picture import Picture, Settled
from peercell.broker.terminal.output import builtins, table

MEMBER_COLUMNS = {
    "member": "",
    "interval": "",
    "rounds": "",
    "price_eur_per_kwh": ".4f",
    "traded_kwh": ".3f",
    "unserved_kwh": ".3f",
    "saving_eur": ".4f",
    "gap_eur": ".1e",
}


def status_text(seen: Picture) -> str:
    """Return a picture in some lines and a table of the members."""
    return "\n".join(_lines(seen))


def _lines(seen: Picture) -> Iterator[str]:
    yield f'cell "{seen.cell}"  {"converged" if seen.converged else "not converged"}'
    yield from (f"  BROKEN     {said}; no cell may ever do that" for said in seen.broken)
    yield from (f"  unmet      {reason}" for reason in seen.unmet)
    yield from (f"  fault      {each}" for each in seen.faults)
    yield f"  interval   {interval_text(seen)}"
    if seen.settled is not None:
        yield f"  settled    {settled_text(seen.settled)}"
    totals = seen.totals
    yield (
        f"  so far     {totals.settled} settled, {totals.fallbacks} plans without certificate,"
        f" {totals.unsettled} missing, {totals.late_offers} late offers,"
        f" saved {totals.saving_eur:.2f} EUR"
    )
    yield f"  grid       {grid_text(seen)}"
    if seen.messages is not None:
        yield f"  messages   {messages_text(seen.messages)}"
    peers = ", ".join(f"{count} {state}" for state, count in seen.peers.items())
    yield f"  peers      {peers}"
    rows = [row for each in seen.members if isinstance(row := builtins(each), dict)]
    yield table(rows, MEMBER_COLUMNS)


def messages_text(messages: Messages) -> str:
    """Return what became of all messages, with the reasons of losses."""
    wrong = messages.unaccounted
    return (
        f"{messages.sent:,} sent = {messages.applied:,} applied"
        f" + {_counts(messages.dropped)} dropped + {messages.in_flight:,} in flight;"
        f" {_counts(messages.unsent)} not sent; {_counts(messages.refused)} refused"
        + (f"; {wrong:,} UNACCOUNTED FOR" if wrong else "")
    )


def _counts(by_reason: dict[str, int]) -> str:
    """Return the sum of some counts, and what it is made of."""
    named = ", ".join(f"{count:,} {reason}" for reason, count in by_reason.items())
    return f"{sum(by_reason.values()):,}" + (f" ({named})" if named else "")


def interval_text(seen: Picture) -> str:
    """Return where the market is."""
    if seen.delivered is None:
        return f"{seen.phase}, the first of {seen.intervals} is still to come"
    at = "" if seen.at is None else f" ({seen.at:%H:%M})"
    traded = "" if seen.traded is None else f", {seen.traded} is traded ({seen.phase})"
    return f"{seen.delivered} of {seen.intervals} is delivered{at}{traded}"


def settled_text(settled: Settled) -> str:
    """Return what the newest interval came to."""
    apart = "" if settled.islands == 1 else f" in {settled.islands} islands"
    return (
        f"{settled.interval} ({settled.at:%H:%M}){apart}: prices {price_text(settled)} EUR/kWh,"
        f" {settled.traded_kwh:.2f} kWh traded, {settled.saving_eur:.3f} EUR saved,"
        f" at most {settled.gap_eur:.1e} EUR ({settled.relative_gap:.1e}) from the best plan"
    )


def price_text(settled: Settled) -> str:
    """Return the lowest and the highest price of the members."""
    return f"{settled.price_eur_per_kwh_min:.4f} .. {settled.price_eur_per_kwh_max:.4f}"


def loading_text(percent: float | None) -> str:
    """Return the highest loading of a branch to stand behind something; "" without a rating."""
    return "" if percent is None else f", {percent:.0f} % loaded"


def grid_text(seen: Picture) -> str:
    """Return the voltages, and which limits are broken."""
    grid = seen.grid
    if grid is None:
        return "the DSO has not heard of it yet"
    broken = [f"{each.kind} {each.element} {each.value:.4g}" for each in grid.violations[:3]]
    more = f" and {len(grid.violations) - 3} more" if len(grid.violations) > 3 else ""
    named = f": {', '.join(broken)}{more}" if broken else ""
    return (
        f"{grid.v_min_pu:.4f} .. {grid.v_max_pu:.4f} pu{loading_text(grid.loading_percent_max)},"
        f" losses {grid.losses_kw:.2f} kW, {len(grid.violations)} violations{named}"
    )
