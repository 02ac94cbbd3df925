"""What is shown over HTTP is the picture of the cell, for people, scripts and Prometheus."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection

import pytest
from tests.broker.cell_for_tests import NOTE, NOW_S, TOLD

from peercell.agents.errors import PeercellError
from peercell.broker.hosting.page import StatusPage, metrics
from peercell.broker.status.picture import picture

SEEN = picture(NOTE, TOLD, NOW_S)
LINE = re.compile(r'# (HELP|TYPE) peercell_\w+ .+|peercell_\w+(\{\w+="[^"]*"\})? [-+.\de]+')


@pytest.fixture
def page() -> Iterator[StatusPage]:
    made = StatusPage("127.0.0.1", 0)
    yield made
    made.close()


def get(page: StatusPage, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", page.port, timeout=5.0)
    connection.request("GET", path)
    answer = connection.getresponse()
    told = answer.status, answer.read().decode()
    connection.close()
    return told


def test_before_anything_is_heard_it_says_so(page: StatusPage) -> None:
    assert get(page, "/status") == (503, "nothing was heard of the cell yet\n")


def test_the_picture_is_shown_in_three_forms(page: StatusPage) -> None:
    page.show(SEEN)
    status, text = get(page, "/status")
    assert status == 200
    assert json.loads(text)["converged"] is True
    assert get(page, "/")[1].startswith('cell "two"  converged\n')
    assert "peercell_converged 1\n" in get(page, "/metrics")[1]
    assert get(page, "/health?x=1") == (200, "converged\n")
    assert get(page, "/nothing")[0] == 404


def test_a_cell_that_is_not_converged_is_not_healthy(page: StatusPage) -> None:
    page.show(picture(NOTE, replace(TOLD, market={}), NOW_S))
    status, text = get(page, "/health")
    assert (status, text.splitlines()[0]) == (503, "mg1.trader does not answer")


def test_metrics_are_in_the_format_of_prometheus() -> None:
    lines = list(metrics(SEEN))
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


def test_an_address_in_use_is_told(page: StatusPage) -> None:
    with pytest.raises(PeercellError, match="cannot serve"):
        StatusPage("127.0.0.1", page.port)
