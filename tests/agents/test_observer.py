"""The observer keeps the newest facts and gives them out in order."""

from typing import Annotated

import msgspec
import pytest
from msgspec import Meta

from peercell.agents import observer as page
from peercell.agents.messages import Message
from peercell.agents.observer import FactsAnswer, FactsQuery, Observer
from peercell.agents.protocol import Commanded, Received, Reply, Started


class Fact(Message, frozen=True):
    """Something that happened."""

    number: int
    text: Annotated[str, Meta(max_length=100_000)] = ""


def answer(observer: Observer, after: int = 0) -> FactsAnswer:
    (reply,) = observer.step(Commanded(5, FactsQuery(after)), 9.0)
    assert isinstance(reply, Reply)
    assert reply.request_id == 5
    assert isinstance(reply.answer, FactsAnswer)
    return reply.answer


def told(*facts: Fact) -> Observer:
    observer = Observer()
    assert observer.step(Started(), 0.0) == []
    for fact in facts:
        assert observer.step(Received("a", fact), float(fact.number)) == []
    return observer


def test_facts_come_back_in_order_with_sender_and_time() -> None:
    answered = answer(told(Fact(7), Fact(8)))
    assert [(f.number, f.peer, f.at_s) for f in answered.facts] == [(1, "a", 7.0), (2, "a", 8.0)]
    assert msgspec.msgpack.decode(answered.facts[0].fact) == ["Fact", 7, ""]


def test_only_what_is_newer_is_given() -> None:
    observer = told(*map(Fact, range(10)))
    assert [fact.number for fact in answer(observer, after=7).facts] == [8, 9, 10]
    assert answer(observer, after=10) == FactsAnswer(())


def test_what_was_too_much_to_keep_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "FACTS_KEPT", 4)
    answered = answer(told(*map(Fact, range(10))), after=2)
    assert ([fact.number for fact in answered.facts], answered.skipped) == ([7, 8, 9, 10], 4)


def test_an_answer_fits_into_a_frame_and_the_rest_is_asked_for() -> None:
    observer = told(*(Fact(number, "x" * 10_000) for number in range(12)))
    after, seen = 0, []
    while facts := answer(observer, after).facts:
        assert sum(len(fact.fact) for fact in facts) <= page.ANSWER_BYTES_MAX
        seen += [fact.number for fact in facts]
        after = seen[-1]
    assert seen == list(range(1, 13))


def test_a_fact_that_no_answer_holds_is_skipped() -> None:
    answered = answer(told(Fact(0, "x" * 50_000), Fact(1)))
    assert ([fact.number for fact in answered.facts], answered.skipped) == ([2], 1)
