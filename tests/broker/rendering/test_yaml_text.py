"""What is written as YAML is read as what it was, by a reader that we have not written."""

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from peercell.broker.rendering.yaml_text import WIDTH, Verbatim, yaml_text

# All that YAML gives a meaning, and some that it does not.
TEXTS = st.text(" aZ09:#-&*!|>'\"%@`{}[],?\n\t\\ö=~<.yesno", max_size=12)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS
KEYS = TEXTS.filter(lambda key: key not in ("", "&", "<<"))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner),
    max_leaves=12,
)


@settings(max_examples=30)
@given(st.dictionaries(KEYS, VALUES))
def test_plain_values_come_back(value: dict[str, Any]) -> None:
    assert (yaml.safe_load(yaml_text(value)) or {}) == value


def test_anchors_and_merges_are_written_as_people_write_them() -> None:
    told = yaml_text(
        {
            "x-a": {"&": "a", "init": True},
            "b": {"<<": Verbatim("*a"), "ports": ["1:2"], "version": "1.0", "on": "yes"},
        }
    )
    assert told == (
        'x-a: &a\n  init: true\nb:\n  <<: *a\n  ports: ["1:2"]\n  version: "1.0"\n  "on": "yes"\n'
    )
    assert yaml.safe_load(told)["b"]["init"] is True


def test_lists_that_are_too_long_for_a_line_take_several() -> None:
    told = yaml_text({"words": ["word"] * 40})
    assert max(map(len, told.splitlines())) <= WIDTH
    assert yaml.safe_load(told) == {"words": ["word"] * 40}
