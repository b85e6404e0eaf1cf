"""What can be written in a condition, how it groups, and its limits."""

import pytest

from remedy.conditions import RESERVED_WORDS
from remedy.conditions.parse import CHARACTERS_MAX, DEPTH_MAX, NODES_MAX, parse
from remedy.conditions.tree import (
    Between,
    Call,
    ColumnRead,
    Comparator,
    Comparison,
    Constant,
    In,
    Mistake,
    Node,
    Not,
    OtherRead,
    ParamRead,
    walk,
)
from remedy.errors import FilesError
from tests.conditions.trees import compiled


def _tree(text: str) -> Node:
    tree, mistakes = parse(text)
    assert mistakes == ()
    assert tree is not None
    return tree


def _mistakes(text: str) -> tuple[Mistake, ...]:
    tree, mistakes = parse(text)
    assert tree is None
    return mistakes


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a = 1", Comparison(comparator=Comparator.EQUAL, left=ColumnRead(name="a"), right=Constant(value=1.0))),
        ("true", Constant(value=True)),
        ("FALSE", Constant(value=False)),
        ("'it''s'", Constant(value="it's")),
        ("''", Constant(value="")),
        ("''''", Constant(value="'")),
        ("0.50", Constant(value=0.5)),
        ("params.Limit", ParamRead(name="Limit")),
        ("params . limit", ParamRead(name="limit")),
        ("boot.in", OtherRead(signal="boot", column="in")),
        ("LOWER(s)", Call(function="lower", arguments=(ColumnRead(name="s"),))),
        (
            "length = 1",
            Comparison(comparator=Comparator.EQUAL, left=ColumnRead(name="length"), right=Constant(value=1.0)),
        ),
        ("a in (-1, 2)", In(operand=ColumnRead(name="a"), items=(Constant(value=-1.0), Constant(value=2.0)))),
        (
            "a BETWEEN 1 AND 2",
            Between(operand=ColumnRead(name="a"), low=Constant(value=1.0), high=Constant(value=2.0)),
        ),
        (
            "s nOt LiKe 'x'",
            Not(operand=Comparison(comparator=Comparator.LIKE, left=ColumnRead(name="s"), right=Constant(value="x"))),
        ),
    ],
)
def test_text_is_the_tree(text: str, tree: Node) -> None:
    """Literals, names, functions and keywords of any case give these nodes."""
    assert _tree(text) == tree


@pytest.mark.parametrize(
    ("short", "spelled_out"),
    [
        ("a=1 or b=2 and p", "(a = 1) or ((b = 2) and p)"),
        ("a=1 and b=2 or p", "((a = 1) and (b = 2)) or p"),
        ("not p and q", "(not p) and q"),
        ("not a = 1", "not (a = 1)"),
        ("not not p", "not (not p)"),
        ("a + b * 2 < 3", "(a + (b * 2)) < 3"),
        ("a - b - 1 < 3", "((a - b) - 1) < 3"),
        ("a / b / 2 < 3", "((a / b) / 2) < 3"),
        ("- a * b < 3", "((- a) * b) < 3"),
        ("a - - b < 3", "(a - (- b)) < 3"),
        ("a -1 < 3", "(a - 1) < 3"),
        ("a between 1 and 2 and p", "(a between 1 and 2) and p"),
        ("a between b - 1 and b + 1", "a between (b - 1) and (b + 1)"),
        ("a not in (1, 2)", "not (a in (1, 2))"),
        ("a not between 1 and 2", "not (a between 1 and 2)"),
        ("s not like t", "not (s like t)"),
        ("not a not in (1)", "not (not (a in (1)))"),
        ("((a)) < ((3))", "a < 3"),
        ("a\t<\r\n  3", "a < 3"),
        ("a<3 AND b>4", "a < 3 and b > 4"),
    ],
)
def test_grouping_is_sqls(short: str, spelled_out: str) -> None:
    """`or` binds loosest, then `and`, `not`, comparisons, + and -, * and /, unary minus; from left to right."""
    assert _tree(short) == _tree(spelled_out)


@pytest.mark.parametrize(("one", "other"), [("p and (q and p)", "p and q and p"), ("a - (b - 1) < 3", "a - b - 1 < 3")])
def test_parentheses_change_the_tree(one: str, other: str) -> None:
    """Parentheses group otherwise than the order of operations does."""
    assert _tree(one) != _tree(other)


