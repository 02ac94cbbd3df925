"""How a reference optimum is found: a convex problem, modelled and solved by cvxpy.

No role imports it: what it finds, it finds with full knowledge, for comparison.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from peercell.agents.errors import MissingExtraError, PeercellError


class SolverError(PeercellError):
    """A central solver gave up."""

    exit_code = 5


def modelling(task: str) -> Any:
    """Return cvxpy, which is imported only when a task needs it.

    Raises
    ------
    MissingExtraError : it is not installed.
    """
    try:
        return import_module("cvxpy")
    except ModuleNotFoundError:
        raise MissingExtraError(task, "solver") from None


def minimise(cost: Any, limits: Sequence[Any], digits: float, task: str) -> float:
    """Return the least cost; the variables and multipliers then hold their values.

    `digits` is what the interior-point solver is asked for, in gap and feasibility; below a size
    that depends on the problem it reports trouble on what is well solved.

    Raises
    ------
    SolverError : the solver found no optimum; `task` says of what.
    """
    cvxpy = modelling(task)
    problem = cvxpy.Problem(cvxpy.Minimize(cost), limits)
    tight = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), digits)
    try:
        problem.solve(solver=cvxpy.CLARABEL, **tight)
    except cvxpy.error.SolverError as error:
        raise SolverError(f"{task} was not found", str(error)) from None
    if problem.status not in {cvxpy.OPTIMAL, cvxpy.OPTIMAL_INACCURATE}:
        raise SolverError(f"{task} does not exist", f"the solver says: {problem.status}")
    return float(problem.value)
