"""docs/conditions.md is true: its examples compile, its lists are the code's."""

import re
from pathlib import Path

import pytest

from remedy.conditions import RESERVED_WORDS, CheckedCondition, compile_condition
from remedy.conditions.check import FUNCTIONS
from remedy.conditions.parse import CHARACTERS_MAX, DEPTH_MAX, NODES_MAX
from remedy.conditions.refusals import GRAMMAR_WORDS
from remedy.errors import FilesError, Place
from remedy.model import Column, ColumnType, Params, Row

_PAGE = (Path(__file__).parents[2] / "docs" / "conditions.md").read_text(encoding="utf-8")
_EXAMPLES = [block.strip() for block in re.findall(r"^```sql\n(.*?)^```$", _PAGE, re.MULTILINE | re.DOTALL)]
_DEFAULTS: dict[str, str | float | bool] = {"text": "x", "number": 10.0, "boolean": True}


def _documented() -> tuple[dict[str, Column], Params, dict[str, dict[str, Column]]]:
    """The names of the page's first table, with their types."""
    columns: dict[str, Column] = {}
    params: dict[str, str | float | bool] = {}
    signals: dict[str, dict[str, Column]] = {}
    for names, types in re.findall(r"^\| (`.*?`) \| ([a-z, ]+) \| (?:column|parameter)", _PAGE, re.MULTILINE):
        listed = re.findall(r"`([\w.]+)`", names)
        of_types = types.split(", ") if ", " in types else [types] * len(listed)
        for name, of_type in zip(listed, of_types, strict=True):
            scope, _, inner = name.rpartition(".")
            if scope == "params":
                params[inner] = _DEFAULTS[of_type]
            elif scope:
                signals.setdefault(scope, {})[inner] = Column(type=ColumnType(of_type))
            else:
                columns[name] = Column(type=ColumnType(of_type))
    return columns, params, signals


_COLUMNS, _PARAMS, _SIGNALS = _documented()


def _compiled(text: str) -> CheckedCondition:
    place = Place(file="rules/low-disk/rule.yaml", line=12, column=7)
    return compile_condition(text, columns=_COLUMNS, params=_PARAMS, signals=_SIGNALS, place=place)


def test_page_has_examples_and_names() -> None:
    """The page is read as meant: its table of names and its examples are found."""
    assert len(_EXAMPLES) >= 7
    assert (len(_COLUMNS), len(_PARAMS), len(_SIGNALS["reboot"])) == (7, 3, 2)


@pytest.mark.parametrize("text", _EXAMPLES)
def test_example_compiles_and_nothing_read_is_unknown(text: str) -> None:
    """Each example compiles over the documented names, and decides unknown when nothing could be read."""
    assert _compiled(text).bind(_PARAMS)({}, {}) is None


def test_examples_use_every_word_and_function() -> None:
    """No keyword and no function is documented without being spelled as the code knows it."""
    for word in sorted(GRAMMAR_WORDS | set(FUNCTIONS)):
        assert re.search(rf"`[^`\n]*\b{word}\b[^`\n]*`", _PAGE), word


def test_functions_of_the_page_are_those_of_the_code() -> None:
    """The table of functions lists each with the types it takes."""
    listed = re.findall(r"^\| `(\w+)\(([a-z, ]+)\)` \|", _PAGE, re.MULTILINE)

    assert {name: tuple(takes.split(", ")) for name, takes in listed} == {
        name: tuple(of_type.value for of_type in function.takes) for name, function in FUNCTIONS.items()
    }


def test_limits_and_reserved_words_of_the_page_are_those_of_the_code() -> None:
    """The numbers of the limits and the reserved words are the code's."""
    (reserved,) = re.findall(r"can be named (.*)\.$", _PAGE, re.MULTILINE)

    assert set(re.findall(r"`(\w+)`", reserved)) == RESERVED_WORDS
    assert f"at most {CHARACTERS_MAX:,} characters, {NODES_MAX} literals" in _PAGE
    assert f"a nesting of {DEPTH_MAX}." in _PAGE


@pytest.mark.parametrize(
    "text",
    ["free_percent < '10'", "free_percent", "not free_percent", "label = 1", "1 < free_gib < 3", "read_only is null"],
)
def test_what_the_page_calls_refused_is_refused(text: str) -> None:
    """The mistakes that the page names are refused."""
    with pytest.raises(FilesError):
        _compiled(text)


def test_message_of_the_page_is_the_message() -> None:
    """The message shown on the page is what the mistake gives."""
    with pytest.raises(FilesError) as caught:
        _compiled("fre_percent < 10")

    assert str(caught.value) in _PAGE


@pytest.mark.parametrize(
    ("text", "row", "verdict"),
    [
        ("free_gib / size_gib < 0.1", {"free_gib": 0.0, "size_gib": 0.0}, None),
        ("not (free_gib / size_gib < 0.1)", {"free_gib": 0.0, "size_gib": 0.0}, None),
        ("not free_gib = 1", {"free_gib": 2.0}, True),
        ("1 / 2 = 0.5", {}, True),
        ("LOWER(label) LIKE 'b%'", {"label": "Backup"}, True),
    ],
)
def test_claim_of_the_page_holds(text: str, row: Row, verdict: bool | None) -> None:
    """What the page says in words about a condition is what it decides."""
    assert _compiled(text).bind(_PARAMS)(row, {}) is verdict
