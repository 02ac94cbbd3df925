"""How an instance is traded out by real processes: one for each trader, over ZeroMQ."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, structs

from peercell.agents.errors import PeercellError
from peercell.agents.trading.messages import TraderSettled, TradingMessage
from peercell.broker.faults.kinds import Loss
from peercell.broker.faults.orders import Order
from peercell.broker.home import CellHome
from peercell.broker.outcomes.recorded import count_sent, facts
from peercell.broker.processes.cell_runs import end
from peercell.broker.processes.launch import launch
from peercell.broker.processes.operate import wait_until_up
from peercell.broker.processes.plan import Plan
from peercell.broker.roles import CELL_MESSAGES, peer_spec
from peercell.broker.solving.instance import Instance, to_market
from peercell.broker.solving.trade import (
    SETTLE_ROUNDS,
    SolveSettings,
    TradeResult,
    trade_result,
    trader_settings,
)

# s; long enough for a message to arrive within a round on a busy machine.
ROUND_S = 0.02
UP_S, UP_TRADER_S = 20.0, 0.5
POLL_S = 0.05


def solve_with_processes(
    instance: Instance, settings: SolveSettings, pause: Callable[[float], None] = time.sleep
) -> TradeResult:
    """Return how an instance ends when each of its traders is a process.

    Parameters
    ----------
    instance : a market of one period
    settings : method, tolerance, seed, and the share of messages to lose
    pause : waits so many s between two looks; may raise, which ends the processes

    Raises
    ------
    PeercellError : a process did not come up, or did not settle in time.
    """
    market = to_market(instance)
    # The path of a socket has to be short, so this is no folder of the user's.
    folder = Path(tempfile.mkdtemp(prefix="peercell-trade-"))
    specs = (
        peer_spec(name, "microgrid trader", _in_real_time(told, settings), settings.seed)
        for name, told in trader_settings(market, settings).items()
    )
    plan = Plan(
        cell="trade",
        folder=str(folder / "trade"),
        config="instance",
        peers=tuple(specs),
        unions=(CELL_MESSAGES,),
        faults=(Order(id="drop", fault=Loss(share=settings.faults.drop), seed=settings.seed),),
    )
    home = CellHome(Path(plan.folder))
    try:
        launch(plan)
        wait_until_up(home.folder, UP_S + UP_TRADER_S * len(plan.peers), pause)
        settled = _settled(home, tuple(market.offers), settings, pause)
        messages = sum(count_sent(home.journal(name), TradingMessage) for name in market.offers)
        return trade_result(market, settled, messages)
    finally:
        end(home.folder)
        shutil.rmtree(folder, ignore_errors=True)


def _in_real_time(told: Struct, settings: SolveSettings) -> Struct:
    """Return settings whose rounds take real time."""
    return structs.replace(told, round_s=ROUND_S, gate_closure_s=settings.rounds_max * ROUND_S)


def _settled(
    home: CellHome,
    names: tuple[str, ...],
    settings: SolveSettings,
    pause: Callable[[float], None],
) -> dict[str, TraderSettled]:
    """Return what each trader has settled, once all have."""
    deadline_s = time.monotonic() + UP_S + (settings.rounds_max + SETTLE_ROUNDS) * ROUND_S
    settled: dict[str, TraderSettled] = {}
    while missing := [name for name in names if name not in settled]:
        for name in missing:
            for fact in facts(home.journal(name), TraderSettled, since_s=0.0):
                settled[name] = fact
        if time.monotonic() > deadline_s:
            raise PeercellError(
                f"{missing[0]} has not settled", f"{len(missing)} of {len(names)} have not"
            )
        pause(POLL_S)
    return settled
