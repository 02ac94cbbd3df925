"""The central optimum of a case is feasible, known from elsewhere, and what other solvers find."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from scipy.optimize import minimize

from peercell.agents.convex import SolverError
from peercell.agents.errors import MissingExtraError
from peercell.broker.solving.control_cases import cell_of, load_control_case, read_case
from peercell.grid.control_case import ControlCase, LevelBand, control_case
from peercell.grid.controlled_feeder import ControlledFeeder
from peercell.grid.optimum import central_optimum

FOLDER = Path(__file__).parent.parent / "reference" / "control"
# Curtailed kW, sum of |Q| in kvar and objective at limits without margin, found by another program:
# sequential linearisation on pandapower's admittance matrix. An SLSQP of its own agreed to 7e-8.
KNOWN = {
    "rural1-ov": (63.740, 235.2, 70.5191),
    "rural2-ov": (0.000, 265.4, 1.0827),
    "rural3-ov": (57.956, 356.1, 67.1646),
    "semiurb4-ov": (121.331, 95.1, 135.9660),
    "cigre-lv-ov": (6.134, 307.7, 8.6677),
    "case33-ov": (568.322, 1168.8, 668.4177),
}


def case_named(name: str, **limits: float) -> ControlCase:
    """Return a reference case, with other limits if asked."""
    case = load_control_case(FOLDER / f"{name}.json")
    return replace(case, limits=structs.replace(case.limits, **limits))


@pytest.mark.parametrize("name", KNOWN)
def test_the_optimum_is_the_known_one(name: str) -> None:
    feeder = ControlledFeeder(case_named(name, margin_pu=0.0))
    best = central_optimum(feeder)
    found = feeder.outcome(best.p_kw, best.q_kvar)
    curtailed, reactive, objective = KNOWN[name]
    assert found.in_limits
    assert found.objective == best.objective == pytest.approx(objective, rel=2e-5, abs=1e-4)
    assert found.curtailed_kw == pytest.approx(curtailed, rel=1e-5, abs=1e-3)
    assert found.reactive_kvar == pytest.approx(reactive, abs=0.06)


def independent(feeder: ControlledFeeder) -> float:
    """Return the objective that SLSQP finds through the power flow, with its own derivatives."""
    case, limits = feeder.case, feeder.case.limits
    devices = [device.can for device in case.devices]
    count = len(devices)
    rating = np.array([device.rating_kva for device in devices])
    scale = rating.sum()

    def powers(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x[:count] * rating, x[count:] * rating

    def cost(x: np.ndarray) -> float:
        costs = [d.cost(p, q) for d, p, q in zip(devices, *powers(x), strict=True)]
        return float(sum(costs) / scale)

    def room(x: np.ndarray) -> np.ndarray:
        p_kw, q_kvar = powers(x)
        found = feeder.solve(p_kw, q_kvar)
        most = np.array([row.loading_percent_max for row in case.loadings])
        tangent = [
            device.tan_max * p - sign * q
            for device, p, q in zip(devices, x[:count], x[count:], strict=True)
            if device.tan_max is not None
            for sign in (-1.0, 1.0)
        ]
        return np.concatenate(
            [
                100.0 * (feeder.high_pu - limits.margin_pu - found.v_pu),
                100.0 * (found.v_pu - feeder.low_pu - limits.margin_pu),
                most * (1.0 - limits.margin_percent / 100.0) - found.loading_percent,
                1.0 - x[:count] ** 2 - x[count:] ** 2,
                tangent,
            ]
        )

    bounds = [(d.p_kw_min / d.rating_kva, d.p_kw_max / d.rating_kva) for d in devices]
    bounds += [(-d.q_kvar_max / d.rating_kva, d.q_kvar_max / d.rating_kva) for d in devices]
    start = np.array([low for low, _ in bounds[:count]] + [0.0] * count)
    found = minimize(
        cost,
        start,
        method="SLSQP",
        bounds=bounds,
        constraints={"type": "ineq", "fun": room},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert room(found.x).min() > -1e-6, found.message
    return float(found.fun * scale)


@pytest.mark.parametrize(
    "name",
    [
        "rural1-ov",
        "semiurb4-ov",
        "cigre-lv-ov",
        "case33-ov",
        "rural1-congestion",
        pytest.param("cigre-lv-uv90", marks=pytest.mark.slow),
    ],
)
def test_another_solver_finds_nothing_better(name: str) -> None:
    feeder = ControlledFeeder(case_named(name))
    best = central_optimum(feeder)
    assert independent(feeder) == pytest.approx(best.objective, rel=1e-5)


def banded(high_pu: float) -> ControlCase:
    """Return the case of two levels, the upper one with another highest voltage."""
    path = FOLDER / "levels-ov.json"
    file = read_case(path)
    loaded = cell_of(file, path)
    band = LevelBand(below="", v_min_pu=0.95, v_max_pu=high_pu)
    return control_case(structs.replace(file, bands=(band,)), loaded.cell, loaded.profiles)


@pytest.mark.parametrize(
    ("high_pu", "objective", "curtailed_kw"), [(1.05, 130.808, 116.332), (1.03, 160.441, 146.137)]
)
def test_rc_hier_the_optimum_of_two_levels(
    high_pu: float, objective: float, curtailed_kw: float
) -> None:
    """Where the feeder above may be at 1.03 pu only, and its villages at 1.05."""
    feeder = ControlledFeeder(banded(high_pu))
    best = central_optimum(feeder)
    found = feeder.outcome(best.p_kw, best.q_kvar)
    assert found.in_limits
    assert best.objective == pytest.approx(objective, abs=1e-3)
    assert found.curtailed_kw == pytest.approx(curtailed_kw, abs=1e-2)
    v_pu = dict(zip(feeder.case.monitored, feeder.solve(best.p_kw, best.q_kvar).v_pu, strict=True))
    above = max(v for bus, v in v_pu.items() if "." not in bus)
    assert above <= high_pu - feeder.case.limits.margin_pu + 1e-7
    assert (above == pytest.approx(1.0298, abs=1e-6)) == (high_pu == 1.03)
    assert found.v_max_pu == pytest.approx(1.0498, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("high_pu", [1.05, 1.03])
def test_rc_hier_another_solver_finds_nothing_better(high_pu: float) -> None:
    feeder = ControlledFeeder(banded(high_pu))
    assert independent(feeder) == pytest.approx(central_optimum(feeder).objective, rel=1e-5)


@pytest.mark.parametrize("name", [path.stem for path in sorted(FOLDER.glob("*.json"))])
def test_the_optimum_keeps_the_limits_and_the_ratings(name: str) -> None:
    feeder = ControlledFeeder(case_named(name))
    best = central_optimum(feeder)
    found, limits = feeder.outcome(best.p_kw, best.q_kvar), feeder.case.limits
    assert found.v_max_pu <= limits.v_max_pu - limits.margin_pu + 1e-7
    assert found.v_min_pu >= limits.v_min_pu + limits.margin_pu - 1e-7
    for row in feeder.case.loadings:
        assert found.loading_percent_max is not None
        most = row.loading_percent_max * (1.0 - limits.margin_percent / 100.0)
        assert found.loading_percent_max <= most + 1e-5
    for device, p, q in zip(feeder.case.devices, best.p_kw, best.q_kvar, strict=True):
        assert device.can.p_kw_min <= p <= device.can.p_kw_max
        assert abs(q) <= device.can.reactive_limit(p)


def test_nothing_to_do_costs_nothing() -> None:
    best = central_optimum(ControlledFeeder(case_named("rural1-ov", v_max_pu=1.2)))
    assert best.objective == pytest.approx(0.0, abs=1e-5)


def test_limits_out_of_reach_are_told() -> None:
    case = case_named("rural1-ov", v_max_pu=1.0, v_min_pu=0.9)
    with pytest.raises(SolverError, match="no control keeps the limits"):
        central_optimum(ControlledFeeder(case))


def test_without_cvxpy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    with pytest.raises(MissingExtraError, match="solver"):
        central_optimum(ControlledFeeder(case_named("rural1-ov")))
