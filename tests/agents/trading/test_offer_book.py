import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.trading.blocks import Block, Offer
from peercell.agents.trading.contract_messages import LateOffer, ProsumerOffer, Shortage
from peercell.agents.trading.messages import LinkTrade, TraderSettled
from peercell.agents.trading.offer_book import (
    Member,
    OfferBook,
    own_member,
    shares,
    shortages,
    total,
)

VOLL = 3.0


def offer(interval: int, load_kwh: float = 1.0) -> ProsumerOffer:
    return ProsumerOffer(interval, (Offer(load_kwh),), (load_kwh,))


def plan(sold_kwh: float, bought_kwh: float, price: float = 0.3) -> TraderSettled:
    """Return a plan with one partner; what the trader makes itself is left out."""
    trades = (LinkTrade("other", (sold_kwh,), (bought_kwh,)),)
    return TraderSettled(
        epoch=1,
        attempt=1,
        round=5,
        certified=True,
        price_eur_per_kwh=(price,),
        generation_kwh=(0.0,),
        unserved_kwh=(0.0,),
        spilled_kwh=(0.0,),
        trades=trades,
        cost_eur=0.0,
        payment_eur=0.0,
        gap_eur=0.0,
        standalone_eur=0.0,
        disputes=(),
        unconfirmed=(),
        heard=(),
        absent=(),
    )


def test_who_is_late_counts_with_its_newest_offer_or_not_at_all() -> None:
    book = OfferBook(("a", "b", "c"), 1)
    book.hear("a", offer(4))
    book.hear("a", offer(5, 2.0))
    book.hear("a", offer(4, 9.0))
    book.hear("b", offer(3, 3.0))
    book.hear("stranger", offer(5))
    assert book.missing(5) == ["b", "c"]
    members, late = book.close(5)
    assert [(m.peer, m.offers[0].load_kwh) for m in members] == [("a", 2.0), ("b", 3.0)]
    assert late == [LateOffer(5, "b", 3), LateOffer(5, "c", None)]


def test_an_offer_of_another_horizon_is_not_taken() -> None:
    book = OfferBook(("a",), 2)
    book.hear("a", offer(0))
    assert book.missing(0) == ["a"]


def test_the_cheapest_block_is_used_first_whoever_owns_it() -> None:
    members = [
        own_member("trader", (Offer(0.0),)),
        Member("dear", (Offer(2.0, (Block(0.5, 0.0, 4.0),)),), (2.0,)),
        Member("cheap", (Offer(1.0, (Block(0.1, 0.0, 2.0), Block(0.9, 0.0, 5.0))),), (1.0,)),
    ]
    parts = shares(members, plan(sold_kwh=1.0, bought_kwh=0.5), VOLL)
    assert parts["dear"][0].blocks_kwh == pytest.approx((1.5,))
    assert parts["cheap"][0].blocks_kwh == pytest.approx((2.0, 0.0))
    assert shortages(parts) == ()


@pytest.mark.parametrize(
    ("sold_kwh", "short"),
    [
        (0.0, (Shortage("a", (0.5,)), Shortage("b", (1.5,)))),
        (2.0, (Shortage("a", (1.0,)), Shortage("b", (3.0,)))),
        # More was sold than all can do without: the trader does not get it.
        (5.0, (Shortage("trader", (3.0,)), Shortage("a", (1.0,)), Shortage("b", (3.0,)))),
    ],
)
def test_who_is_short_is_named(sold_kwh: float, short: tuple[Shortage, ...]) -> None:
    members = [
        own_member("trader", (Offer(0.0),)),
        Member("a", (Offer(1.0),), (1.0,)),
        Member("b", (Offer(4.0, (Block(0.5, 0.0, 1.0), Block(0.0, 0.0, 2.0))),), (3.0,)),
    ]
    assert shortages(shares(members, plan(sold_kwh, 0.0, VOLL), VOLL)) == short


blocks = st.builds(Block, st.floats(0.0, 2.0), st.floats(0.0, 1.0), st.floats(0.0, 5.0))
offers = st.builds(Offer, st.floats(0.0, 5.0), st.lists(blocks, max_size=3).map(tuple))


@given(st.lists(offers, min_size=1, max_size=5), st.floats(0.0, 10.0), st.floats(0.0, 10.0))
def test_parts_add_up_to_the_need_of_the_microgrid(
    listed: list[Offer], sold_kwh: float, bought_kwh: float
) -> None:
    members = [own_member("trader", (Offer(0.0),))]
    members += [Member(f"m{k}", (each,), (each.load_kwh,)) for k, each in enumerate(listed)]
    parts = shares(members, plan(sold_kwh, bought_kwh), VOLL)
    made_kwh = sum(sum(part[0].blocks_kwh) + part[0].unserved_kwh for part in parts.values())
    need_kwh = total(members)[0].load_kwh + sold_kwh - bought_kwh
    assert made_kwh == pytest.approx(max(need_kwh, 0.0), abs=1e-9)
    assert [len(parts[m.peer][0].blocks_kwh) for m in members] == [
        len(m.offers[0].blocks) for m in members
    ]
