"""Strict YAML: YAML 1.2 values with places, limits, and nothing but FilesError."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remedy.errors import FilesError
from remedy.load.nodes import ListNode, MappingNode, OpaqueNode, ScalarNode, plain
from remedy.load.yaml_events import INVENTORY_LIMITS, RULES_LIMITS, YAMLLimits, read_yaml

SMALL = YAMLLimits(bytes_max=2_000, nodes_max=50, depth_max=5, scalar_characters_max=100)
TOLERANT = YAMLLimits(bytes_max=2_000, nodes_max=50, depth_max=5, scalar_characters_max=100, tolerant=True)


def _problem(raw: bytes | str, *, limits: YAMLLimits = RULES_LIMITS) -> str:
    with pytest.raises(FilesError) as caught:
        read_yaml(raw, file="f", limits=limits)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-12", -12),
        ("+7", 7),
        ("3.10", 3.1),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("y", "y"),
        ("nope", "nope"),
        ("2027-03-31", "2027-03-31"),
        ("2026-11-22T03:00:00Z", "2026-11-22T03:00:00Z"),
        ("10%", "10%"),
        ("6h", "6h"),
        ("1.2.3", "1.2.3"),
        ("'no'", "no"),
        ('"0755"', "0755"),
        ("=", "="),
        ("a\n  b", "a b"),
    ],
)
def test_scalar_has_its_value_of_yaml_1_2(written: str, value: object) -> None:
    """A scalar has the value that YAML 1.2 gives it, and dates are text."""
    found = plain(read_yaml(f"a: {written}\n", file="f"))["a"]

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "written",
    [
        "no",
        "Yes",
        "ON",
        "off",
        "22:22",
        "1:30",
        "0755",
        "010",
        "0o17",
        "0x1F",
        "0b1",
        "12_34",
        "1_0.5",
        ".nan",
        "-.inf",
    ],
)
def test_scalar_that_readers_take_differently_is_refused(written: str) -> None:
    """What YAML 1.1 and 1.2 read differently is a problem that says to quote it, at its place."""
    problem = _problem(f"a: {written}\n")

    assert problem.startswith(f"f:1:4: `{written}` is ")
    assert f'write "{written}" with quotes' in problem


@pytest.mark.parametrize("written", ["no", "22:22", "0755"])
def test_tolerant_scalar_is_kept_with_its_doubt(written: str) -> None:
    """In an inventory a doubtful scalar is no problem until it is needed, and its doubt does not quote it."""
    node = read_yaml(f"a: {written}\n", file="f", limits=INVENTORY_LIMITS)

    assert isinstance(node, MappingNode)
    value = node.entries["a"].value
    assert isinstance(value, ScalarNode)
    assert value.doubt
    assert written not in value.doubt


def test_nodes_know_their_places() -> None:
    """Keys and values have line and column from 1; quoted ones the place of the first character inside."""
    text = "one: plain\ntwo: 'single'\nthree: \"double\"\nfour: |\n  block\nfive:\n  - a\n  - {k: v}\n"

    node = read_yaml(text, file="f")

    assert isinstance(node, MappingNode)
    places = {key: (e.line, e.column, e.value.line, e.value.column) for key, e in node.entries.items()}
    assert places == {
        "one": (1, 1, 1, 6),
        "two": (2, 1, 2, 7),
        "three": (3, 1, 3, 9),
        "four": (4, 1, 5, 3),
        "five": (6, 1, 7, 3),
    }
    five = node.entries["five"].value
    assert isinstance(five, ListNode)
    assert [(item.line, item.column) for item in five.items] == [(7, 5), (8, 5)]


def test_problems_of_one_file_come_together() -> None:
    """Several mistakes of one file are reported in one go, in the order of their places."""
    problem = _problem("a: no\nb: &x 1\nc: *x\na: 2\n")

    assert [line.split(" ")[0] for line in problem.splitlines()] == ["f:1:4:", "f:2:4:", "f:3:4:", "f:4:1:"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"\xef\xbb\xbfa: 1\n", "f:1:1: the character U+FEFF is not allowed"),
        (b"a: 1\nb: \xff\n", "f:2:4: is not UTF-8; save the file as UTF-8"),
        (b"a: x\x00y\n", "f:1:5: the character U+0000 is not allowed"),
        (b"a: 1\n# \xe2\x80\xae x\n", "f:2:3: the character U+202E is not allowed"),
        (b"a: \xc2\x85\n", "f:1:4: the character U+0085 is not allowed"),
        (b"a: [" + b"[" * 10 + b"]" * 11, "f:1:8: is nested more than 5 deep"),
        (b"a: [" + b"1, " * 60 + b"]", "holds more than 50 values"),
        (b"a: " + b"x" * 101, "f:1:4: is longer than 0 KiB"),
        (b"a: " + b"x" * 2_000, "f: is larger than 0 MiB"),
        (b"a: \xef\xbf\xbe\n", "f: is not YAML: it holds a character that YAML does not allow"),
    ],
)
def test_limit_and_character_is_refused(raw: bytes, message: str) -> None:
    """Sizes, depths and characters over the limits are problems with their places."""
    assert message in _problem(raw, limits=SMALL)


def test_real_limits_are_those_of_the_design() -> None:
    """Rules may have 1 MiB and 50,000 values, inventories 64 MiB and 2,000,000; both 32 levels."""
    assert (RULES_LIMITS.bytes_max, RULES_LIMITS.nodes_max, RULES_LIMITS.depth_max) == (2**20, 50_000, 32)
    assert (INVENTORY_LIMITS.bytes_max, INVENTORY_LIMITS.nodes_max) == (64 * 2**20, 2_000_000)
    assert RULES_LIMITS.scalar_characters_max == 64 * 1024


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a, *a, *a, *a, *a, *a, *a]\n" for i in range(9)),
        "[" * 2_000,
        "{a: " * 1_500,
        "".join(f"{' ' * i}a:\n" for i in range(300)),
        "[" + "1, " * 300_000 + "]",
    ],
    ids=["aliases", "flow depth", "mapping depth", "block depth", "long list"],
)
def test_bomb_is_refused_in_time(text: str) -> None:
    """Documents built to exhaust a reader are refused within seconds."""
    start = time.monotonic()
    problem = _problem(text)

    assert problem
    assert time.monotonic() - start < 5


def test_tolerant_tags_and_aliases_are_opaque() -> None:
    """In an inventory, values with tags and aliases are kept as what they are, unread."""
    node = read_yaml("a: !vault |\n  xx\nb: &q [1]\nc: *q\nd: !x {k: v}\n1: 2\n", file="f", limits=TOLERANT)

    assert isinstance(node, MappingNode)
    whats = {key: e.value.what for key, e in node.entries.items() if isinstance(e.value, OpaqueNode)}
    assert whats == {"a": "the tag !vault", "c": "the alias *q", "d": "the tag !x"}
    assert "1" in node.entries


def test_scalar_repr_hides_its_value() -> None:
    """What stands in a file is not in the repr of its nodes, for it may be a password."""
    node = read_yaml("a: hunter2\nb: [hunter2]\n", file="f", limits=INVENTORY_LIMITS)

    assert "hunter2" not in repr(node)


def test_empty_document_is_null() -> None:
    """A file without a document is a null scalar at its top."""
    assert plain(read_yaml("# only a comment\n", file="f")) is None


_TEXTS = st.text(alphabet="ab01 :-#'\"\n\t{}[],&*!|>%@`~?<=.\\no\x00\x85\u202e\ufeff\U0001f600", max_size=200)
_ODD = (": ", "&a ", "*a", "!t ", "!!int ", "<<: ", "|\n ", ">-\n ", "0755", "1e999", "9" * 5000, "2024-13-45", "---\n")
_BITS = st.sampled_from([*"{}[],x'\\\"\n- ?", "a: ", "no", "...\n", "%YAML 1.1\n", "\ud800", *_ODD])


@settings(max_examples=200, deadline=None)
@given(st.one_of(_TEXTS, st.lists(_BITS, max_size=40).map("".join), st.binary(max_size=200)), st.booleans())
def test_only_files_error_leaves_the_reader(raw: str | bytes, tolerant: bool) -> None:
    """Whatever text or bytes are read, they become a node, or FilesError with a place in the file."""
    limits = INVENTORY_LIMITS if tolerant else RULES_LIMITS
    node, problems = None, ()
    try:
        node = read_yaml(raw, file="f", limits=limits)
    except FilesError as exc:
        problems = exc.problems

    assert (node is None) == bool(problems)
    assert all(problem.place.file == "f" and problem.message for problem in problems)
    assert tolerant or not isinstance(node, OpaqueNode)


_VISIBLE = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=20)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(-1e15, 1e15).map(lambda x: x + 0.0)
    | _VISIBLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_VISIBLE, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(_VALUES)
def test_values_written_as_json_are_read_back(value: object) -> None:
    """JSON is YAML: what json.dumps writes is read as the same values."""
    assert plain(read_yaml(json.dumps(value, ensure_ascii=False), file="f")) == value
