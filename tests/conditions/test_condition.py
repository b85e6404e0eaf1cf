"""A compiled condition as a value: what it says of itself, and how it explains a decision."""

import dataclasses
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import remedy.conditions
from remedy.conditions import CheckedCondition, compile_condition
from remedy.conditions.tree import Node
from remedy.errors import FilesError
from remedy.model import Clause, Condition, Row, Value
from tests.conditions.trees import COLUMNS, PARAMS, PLACE, SIGNALS, booleans, compiled, others, rows, text_of


def test_condition_says_what_it_reads() -> None:
    """A condition has its text as written, its columns in order, and the other signals sorted."""
    text = " b < 3 and a > boot.days or not (b > params.limit)"
    condition: Condition = compiled(text)

    assert condition.text == text
    assert condition.other_signals == ("boot",)
    assert isinstance(condition, CheckedCondition)
    assert condition.columns_read == ("b", "a")


def test_other_signals_are_sorted_and_named_once() -> None:
    """Each other signal is named once, in alphabetical order."""
    signals = {name: {"days": COLUMNS["a"]} for name in ("zebra", "boot", "agent")}
    text = "zebra.days < 1 or agent.days < 1 or boot.days < 1 or agent.days > 3"

    condition = compile_condition(text, columns=COLUMNS, params={}, signals=signals, place=PLACE)
    assert condition.other_signals == ("agent", "boot", "zebra")
    assert condition.columns_read == ()


def test_condition_is_a_frozen_value() -> None:
    """Equal texts give equal conditions; none can be changed; all can be sent to another process."""
    condition = compiled("a < 3")

    assert condition == compiled("a < 3")
    assert condition != compiled("a < 4")
    assert hash(condition) == hash(compiled("a < 3"))
    assert pickle.loads(pickle.dumps(condition)).bind({})({"a": 1.0}, {}) is True
    with pytest.raises(dataclasses.FrozenInstanceError):
        condition.text = "true"  # type: ignore[misc]


def test_public_names_are_these() -> None:
    """The package offers the compiler, its result and the words that nothing may be named."""
    assert sorted(remedy.conditions.__all__) == [
        "CheckedCondition",
        "RESERVED_WORDS",
        "compile_condition",
        "named_signals",
        "parse_problems",
    ]


def test_compile_changes_none_of_its_arguments() -> None:
    """Columns, parameters and signals are only read."""
    columns, params, signals = dict(COLUMNS), dict(PARAMS), {name: dict(of) for name, of in SIGNALS.items()}
    condition = compile_condition("a < params.limit", columns=columns, params=params, signals=signals, place=PLACE)
    condition.explain(params, {"a": 1.0}, {})

    assert (columns, params, signals) == (COLUMNS, PARAMS, SIGNALS)


def test_explain_names_each_conjunct_with_what_it_read() -> None:
    """The parts joined by `and` are explained one by one, with the values of that row and host."""
    condition = compiled("a < params.limit and (s like 'x%' or not p)\n and boot.days > 30 and a <> b")

    clauses = condition.explain({**PARAMS, "limit": 5.0}, {"a": 3.0, "s": "y", "p": None}, {"boot": {"days": 40.0}})
    assert clauses == (
        Clause(text="a < params.limit", verdict=True, values=(("a", 3.0), ("params.limit", 5.0))),
        Clause(
            text="(s like 'x%' or not p)",
            verdict=None,
            values=(("s", "y"), ("p", None)),
            word="or",
            parts=(
                Clause(text="s like 'x%'", verdict=False, values=(("s", "y"),)),
                Clause(text="not p", verdict=None, values=(("p", None),)),
            ),
        ),
        Clause(text="boot.days > 30", verdict=True, values=(("boot.days", 40.0),)),
        Clause(text="a <> b", verdict=None, values=(("a", 3.0), ("b", None))),
    )


