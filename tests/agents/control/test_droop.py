"""Primary control: nothing within the limits, everything at the end of its band."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.control.device import Device, Weights
from peercell.agents.control.droop import emergency, standard

WEIGHTS = Weights(linear=1.0, active=0.01, reactive=0.001)
PV = Device(
    p_kw_min=0.0,
    p_kw_max=80.0,
    planned_kw=80.0,
    rating_kva=100.0,
    q_kvar_max=44.0,
    weights=WEIGHTS,
)
LOAD = Device(
    p_kw_min=-50.0,
    p_kw_max=-30.0,
    planned_kw=-50.0,
    rating_kva=50.0,
    q_kvar_max=0.0,
    weights=WEIGHTS,
)
WANTED = (60.0, -20.0)


@given(v_pu=st.floats(0.95, 1.05))
def test_within_the_limits_an_emergency_adds_exactly_nothing(v_pu: float) -> None:
    assert emergency(0.95, 1.05).answer(PV, WANTED, v_pu) == WANTED


@pytest.mark.parametrize(
    ("v_pu", "answer"),
    [
        (1.055, (45.0, -32.0)),  # a quarter of P, half of what is left of Q
        (1.06, (30.0, -44.0)),
        (1.07, (0.0, -44.0)),
        (1.2, (0.0, -44.0)),
        (0.94, (70.0, 44.0)),
        (0.93, (80.0, 44.0)),
    ],
)
def test_beyond_the_limits_it_runs_to_the_end(v_pu: float, answer: tuple[float, float]) -> None:
    assert emergency(0.95, 1.05).answer(PV, WANTED, v_pu) == pytest.approx(answer)


@pytest.mark.parametrize(
    ("device", "v_pu", "answer"),
    [
        (PV, 1.0, (80.0, 0.0)),
        (PV, 1.04, (80.0, -22.0)),
        (PV, 1.045, (40.0, -33.0)),
        (PV, 1.05, (0.0, -44.0)),
        (LOAD, 0.96, (-50.0, 0.0)),
        (LOAD, 0.955, (-40.0, 0.0)),
        (LOAD, 0.95, (-30.0, 0.0)),
        (LOAD, 1.05, (-50.0, 0.0)),
    ],
)
def test_the_standard_droop_is_used_up_at_the_limit(
    device: Device, v_pu: float, answer: tuple[float, float]
) -> None:
    found = standard(0.95, 1.05).answer(device, (device.planned_kw, 0.0), v_pu)
    assert found == pytest.approx(answer)


@given(v_pu=st.floats(0.0, 2.0), p_kw=st.floats(0.0, 80.0), share=st.floats(-1.0, 1.0))
def test_primary_control_stays_within_the_device(v_pu: float, p_kw: float, share: float) -> None:
    wanted = (p_kw, share * PV.reactive_limit(p_kw))
    for primary in (emergency(0.95, 1.05), standard(0.95, 1.05)):
        p_kw, q_kvar = primary.answer(PV, wanted, v_pu)
        assert 0.0 <= p_kw <= 80.0
        assert abs(q_kvar) <= PV.reactive_limit(p_kw) * (1.0 + 1e-12)
