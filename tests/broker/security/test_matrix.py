"""Every role and every kind of message: what the table of the docs allows passes, nothing else."""

import re
from pathlib import Path

import pytest
from msgspec import Raw
from tests.broker.messages_for_tests import Note
from tests.broker.security.callers_for_tests import House

from peercell.agents.membership_messages import MembershipMessage
from peercell.agents.observer import ObserverMessage
from peercell.broker.directory import directory_spec
from peercell.broker.gate import Gate
from peercell.broker.operator_port import HostMessage
from peercell.broker.roles import ROLES, CellMessage
from peercell.broker.security import matrix
from peercell.broker.security.matrix import kinds_for
from peercell.broker.wire import VERSION, Codec, Drop, Envelope, Incoming, kind_of, messages_of

PAGE = Path(__file__).parents[3] / "docs/reference/permissions.md"
CODEC = Codec(CellMessage, MembershipMessage, ObserverMessage)
KINDS = tuple(CODEC.kinds.values())


def table() -> dict[str, dict[str, bool]]:
    """Return the table of the page: whether a role may say a kind, by kind and role."""
    head, _, *rows = re.findall(r"^\|(.+)\|$", PAGE.read_text(), re.M)
    roles = [cell.strip() for cell in head.split("|")][1:]
    found = {}
    for row in rows:
        kind, *cells = (cell.strip() for cell in row.split("|"))
        assert set(cells) <= {"yes", ""}, row
        found[kind.strip("`")] = dict(zip(roles, (cell == "yes" for cell in cells), strict=True))
    return found


TABLE = table()


def test_the_table_has_every_role_and_every_kind() -> None:
    roles = {*ROLES, directory_spec().role}
    assert roles == matrix.ROLES
    assert set(TABLE) == set(CODEC.kinds)
    assert all(set(row) == roles for row in TABLE.values())


@pytest.mark.parametrize("role", sorted(matrix.ROLES))
def test_a_role_says_what_the_table_allows_and_nothing_else(role: str) -> None:
    """Every field of the column at a gate: forbidden ones are refused and noted, all of them."""
    house = House({"a": role}, KINDS)
    caller, at_b = house.caller("a"), Gate(CODEC)
    for seq, (kind, row) in enumerate(TABLE.items(), 1):
        # An empty body: what may be said fails at the next check but one.
        envelope: Incoming = Envelope(VERSION, kind, "a", "b", 1, seq, 1e11, Raw(b"\x90"))
        assert at_b.admit(envelope, 1000.0, caller) is None
        expected = Drop.BAD_BODY if row[role] else Drop.FORBIDDEN
        assert at_b.refused.pop(expected) == 1, kind
        assert not at_b.refused, kind
    never = [kind for kind, row in TABLE.items() if not row[role]]
    assert house.noted == [(Drop.FORBIDDEN, "a", kind) for kind in never]
    assert at_b.missing == 0


def test_every_member_gossips_and_says_what_own_pages_bring() -> None:
    said = kinds_for("a role of one's own", [*KINDS, Note])
    assert said == {"Note", *map(kind_of, messages_of(matrix.MEMBERSHIP))}


def test_no_role_may_say_what_is_for_a_host() -> None:
    hosts = [kind_of(each) for each in messages_of(HostMessage)]
    said = frozenset[str]().union(*(kinds_for(role, KINDS) for role in matrix.ROLES))
    assert said.isdisjoint(hosts)
