"""What is refused, where exactly, and which cure the message names."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.conditions import CheckedCondition, compile_condition
from remedy.errors import FilesError, Place, Problem
from remedy.model import Column, ColumnType, Params
from remedy.text import untrusted

_TEXT = Column(type=ColumnType.TEXT)
_NUMBER = Column(type=ColumnType.NUMBER)
_BOOLEAN = Column(type=ColumnType.BOOLEAN)
_COLUMNS = {"mount": _TEXT, "free_gib": _NUMBER, "free_percent": _NUMBER, "read_only": _BOOLEAN, "name": _TEXT}
_PARAMS: Params = {"below_percent": 10.0, "label": "srv", "strict": True, "mounts": ("/", "/srv")}
_SIGNALS = {"reboot": {"days": _NUMBER, "pending": _BOOLEAN}}

_REFUSED = [
    (text, refusal.strip())
    for block in (Path(__file__).parent / "refused.txt").read_text(encoding="utf-8").split("\n\n")
    if not block.startswith("#")
    for text, refusal in [block.rstrip("\n").split("\n")]
]


def _compiled(text: str, *, place: Place | None = None) -> CheckedCondition:
    return compile_condition(
        text,
        columns=_COLUMNS,
        params=_PARAMS,
        signals=_SIGNALS,
        multi_row_signals=("disk", "service"),
        place=place or Place(file="rule.yaml", line=7, column=7),
    )


def _refusals(text: str, *, place: Place | None = None) -> list[str]:
    with pytest.raises(FilesError) as caught:
        _compiled(text, place=place)
    assert all(problem.cure for problem in caught.value.problems)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(("text", "refusal"), _REFUSED)
def test_refused_condition_has_its_message(text: str, refusal: str) -> None:
    """Each condition of refused.txt is refused with exactly its message: the place, what is wrong, the cure."""
    assert _refusals(text) == [f"rule.yaml:{refusal}"]


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("", "7:7: the condition is empty; write one, such as free_percent < 10"),
        (" \n ", "7:7: the condition is empty; write one, such as free_percent < 10"),
        ("free_percent\u00a0< 10", "7:19: unexpected character U+00A0 NO-BREAK SPACE; write a plain space"),
        ("free_percent < 10\u202e", "7:24: unexpected character U+202E RIGHT-TO-LEFT OVERRIDE; leave it out"),
        ("free_percent\0 < 10", "7:19: unexpected character U+0000; leave it out"),
        (
            "name = 'a\nb'",
            "7:14: the text contains a control character or a line break; leave it out; no column's text contains any",
        ),
    ],
)
def test_invisible_mistake_has_its_message(text: str, refusal: str) -> None:
    """What cannot be seen in a condition is named in words and never shown raw."""
    assert _refusals(text) == [f"rule.yaml:{refusal}"]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("fre_percent < 10 and free_gb < 3", ["7:7", "7:28"]),
        ("fre_percent + 'x' < 10", ["7:7", "7:21"]),
        ('free_percent == 10 && nme != "x"', ["7:20", "7:26", "7:29", "7:33", "7:36"]),
        ("free_percent < 10 -- full\n and fre_gib < 3;", ["7:25", "8:12", "8:23"]),
        ("name is null and 1 < 2 < 3 and zzz(nme)", ["7:12", "7:30", "7:38", "7:42"]),
        ("abs(nme, 3) = 1 or free_gib in (1, 'a', null)", ["7:7", "7:11", "7:42", "7:47"]),
        ("fre_gib < 1 or fre_gib < 1", ["7:7", "7:22"]),
        ("nme.x = 'a' and params.below = 3", ["7:7", "7:23"]),
    ],
)
def test_all_mistakes_are_reported_together(text: str, places: list[str]) -> None:
    """Every mistake that can be found is in one error, once, in the order of places."""
    found = [refusal.removeprefix("rule.yaml:").split(": ")[0] for refusal in _refusals(text)]

    assert found == places


def test_unknown_name_makes_no_further_mistake() -> None:
    """Where a type is not known because a name is wrong, nothing that depends on it is reported."""
    refusals = _refusals("not (fre_gib + 1 < 'x') and lower(nme) = 3 and abs(zzz)")

    assert [refusal.split(": ")[1].split(";")[0] for refusal in refusals] == [
        "there is no column fre_gib",
        "lower(nme) is text, 3 is a number",
        "there is no column nme",
        "abs(zzz) is a number",
        "there is no column zzz",
    ]


@pytest.mark.parametrize(
    ("text", "place", "shown"),
    [
        ("a < 1", Place(file="r.yaml", line=3, column=9), "r.yaml:3:9"),
        ("  a < 1", Place(file="r.yaml", line=3, column=9), "r.yaml:3:11"),
        ("read_only\nand a < 1", Place(file="r.yaml", line=3, column=9), "r.yaml:4:13"),
        ("read_only\n\n  or\r\n a < 1", Place(file="r.yaml", line=3, column=1), "r.yaml:6:2"),
        ("a < 1", Place(file="r.yaml"), "r.yaml"),
    ],
)
def test_place_is_shifted_by_the_offset(text: str, place: Place, shown: str) -> None:
    """A mistake's place is the condition's, moved by its characters and lines; a whole file stays one."""
    assert _refusals(text, place=place)[0].split(": ")[0] == shown


_CHARACTERS = "abs()'\"<>=!&|-+*/.,;%_0123456789 andornotinlikebetweenparams\n"
_PIECES = (
    *("free_percent", "mount", "read_only", "params.below_percent", "params.mounts", "reboot.days", "disk.x", "zzz"),
    *("1", "0.5", "1e3", "'a'", "''", '"a"', "true", "null", "lower", "abs", "(", ")", ",", ".", ";", "--", "/*"),
    *("and", "or", "not", "=", "<>", "<", "==", "!=", "&&", "between", "in", "like", "is", "select", "case"),
    *("+", "-", "*", "/"),
)


@given(
    text=st.text(max_size=40)
    | st.text(st.sampled_from(_CHARACTERS), max_size=80)
    | st.lists(st.sampled_from(_PIECES), max_size=25).map(" ".join)
)
def test_any_text_decides_or_is_refused(text: str) -> None:
    """Whatever is written decides an empty row, or our own error says where, what and the cure, harmlessly."""
    problems: tuple[Problem, ...] = ()
    verdict = None
    try:
        verdict = _compiled(text).bind(_PARAMS)({}, {})
    except FilesError as refused:
        problems = refused.problems

    assert verdict in (True, False, None)
    assert all(problem.message and problem.cure and problem.place.line for problem in problems)
    assert all(untrusted(str(problem)) == str(problem) for problem in problems)
