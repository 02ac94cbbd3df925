"""Which peers a selector means, and what is said when it means none."""

import pytest

from peercell.agents.errors import PeercellError
from peercell.broker.selector import select

ROLES = {
    "directory": "directory",
    "mg1.trader": "trader",
    "mg1.c1": "prosumer",
    "mg12.trader": "trader",
    "mg12.c10": "prosumer",
    "aggregator": "aggregator",
}


@pytest.mark.parametrize(
    ("selectors", "chosen"),
    [
        ((), [*ROLES]),
        (("all",), [*ROLES]),
        (("mg12.c10", "mg1.c1"), ["mg1.c1", "mg12.c10"]),
        (("mg1.*",), ["mg1.trader", "mg1.c1"]),
        (("mg1?.*",), ["mg12.trader", "mg12.c10"]),
        (("mg1",), ["mg1.trader", "mg1.c1"]),
        (("mg=1",), ["mg1.trader", "mg1.c1"]),
        (("mg=mg12",), ["mg12.trader", "mg12.c10"]),
        (("role=trader",), ["mg1.trader", "mg12.trader"]),
        (("role=trader,aggregator",), ["mg1.trader", "mg12.trader", "aggregator"]),
        (("role=trader,!mg=1",), ["mg12.trader"]),
        (("!*.*",), ["directory", "aggregator"]),
        (("mg=1", "!role=prosumer"), ["mg1.trader"]),
    ],
)
def test_what_selectors_mean(selectors: tuple[str, ...], chosen: list[str]) -> None:
    assert list(select(selectors, ROLES)) == chosen


@pytest.mark.parametrize(
    ("selector", "what", "why"),
    [
        ("mg1.tradr", 'there is no peer "mg1.tradr"', "did you mean mg1.trader"),
        ("role=tradr", 'there is no role "tradr"', "did you mean trader?"),
        ("mg=7", 'there is no microgrid "7"', "there are: mg1, mg12"),
        ("role=trader,!mg9.*", 'there is no peer "mg9.*"', ""),
        ("bus=17", '"bus=17" is no selector', ""),
        ("mg=1,!mg=1", '"mg=1,!mg=1" leaves no peer', ""),
    ],
)
def test_a_term_that_means_nobody_is_an_error(selector: str, what: str, why: str) -> None:
    with pytest.raises(PeercellError) as refusal:
        select((selector,), ROLES)
    assert refusal.value.what == what
    assert refusal.value.why.startswith(why)
