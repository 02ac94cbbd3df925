"""How many threads NumPy's solvers may use: one, in every process."""

import os

SOLVER_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def use_one_solver_thread() -> None:
    """Let solvers that are loaded from here on, here and in child processes, use one thread.

    More threads for each of hundreds of processes would only keep these from their turns. A sum
    that is shared out over another number of threads may also differ in its last bit, and a journal
    is replayed to the bit.
    """
    for variable in SOLVER_THREADS:
        os.environ.setdefault(variable, "1")
