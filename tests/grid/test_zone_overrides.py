"""What a user may lay down about the microgrids of a cell, and how mistakes are explained."""

import msgspec
import pytest
from tests.grid.small_grids import couplings, lines, sets, star, two_levels

from peercell.agents.errors import PeercellError
from peercell.grid.errors import UnknownElementError
from peercell.grid.model import Switch
from peercell.grid.partition import NamedMicrogrid, ZoneError, ZoneOverrides, partition


def test_named_microgrids_come_first_and_the_rest_is_divided() -> None:
    named = (
        NamedMicrogrid(id="village", head="t1", name="The village"),
        NamedMicrogrid(id="mg1", buses=("m2",)),
    )
    zones = partition(two_levels(), ZoneOverrides(microgrids=named))
    assert sets(zones) == {
        "village": {"u0", "u1", "u2"},
        "mg1": {"m2"},
        "mg2": {"m3"},
        "mg3": {"m4"},
        "mg4": {"w0", "w1"},
    }
    assert zones.microgrids[0].name == "The village"
    assert {("m2-m3", "mg2", "mg1"), ("t1", "village", "mg2")} < couplings(zones)


def test_a_named_microgrid_may_be_a_feeder() -> None:
    overrides = ZoneOverrides(microgrids=(NamedMicrogrid(id="north", head="m0-m2"),))
    assert sets(partition(two_levels(), overrides))["north"] == {"m2", "m3"}


def test_overrides_are_read_from_configuration() -> None:
    text = 'min_customers = 3\n[[microgrids]]\nid = "north"\nhead = "m0-m2"\n'
    overrides = msgspec.toml.decode(text, type=ZoneOverrides)
    assert overrides == ZoneOverrides(
        microgrids=(NamedMicrogrid(id="north", head="m0-m2"),), min_customers=3
    )


@pytest.mark.parametrize(
    ("microgrids", "error", "words"),
    [
        ([NamedMicrogrid(id="a", buses=("m22",))], UnknownElementError, "did you mean m2"),
        ([NamedMicrogrid(id="a", head="t11")], UnknownElementError, "did you mean t1"),
        ([NamedMicrogrid(id="a")], ZoneError, "has neither"),
        ([NamedMicrogrid(id="a", buses=("m2",), head="t1")], ZoneError, "has both"),
        ([NamedMicrogrid(id="a", head="m3-m4")], ZoneError, "out of service"),
        (
            [NamedMicrogrid(id="a", buses=("m2",)), NamedMicrogrid(id="a", buses=("m3",))],
            ZoneError,
            'two microgrids are called "a"',
        ),
        (
            [NamedMicrogrid(id="a", buses=("m2",)), NamedMicrogrid(id="b", head="m0-m2")],
            ZoneError,
            'bus "m2" is in the microgrids "a" and "b"',
        ),
        (
            [NamedMicrogrid(id="a", buses=("m0",)), NamedMicrogrid(id="b", buses=("m1",))],
            ZoneError,
            'a closed switch joins it to bus "m0"',
        ),
    ],
)
def test_wrong_overrides_are_explained(
    microgrids: list[NamedMicrogrid], error: type[PeercellError], words: str
) -> None:
    with pytest.raises(error, match=words):
        partition(two_levels(), ZoneOverrides(microgrids=tuple(microgrids)))


def test_a_named_bus_without_a_source_is_refused_with_the_cause() -> None:
    cell = two_levels()
    cut = msgspec.structs.replace(
        cell, switches=(*cell.switches, Switch(id="cut", bus="m1", branch="m1-m4", closed=False))
    )
    overrides = ZoneOverrides(microgrids=(NamedMicrogrid(id="a", buses=("w1",)),))
    with pytest.raises(ZoneError, match="cut off by open cut"):
        partition(cut, overrides)


def test_the_head_of_a_loop_is_refused() -> None:
    cell = star((3, 3))
    ring = msgspec.structs.replace(cell, branches=(*cell.branches, *lines("1.3 2.3")))
    overrides = ZoneOverrides(microgrids=(NamedMicrogrid(id="a", head="0-1.1"),))
    with pytest.raises(ZoneError, match="part of a loop"):
        partition(ring, overrides)
