"""The queries that the power-flow benchmark times: each engine's best way to the same answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import pandapower as pp
import pandapower.networks as pn
from bench.measure import DRAWS, Query
from power_grid_model import CalculationMethod
from tests.oracles.opendss import OpenDssOracle
from tests.oracles.pandapower_net import PandapowerOracle
from tests.oracles.pgm import PowerGridModelOracle

from peercell.broker.cells import LoadedCell
from peercell.grid.admittance import Complex, Index, Real
from peercell.grid.feeder import Feeder
from peercell.grid.model import Cell
from peercell.grid.profiles import power_at

CHANGED = 5
NOON_S = 12 * 3600
NUMBA = find_spec("numba") is not None


@dataclass(frozen=True)
class Changes:
    """The first recorded noon of a cell, and what five of its assets do instead in each query."""

    assets: Index
    p_kw: Real
    q_kvar: Real
    base: tuple[Real, Real]

    @classmethod
    def of(cls, loaded: LoadedCell) -> "Changes":
        """Draw five assets that do something, at different buses; the same at every run."""
        cell, generator = loaded.cell, np.random.default_rng(5)
        noon = NOON_S // cell.timeline.step_s
        p_kw, q_kvar = (power[0] for power in power_at(cell, loaded.profiles, [noon]))
        buses = [customer.bus for customer in cell.customers for _ in customer.assets]
        busy = np.flatnonzero(p_kw)
        _, first = np.unique(np.array(buses)[busy], return_index=True)
        assets = np.sort(generator.choice(busy[first], CHANGED, replace=False))
        shares = generator.uniform(0.2, 1.2, (DRAWS, CHANGED))
        return cls(assets, p_kw[assets] * shares, q_kvar[assets] * shares, (p_kw, q_kvar))

    def powers(self, draw: int) -> tuple[Real, Real]:
        """Return P and Q of every asset in one query."""
        p_kw, q_kvar = (power.copy() for power in self.base)
        p_kw[self.assets], q_kvar[self.assets] = self.p_kw[draw], self.q_kvar[draw]
        return p_kw, q_kvar


def by_feeder(cell: Cell, changes: Changes) -> Query:
    """Return the query as a user writes it."""
    feeder = Feeder(cell)
    p_kw, q_kvar = (power.copy() for power in changes.base)

    def query(draw: int) -> object:
        p_kw[changes.assets], q_kvar[changes.assets] = changes.p_kw[draw], changes.q_kvar[draw]
        state = feeder.solve(p_kw, q_kvar)
        return np.abs(state.voltage), state.links.loading, state.links.losses_kw

    return query


def by_engine(cell: Cell, changes: Changes) -> Query:
    """Return the query on nodes, below the names of assets and buses."""
    feeder = Feeder(cell)
    engine = feeder.power_flow
    wiring = feeder._wiring  # noqa: SLF001 - what lies below the public call is measured here
    injected = [wiring.injection(_kva(*changes.powers(draw)))[0] for draw in range(DRAWS)]
    power = wiring.injection(_kva(*changes.base))[0]
    moved = np.flatnonzero((np.array(injected) != power).any(axis=0))
    values = [by_node[moved] for by_node in injected]

    def query(draw: int) -> object:
        power[moved] = values[draw]
        flow = engine.solve(power)
        links = engine.link_flow(flow.voltage)
        return np.abs(flow.voltage), links.loading, links.losses_kw

    return query


def _kva(p_kw: Real, q_kvar: Real) -> Complex:
    return np.asarray(p_kw + 1j * q_kvar)


def by_pandapower(cell: Cell, changes: Changes) -> Query:
    """Return the query by runpp at its defaults."""
    oracle = PandapowerOracle(cell)
    oracle.set(*changes.base)
    net, rows = oracle.net, changes.assets

    def query(draw: int) -> object:
        net.load.loc[rows, "p_mw"] = -changes.p_kw[draw] / 1e3
        net.load.loc[rows, "q_mvar"] = -changes.q_kvar[draw] / 1e3
        pp.runpp(net, numba=NUMBA)
        heat = net.res_line.pl_mw.to_numpy().sum() + net.res_trafo.pl_mw.to_numpy().sum()
        return net.res_bus.vm_pu, net.res_line.loading_percent, net.res_trafo, heat

    return query


def by_power_grid_model(cell: Cell, changes: Changes, method: CalculationMethod) -> Query:
    """Return the query by an update that stays and a calculation of what is asked for."""
    oracle = PowerGridModelOracle(cell)
    everything = np.arange(len(cell.assets))
    oracle.model.update(update_data=oracle.update(everything, *changes.base))
    outputs = {"node": ["u_pu"]} | {k: ["loading", "p_from", "p_to"] for k in oracle.kinds}
    updates = [
        oracle.update(changes.assets, changes.p_kw[draw], changes.q_kvar[draw])
        for draw in range(DRAWS)
    ]

    def query(draw: int) -> object:
        answer = oracle.calculate(updates[draw], method=method, outputs=outputs)
        return answer, sum(
            answer[k]["p_from"].sum() + answer[k]["p_to"].sum() for k in oracle.kinds
        )

    return query


def by_opendss(cell: Cell, changes: Changes, phases: int) -> Query:
    """Return the query by OpenDSS at a tolerance of 1e-8."""
    oracle = OpenDssOracle(cell, tolerance=1e-8, phases=phases)
    oracle.set(np.arange(len(cell.assets)), *changes.base)

    def query(draw: int) -> object:
        oracle.set(changes.assets, changes.p_kw[draw], changes.q_kvar[draw])
        return oracle.calculate()

    return query


def all_voltages(cell: Cell, changes: Changes) -> dict[str, Query]:
    """Return the queries for all voltages alone, by engine."""
    feeder = Feeder(cell)
    wiring = feeder._wiring  # noqa: SLF001 - what lies below the public call is measured here
    powers = [wiring.injection(p + 1j * q)[0] for p, q in map(changes.powers, range(DRAWS))]
    dss, pgm = OpenDssOracle(cell, tolerance=1e-8), PowerGridModelOracle(cell)
    dss.set(np.arange(len(cell.assets)), *changes.base)
    pgm.calculate(pgm.update(np.arange(len(cell.assets)), *changes.base))
    moves = [
        pgm.update(changes.assets, p, q) for p, q in zip(changes.p_kw, changes.q_kvar, strict=True)
    ]
    net = pn.ieee_european_lv_asymmetric("on_peak_566")

    def by_runpp_3ph(draw: int) -> object:
        net.asymmetric_load.loc[changes.assets, "p_a_mw"] = -changes.p_kw[draw] / 1e3
        pp.runpp_3ph(net, numba=NUMBA)
        return net.res_bus_3ph

    def by_opendss(draw: int) -> object:
        dss.set(changes.assets, changes.p_kw[draw], changes.q_kvar[draw])
        dss.dss.Solution.Solve()
        return dss.dss.Circuit.AllBusVMag()

    def by_pgm(draw: int) -> object:
        current = CalculationMethod.iterative_current
        return pgm.calculate(moves[draw], method=current, outputs={"node": ["u_pu"]})

    return {
        "ours": lambda draw: np.abs(feeder.power_flow.solve(powers[draw]).voltage),
        "runpp_3ph": by_runpp_3ph,
        "PGM": by_pgm,
        "OpenDSS": by_opendss,
    }


def all_days(
    feeder: Feeder, oracle: PowerGridModelOracle, powers: Sequence[tuple[Real, Real]], days: int
) -> dict[str, Query]:
    """Return the queries that solve so many days, P and Q of each in turn, by engine."""
    everything = np.arange(len(feeder.cell.assets))
    updates = [oracle.update(everything, p_kw, q_kvar) for p_kw, q_kvar in powers]
    outputs = {"node": ["u_pu"]} | {k: ["loading", "p_from", "p_to"] for k in oracle.kinds}

    def ours(_: int) -> None:
        for day in range(days):
            solved = feeder.solve_steps(*powers[day % len(powers)])
            np.abs(solved.voltage)

    def by_pgm(method: CalculationMethod) -> Query:
        def query(_: int) -> None:
            for day in range(days):
                oracle.calculate_batch(updates[day % len(powers)], method, outputs)

        return query

    return {
        "Feeder.solve_steps": ours,
        "PGM, Newton-Raphson": by_pgm(CalculationMethod.newton_raphson),
        "PGM, iterative current": by_pgm(CalculationMethod.iterative_current),
    }
