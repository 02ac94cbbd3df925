"""Named timers: set once, replaced, cancelled, taken out in order."""

from hypothesis import given
from hypothesis import strategies as st

from peercell.broker.timers import Timers


def test_timers_run_out_in_order_and_once() -> None:
    timers: Timers[str] = Timers()
    for name, due_s in [("c", 3.0), ("a", 1.0), ("b", 2.0)]:
        timers.set(name, due_s)
    assert timers.next_s() == 1.0
    assert timers.pop_due(2.0) == [("a", 1.0), ("b", 2.0)]
    assert timers.pop_due(2.0) == []
    assert timers.next_s() == 3.0


def test_setting_again_replaces_and_cancelling_forgets() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 1.0)
    timers.set("a", 5.0)
    timers.set("b", 2.0)
    timers.cancel("b")
    timers.cancel("never set")
    assert timers.pop_due(4.0) == []
    assert timers.pop_due(5.0) == [("a", 5.0)]
    assert timers.next_s() is None


def test_a_timer_replaced_ten_thousand_times_stays_small() -> None:
    timers: Timers[str] = Timers()
    for count in range(10_000):
        timers.set("a", float(count))
        assert len(timers._heap) <= 66
    assert timers.pop_due(1e9) == [("a", 9_999.0)]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.none() | st.floats(0, 10)),
        max_size=60,
    ),
    st.floats(0, 10),
)
def test_timers_agree_with_a_dictionary(
    orders: list[tuple[str, float | None]], now_s: float
) -> None:
    timers: Timers[str] = Timers()
    model: dict[str, float] = {}
    for name, due_s in orders:
        if due_s is None:
            timers.cancel(name)
            model.pop(name, None)
        else:
            timers.set(name, due_s)
            model[name] = due_s
    assert len(timers) == len(model)
    assert timers.next_s() == min(model.values(), default=None)
    due = timers.pop_due(now_s)
    assert dict(due) == {name: due_s for name, due_s in model.items() if due_s <= now_s}
    assert [due_s for _, due_s in due] == sorted(due_s for _, due_s in due)
