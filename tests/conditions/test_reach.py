"""What no row can make true is found, and nothing that a row can make true is ever called so."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remedy.conditions.evaluate import bind
from remedy.conditions.reach import can_hold
from remedy.conditions.tree import Between, ColumnRead, Comparator, Comparison, Constant, In, Junction, Node, Not, Word
from remedy.model import Row
from tests.conditions.trees import NUMBERS, PARAMS, booleans, compiled, others, rows

_FEW = st.sampled_from(NUMBERS[:6]).map(lambda number: Constant(value=number))
_PLAIN = st.sampled_from([ColumnRead(name="a"), ColumnRead(name="b")])
_ATOMS = st.one_of(
    st.builds(
        Comparison, comparator=st.sampled_from([each for each in Comparator if each != "like"]), left=_PLAIN, right=_FEW
    ),
    st.builds(
        Comparison, comparator=st.sampled_from([each for each in Comparator if each != "like"]), left=_FEW, right=_PLAIN
    ),
    st.builds(Comparison, comparator=st.sampled_from(list(Comparator)[:6]), left=_PLAIN, right=_PLAIN),
    st.builds(Between, operand=_PLAIN, low=_FEW, high=_FEW),
    st.builds(In, operand=_PLAIN, items=st.lists(_FEW, min_size=1, max_size=3).map(tuple)),
)
_CLOSE = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.builds(Not, operand=inner),
        st.builds(Junction, word=st.sampled_from(Word), operands=st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
_FEW_ROWS = [{"a": a, "b": b} for a in (-1.0, 0.0, 0.05, 0.1, 0.3, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 7.0, 10.0, 11.0)
             for b in (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 10.0, 11.0)]  # fmt: skip


def _holds(wanted: list[tuple[Node, bool]], row: Row, other: dict[str, Row | None]) -> bool:
    return all(bind(tree, PARAMS)(row, other) is want for tree, want in wanted)


@settings(max_examples=150, deadline=None)
@given(
    tree=booleans(2), other_tree=booleans(1), wants=st.tuples(st.booleans(), st.booleans()), row=rows(), other=others()
)
def test_what_a_row_makes_so_can_hold(
    tree: Node, other_tree: Node, wants: tuple[bool, bool], row: Row, other: dict[str, Row | None]
) -> None:
    """Conditions that come out as wanted on some row are never said to be out of reach."""
    wanted = [(tree, wants[0]), (other_tree, wants[1])]

    assert not _holds(wanted, row, other) or can_hold(wanted, PARAMS)


@settings(max_examples=200, deadline=None)
@given(wanted=st.lists(st.tuples(_CLOSE, st.booleans()), min_size=1, max_size=3))
def test_what_a_row_at_a_boundary_makes_so_can_hold(wanted: list[tuple[Node, bool]]) -> None:
    """Plain comparisons that a row at, between or beyond the boundaries makes so are never said to be out of reach."""
    found = any(_holds(wanted, row, {}) for row in _FEW_ROWS)

    assert found <= can_hold(wanted, PARAMS)


@settings(max_examples=100, deadline=None)
@given(tree=booleans(2))
def test_no_condition_is_true_and_false(tree: Node) -> None:
    """One and the same condition cannot be both, unless it has too many alternatives to be decided."""
    assert not can_hold([(tree, True), (tree, False)], PARAMS)


@pytest.mark.parametrize(
    ("false", "true"),
    [
        ("a < 10", "a < 5"),
        ("a < params.limit", "a < params.limit - 1"),
        ("a < 10 and b < 20", "a < 10 and b < 5"),
        ("a < 10 or b < 20", "a < 12 and b < 19"),
        ("a <= 10", "a = 10"),
        ("a > b", "b < a"),
        ("a = 1", "a in (1)"),
        ("a between 1 and 5", "a = 3"),
        ("not p", "p = false"),
        ("p", "p"),
        ("s = 'x'", "s in ('x')"),
        ("s like 'x%'", "s like 'x%' and a > 3"),
        ("boot.days > 3", "boot.days > 4"),
        ("a < 3", "b < abs(a) and not (abs(a) > b)"),
        ("p", "length(s) < 0"),
        ("p", "a > 5 and a < 4"),
        ("p", "a > 5 and a <= 5"),
        ("p", "s = 'x' and s = 'y'"),
        ("p", "s in ('x', 'y') and s <> 'x' and s <> 'y'"),
        ("p", "a < b and a > b"),
        ("p", "params.limit < 5"),
        ("p", "a < 1 / 0"),
    ],
)
def test_contradiction_is_found(false: str, true: str) -> None:
    """What can be seen from the text and the parameters to contradict itself is found."""
    assert not can_hold([(compiled(false).tree, False), (compiled(true).tree, True)], PARAMS)


@pytest.mark.parametrize(
    ("false", "true"),
    [
        ("a < 10", "a >= 12"),
        ("a < 10", "a >= 10"),
        ("a < 10 and b < 20", "a < 5"),
        ("a <> 10", "a = 10"),
        ("a > b", "b >= a"),
        ("p", "a + 1 < a"),
        ("p", "s like 'x%' and s like 'y%'"),
        ("boot.days > 3", "not boot.pending"),
        ("p", "a > 5 and b < 5"),
        ("p", "s < 'b' and s > 'a'"),
    ],
)
def test_what_is_no_contradiction_or_cannot_be_decided_is_let_be(false: str, true: str) -> None:
    """Whatever is not certain to be out of reach is not said to be."""
    assert can_hold([(compiled(false).tree, False), (compiled(true).tree, True)], PARAMS)


def test_condition_of_too_many_alternatives_is_given_up() -> None:
    """A contradiction behind more alternatives than are tried is not found, and the answer comes at once."""
    many = " and ".join(f"(a < {number} or b < {number})" for number in range(1, 40))

    assert can_hold([(compiled(f"{many} and (p or q) and not p and not q").tree, True)], PARAMS)
