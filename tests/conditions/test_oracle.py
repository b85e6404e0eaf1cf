"""The meaning of conditions beside DuckDB's, and the promises that hold for all trees and rows."""

from __future__ import annotations  # Evaluated, they keep duckdb's types alive at exit, where it reports them.

from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remedy.conditions.evaluate import bind
from remedy.conditions.parse import parse
from remedy.conditions.tree import Node
from remedy.model import ColumnType, Value
from tests.conditions.trees import (
    COLUMNS,
    PARAMS,
    SIGNALS,
    booleans,
    compiled,
    less_informed,
    many_rows,
    others,
    rows,
    sql_of,
    text_of,
)

_ROWS = many_rows(300)
_SQL_TYPES = {ColumnType.NUMBER: "DOUBLE", ColumnType.TEXT: "VARCHAR", ColumnType.BOOLEAN: "BOOLEAN"}


@pytest.fixture(scope="module")
def oracle() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory with the rows in a table."""
    columns = dict(COLUMNS) | {f"boot__{name}": column for name, column in SIGNALS["boot"].items()}
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        declared = ", ".join(f"{name} {_SQL_TYPES[column.type]}" for name, column in columns.items())
        connection.execute(f"CREATE TABLE rows (place INTEGER, {declared})")
        connection.executemany(
            f"INSERT INTO rows VALUES (?, {', '.join('?' for _ in columns)})",
            [[place, *row.values(), *boot.values()] for place, (row, boot) in enumerate(_ROWS)],
        )
        yield connection


class _Count:
    """How many expressions were compared, how many rows had a verdict, and how many DuckDB refused."""

    def __init__(self) -> None:
        self.compared = self.refused = self.defined = 0


def _compare(tree: Node, oracle: duckdb.DuckDBPyConnection, count: _Count) -> None:
    plain, finite = sql_of(tree, finite=False), sql_of(tree, finite=True)
    try:
        answers = oracle.execute(f"SELECT {plain}, {finite} FROM rows ORDER BY place").fetchall()
    except duckdb.Error:
        count.refused += 1
        return
    predicate = bind(tree, PARAMS)
    count.compared += 1
    for (row, boot), (theirs, theirs_finite) in zip(_ROWS, answers, strict=True):
        ours: Value = predicate(row, {"boot": boot})
        assert ours is theirs_finite, (text_of(tree), row, boot)
        if ours is not None and theirs is not None:
            count.defined += 1
            assert ours is theirs, (text_of(tree), row, boot)


def _agree(oracle: duckdb.DuckDBPyConnection, *, examples: int) -> _Count:
    count = _Count()

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(tree=booleans(4))
    def check(tree: Node) -> None:
        _compare(tree, oracle, count)

    check()
    return count


def _assert_really_compared(count: _Count, examples: int) -> None:
    assert count.compared >= 0.9 * examples
    assert count.refused <= 0.1 * (count.compared + count.refused)
    assert count.defined >= 0.25 * count.compared * len(_ROWS)


def test_evaluate_agrees_with_duckdb(oracle: duckdb.DuckDBPyConnection) -> None:
    """Random conditions decide 300 rows as DuckDB does, but for numbers that are not finite: null here."""
    count = _agree(oracle, examples=600)

    _assert_really_compared(count, 600)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_evaluate_agrees_with_duckdb_for_many_conditions(oracle: duckdb.DuckDBPyConnection) -> None:
    """Thousands of random conditions decide 300 rows as DuckDB does."""
    count = _agree(oracle, examples=5_000)

    _assert_really_compared(count, 5_000)


def test_lower_agrees_with_duckdb_for_every_character(oracle: duckdb.DuckDBPyConnection) -> None:
    """`lower` and `length` of every character that both know in lower case are DuckDB's."""
    known = oracle.execute(
        "SELECT chr(code::INTEGER), lower(chr(code::INTEGER)) FROM range(1, 1114112) AS codes(code) "
        "WHERE code NOT BETWEEN 55296 AND 57343 AND lower(chr(code::INTEGER)) <> chr(code::INTEGER)"
    ).fetchall()

    decide = compiled("lower(s) = t and length(lower(s)) = length(t)").bind(PARAMS)
    assert len(known) > 1_000
    assert [pair for pair in known if decide({"s": pair[0], "t": pair[1]}, {}) is not True] == []


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=booleans(4), every=st.booleans())
def test_parse_of_printed_tree_is_the_tree(tree: Node, every: bool) -> None:
    """A tree printed with few or with all parentheses parses to itself, without mistakes."""
    parsed, mistakes = parse(text_of(tree, all_parentheses=every))

    assert mistakes == ()
    assert parsed == tree


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=booleans(4))
def test_every_random_tree_passes_the_check(tree: Node) -> None:
    """What is typed by construction is accepted by the type check, and the text keeps its tree."""
    condition = compiled(text_of(tree))

    assert condition.tree == tree


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=booleans(3), row=rows(), other=others())
def test_removed_information_only_makes_unknown(tree: Node, row: dict[str, Value], other: dict[str, object]) -> None:
    """A value set to null or absent, or another signal's row gone, changes a verdict to unknown or not at all."""
    predicate = bind(tree, PARAMS)
    verdict = predicate(row, other)

    less = [predicate(poorer, other) for poorer in less_informed(row)]
    less += [predicate(row, {**other, "boot": poorer}) for poorer in less_informed(other.get("boot") or {})]
    less += [predicate(row, {}), predicate(row, {"boot": None}), predicate({}, other), predicate({}, {})]
    assert all(found is None or found is verdict for found in less)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=booleans(4), row=rows(), other=others())
def test_predicate_is_total_and_three_valued(tree: Node, row: dict[str, Value], other: dict[str, object]) -> None:
    """No typed row makes a predicate raise, and it answers nothing but True, False or None."""
    verdict = bind(tree, PARAMS)(row, other)

    assert verdict is True or verdict is False or verdict is None
