"""The bucket of a sender: a burst at once, then as much as time brings."""

from hypothesis import given
from hypothesis import strategies as st

from peercell.broker.security.bucket import Bucket


def test_a_burst_and_then_the_rate() -> None:
    bucket = Bucket(0.0, rate_per_s=2.0, burst=3.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(1.0) for _ in range(3)] == [True, True, False]
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_is_set_back_brings_nothing() -> None:
    bucket = Bucket(100.0, rate_per_s=1.0, burst=1.0)
    assert bucket.take(100.0)
    assert not bucket.take(50.0)
    assert bucket.take(51.0)


@given(st.lists(st.floats(0.0, 1.0), max_size=200))
def test_no_more_passes_than_burst_and_rate_allow(pauses_s: list[float]) -> None:
    bucket, now_s, passed = Bucket(0.0, rate_per_s=10.0, burst=5.0), 0.0, 0
    for pause_s in pauses_s:
        now_s += pause_s
        passed += bucket.take(now_s)
        assert passed <= 5.0 + 10.0 * now_s + 1e-6
