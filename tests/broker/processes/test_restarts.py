"""When a process that failed comes again."""

import pytest

from peercell.broker.processes.restarts import RestartBudget

# Row: when the process failed, and what followed each time: seconds to wait, or None.
STORIES = {
    "once": ([0.0], [0.0]),
    "again and again": ([0, 1, 2, 3, 4, 5, 6], [0.0, 0.25, 0.5, 1.0, 2.0, None, None]),
    "once a minute": ([0, 61, 122], [0.0, 0.0, 0.0]),
    "five, and one much later": ([0, 1, 2, 3, 4, 70], [0.0, 0.25, 0.5, 1.0, 2.0, 0.0]),
    "the window slides": ([0, 30, 59, 61, 62, 63], [0.0, 0.25, 0.5, 0.5, 1.0, 2.0]),
}


@pytest.mark.parametrize(("failed_s", "delays_s"), STORIES.values(), ids=STORIES)
def test_a_process_comes_again_at_once_then_later_then_never(
    failed_s: list[float], delays_s: list[float | None]
) -> None:
    budget = RestartBudget()
    assert [budget.delay_s(now_s) for now_s in failed_s] == delays_s
