"""The second cell of the Compose file: a container for each peer."""

import pytest
from tests.containers.engine import (
    ROOT,
    Shown,
    await_room,
    compose_command,
    done,
    take_down,
    tell,
    took_s,
)

pytestmark = pytest.mark.slow

STREET = ROOT / "configs/compose/street.toml"
UP_S_MAX = 150.0


def test_a_cell_with_a_container_for_each_peer_converges() -> None:
    compose = [*compose_command(), "--profile", "split"]
    done(*compose, "build", "street-directory", "street-grid")
    take_down(compose)
    await_room(STREET, day=False, need_s=UP_S_MAX)
    try:
        done(*compose, "up", "--detach", "--no-build", "street-observer")
        shown = Shown(8081)
        up_s = took_s(shown.converged, UP_S_MAX, shown.status)
        tell(f"one container a peer: converged after {up_s:.1f} s")
        assert shown.status()["peers"] == {"up": 18}
    finally:
        take_down(compose)
