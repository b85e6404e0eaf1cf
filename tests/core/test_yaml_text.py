"""Values as YAML: what is printed is read back as the same value."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from remedy.load.nodes import plain
from remedy.load.yaml_events import read_yaml
from remedy.render.yaml_text import flow_text, scalar_text

# No file that loads holds a control or bidi character.
KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=20)
TRAPS = (
    *("no", "Yes", "on", "~", "22:22", "0755", "1e3", ".5", "+1", "0x1f", "1_000", "null", ".inf", ""),
    *("a: b", "a #b", "a:", "- a", "? a", "'a", "a,b", "x]", " a", "a ", "a\nb", "a\tb", "%a", "@a", "---", "<<", "="),
)
TEXTS = KEYS | st.sampled_from(TRAPS)
VALUES = st.recursive(
    st.booleans() | st.none() | st.integers(-(10**15), 10**15) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


def _read(text: str) -> Any:
    return plain(read_yaml(text, file="printed"))


@given(VALUES)
@example(["a,b", "x]", "{y}", "[z"])
@example({"hosts": "web:!web-3", "until": "2099-03-31"})
@example(["10%", "6h", "200/24h", "192.0.2.11", "2026-12-23T00:00"])
def test_printed_value_is_read_back(value: Any) -> None:
    """Whatever a value is, the strict reader takes its one line for the same value, in a list and after a key."""
    assert _read(f"key: {flow_text(value)}\n") == {"key": value}
    assert _read(f"- {flow_text(value)}\n") == [value]


@pytest.mark.parametrize(
    "text",
    [
        "low-disk",
        "free_percent < 10",
        "10%",
        "6h",
        "200/24h",
        "2026-12-23T00:00",
        "env:NAME",
        "web:!web-3",
        "/srv",
        "a, b",
    ],
)
def test_everyday_text_has_no_quotes(text: str) -> None:
    """What people write without quotes is printed without them."""
    assert scalar_text(text, in_flow=False) == text


@pytest.mark.parametrize("text", ["no", "22:22", "0755", "1e3", "", "a: b", "true", "null", "- a", "5"])
def test_text_that_could_be_something_else_has_quotes(text: str) -> None:
    """What a reader of YAML could take for a number, a boolean, nothing or a mapping stands in quotes."""
    assert scalar_text(text, in_flow=False) == f'"{text}"'