@pytest.mark.parametrize(
    ("text", "slices"),
    [
        (
            "a < 3 and (b > 1 or p)",
            ["a < 3 and (b > 1 or p)", "a < 3", "a", "3", "(b > 1 or p)", "b > 1", "b", "1", "p"],
        ),
        ("  not s like 'x'", ["not s like 'x'", "s like 'x'", "s", "'x'"]),
        ("abs( -a )*2<1 ", ["abs( -a )*2<1", "abs( -a )*2", "abs( -a )", "-a", "a", "2", "1"]),
        ("a in ( - 1 , 2 )", ["a in ( - 1 , 2 )", "a", "- 1", "2"]),
        ("a between 1 and boot.days", ["a between 1 and boot.days", "a", "1", "boot.days"]),
    ],
)
def test_span_of_every_node_is_its_text(text: str, slices: list[str]) -> None:
    """Each node knows the part of the text it was written as, with its own parentheses."""
    spans = [node.span for node, _ in walk(_tree(text))]

    assert [text[span.start : span.end] for span in spans] == slices


@pytest.mark.parametrize("word", sorted(RESERVED_WORDS - {"params"}))
def test_reserved_word_names_no_column(word: str) -> None:
    """A reserved word, in any case, is never read as a column, so that no column may have it as its name."""
    for written in (word, word.upper()):
        tree, _ = parse(f"{written} = 1")

        assert tree is None or ColumnRead(name=written) not in [node for node, _ in walk(tree)]


@pytest.mark.parametrize("word", sorted(RESERVED_WORDS | {"length", "lower"}))
def test_any_word_can_follow_a_dot(word: str) -> None:
    """After a dot even a keyword is a name: only columns and signals are restricted."""
    assert _tree(f"params.{word}") == ParamRead(name=word)


def test_text_of_the_longest_length_is_parsed() -> None:
    """A condition of exactly the allowed length is parsed; one character more is refused."""
    longest = "a = 1".ljust(CHARACTERS_MAX)

    assert _tree(longest)
    assert _mistakes(longest + " ") == (
        Mistake(
            offset=0, message="the condition has 4097 characters; 4096 are allowed", cure="split it into several rules"
        ),
    )


def test_nodes_beyond_the_limit_are_refused() -> None:
    """A condition of exactly the allowed number of nodes is parsed; more are refused."""
    items = ", ".join(["1"] * (NODES_MAX - 2))

    assert len(list(walk(_tree(f"a in ({items})")))) == NODES_MAX
    assert [mistake.message for mistake in _mistakes(f"a in ({items}, 1)")] == [
        "the condition has 501 literals, names and operations; 500 are allowed"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "(" * 400 + "p" + ")" * 400,
        "(" * 2_000,
        "not " * 1_000 + "p",
        "- " * 1_000 + "a < 1",
        "abs(" * 400 + "a" + ")" * 400 + " < 1",
        "a" + " + 1" * 200 + " < 1",
        "(" * 30 + "a" + "+1)" * 30 + " + 1 + 1 + 1 < 1",
    ],
)
def test_nesting_beyond_the_limit_is_refused(text: str) -> None:
    """Parentheses, negations, signs, functions and long sums are limited in depth, not by Python's stack."""
    messages = [mistake.message for mistake in _mistakes(text)]

    assert messages == [f"the condition is nested deeper than {DEPTH_MAX}"]


@pytest.mark.parametrize(
    "text",
    [
        "(" * DEPTH_MAX + "p" + ")" * DEPTH_MAX,
        "not " * (DEPTH_MAX - 1) + "p",
        "a" + " + 1" * (DEPTH_MAX - 2) + " < 1",
        "(" * 10 + "not " * 10 + "p" + ")" * 10,
    ],
)
def test_nesting_up_to_the_limit_compiles_and_decides(text: str) -> None:
    """Conditions as deep as allowed are checked, bound and decided."""
    assert compiled(text).bind({})({"p": True, "a": 1.0}, {}) in (True, False)


def test_hundreds_of_alternatives_are_not_deep() -> None:
    """A long chain of `or` is one level, so that lists of cases stay possible."""
    text = " or ".join(f"a = {number}" for number in range(150))

    assert compiled(text).bind({})({"a": 149.0}, {}) is True


@pytest.mark.parametrize("digits", ["9" * 309, "1" + "0" * 400 + ".5"])
def test_number_that_is_not_finite_is_refused(digits: str) -> None:
    """A literal beyond the largest double is refused, not read as infinite."""
    with pytest.raises(FilesError, match="the number is too large; write one below"):
        compiled(f"a < {digits}")
