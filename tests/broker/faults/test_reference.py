"""The page on faults tells of every kind, with its keys."""

import re
from pathlib import Path
from typing import get_args

import pytest
from msgspec.structs import fields

from peercell.broker.faults.kinds import AnyFault, Fault
from peercell.broker.faults.plan import plan_of_toml

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "faults.md").read_text()


@pytest.mark.parametrize("kind", get_args(AnyFault), ids=lambda kind: str(kind.__name__))
def test_the_page_tells_of_a_kind_and_its_keys(kind: type[Fault]) -> None:
    name = kind.__struct_config__.tag
    rows = [line.split("|") for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
    assert len(rows) == 1
    told = set(re.findall(r"`(\w+)`", rows[0][2]))
    assert told == {field.encode_name for field in fields(kind)} - {"on"}


def test_the_example_on_the_page_can_be_read() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    assert len(plan_of_toml(example, "page").steps) == 2
