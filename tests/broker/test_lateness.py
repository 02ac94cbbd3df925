"""How late timers were, from a histogram of fixed size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.broker.lateness import Lateness


def test_no_timer_was_never_late() -> None:
    assert Lateness().quantile_s(0.99) == 0.0


@given(st.lists(st.floats(0, 20), min_size=1, max_size=50), st.sampled_from([0.5, 0.99, 1.0]))
def test_a_quantile_is_never_understated_and_at_most_doubled(
    late_s: list[float], share: float
) -> None:
    lateness = Lateness()
    for each in late_s:
        lateness.note(each)
    rank = max(1, -int(-share * len(late_s) // 1))
    exact = sorted(late_s)[rank - 1]
    estimate = lateness.quantile_s(share)
    assert exact <= estimate <= max(2 * exact, 1e-4)
    assert lateness.max_s == max(late_s)


@pytest.mark.parametrize("late_s", [0.0, 1e-4, 5.0, 1e6])
def test_the_worst_is_exact(late_s: float) -> None:
    lateness = Lateness()
    lateness.note(late_s)
    assert lateness.quantile_s(1.0) == late_s