def test_explain_looks_into_parentheses_around_and() -> None:
    """Conjuncts in parentheses are conjuncts; those under `or` and `not` stay one part."""
    texts = [
        [clause.text for clause in compiled(text).explain(PARAMS, {}, {})]
        for text in ("(p and q) and a < 3", "p and q or a < 3", "not (p and q)", "p")
    ]

    assert texts == [["p", "q", "a < 3"], ["p and q or a < 3"], ["not (p and q)"], ["p"]]


def test_explain_shows_what_a_part_is_made_of() -> None:
    """A part under `or` and `not` has its own parts, as deep as they are written; a plain comparison has none."""
    (either,) = compiled("p and q or (a < 3 or not (p or q))").explain(PARAMS, {}, {})

    assert [part.text for part in either.parts] == ["p and q", "a < 3", "not (p or q)"]
    assert [part.text for part in either.parts[0].parts] == ["p", "q"]
    assert [part.text for part in either.parts[2].parts] == ["(p or q)"]
    assert (either.word, either.parts[0].word, either.parts[2].word) == ("or", "and", "not")
    assert [part.text for part in either.parts[2].parts[0].parts] == ["p", "q"]
    assert either.parts[1].parts == ()


def test_explain_names_each_value_once() -> None:
    """A column that is read twice in a conjunct is named once, where it stands first."""
    (clause,) = compiled("a < b or a > params.limit or a = b").explain(PARAMS, {"a": 1.0, "b": 2.0}, {})

    assert clause.values == (("a", 1.0), ("b", 2.0), ("params.limit", 10.0))


def test_explain_of_a_missing_other_signal_says_null() -> None:
    """A signal without a row is explained with null values, not with an error."""
    condition = compiled("boot.days > 3 and boot.pending")

    for other in ({}, {"boot": None}, {"boot": {}}):
        assert [clause.values for clause in condition.explain({}, {}, other)] == [
            (("boot.days", None),),
            (("boot.pending", None),),
        ]


@given(tree=booleans(3), row=rows(), other=others())
def test_clauses_together_decide_as_the_condition(
    tree: Node, row: dict[str, Value], other: dict[str, Row | None]
) -> None:
    """The verdicts of the clauses, joined by `and`, are the verdict of the condition; texts are slices."""
    condition = compiled(text_of(tree))
    clauses = condition.explain(PARAMS, row, other)

    verdicts = {clause.verdict for clause in clauses}
    together = False if False in verdicts else None if None in verdicts else True
    assert together is condition.bind(PARAMS)(row, other)
    assert all(clause.text in condition.text for clause in clauses)


@given(tree=booleans(3), row=rows(), other=others())
def test_parts_of_a_clause_together_decide_as_the_clause(
    tree: Node, row: dict[str, Value], other: dict[str, Row | None]
) -> None:
    """Whatever is made of others by and, or, not decides as these joined by its word, all the way down."""
    left = list(compiled(text_of(tree)).explain(PARAMS, row, other))

    while left:
        clause = left.pop()
        left += clause.parts
        verdicts = {part.verdict for part in clause.parts}
        match clause.word:
            case "and":
                assert clause.verdict is (False if False in verdicts else None if None in verdicts else True)
            case "or":
                assert clause.verdict is (True if True in verdicts else None if None in verdicts else False)
            case "not":
                (part,) = clause.parts
                assert clause.verdict is (None if part.verdict is None else not part.verdict)
            case _:
                assert not clause.parts


@given(text=st.sampled_from(["a < 1", "a <", "fre < 1 and b"]), line=st.integers(1, 99), column=st.integers(1, 99))
def test_compile_depends_on_nothing_but_its_arguments(text: str, line: int, column: int) -> None:
    """Compiled twice, a text gives the same condition or the same problems."""

    def outcome() -> object:
        place = dataclasses.replace(PLACE, line=line, column=column)
        try:
            return compile_condition(text, columns=COLUMNS, params=PARAMS, signals=SIGNALS, place=place)
        except FilesError as refused:
            return refused.problems

    assert outcome() == outcome()
