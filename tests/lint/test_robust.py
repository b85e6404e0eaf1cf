"""Lint never crashes and never takes long, whatever the bytes are."""

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remedy.lint.finding import Language, Linted
from remedy.lint.isolated import PARSE_S_MAX, Child
from remedy.lint.own import own_findings
from remedy.lint.report import github_lines, lint_json, lint_lines, sarif, summary_line
from remedy.lint.scripts import lint_script
from remedy.load.repository import starter_rules
from remedy.load.scripts import SCRIPT_BYTES_MAX
from tests.lint.planted import DATA, look, read_planted, subject_of

NAMES = ("fix.sh", "fix.bash", "fix.ps1", "fix.py", "collector.sh", "collector-any.sh", "collector.ps1", "other.sh")
SHIPPED = sorted(path for path in starter_rules().rglob("*") if path.suffix in (".sh", ".ps1"))
PIECES = [planted.text for path in sorted(DATA.glob("*.txt")) for planted in read_planted(path)]
TOKENS = [
    "if", "then", "fi", "case", "esac", "in", "do", "done", "{", "}", "(", ")", "[", "]", "$", "${", "$(", "`", "'",
    '"', "|", "||", "&&", ";", ";;", "\n", " ", "<", "<<EOF", "EOF", ">", "&", "#", "rm -rf ", "emit ", "x=", "local ",
    "$x", "$REMEDY_ROW_MOUNT", "?.", "??", "@'", "'@", "@(", "try", "catch", "function f", "param(", "-eq", "read ",
    "curl x", "| sh", "true", "# remedy: allow R101 why", "\\", "\0", "\r", "é", "\ufeff", "\t",
    "select", "select x in",
]  # fmt: skip
PATHOLOGICAL = {
    "parentheses": b"(" * SCRIPT_BYTES_MAX,
    "substitutions": b"$(" * (SCRIPT_BYTES_MAX // 2),
    "quoted substitutions": b'"$(' * (SCRIPT_BYTES_MAX // 3),
    "here-documents": b"<<A\n" * (SCRIPT_BYTES_MAX // 4),
    "pipes": b"a|" * (SCRIPT_BYTES_MAX // 2),
    "ifs": b"if a; then " * (SCRIPT_BYTES_MAX // 11),
    "lists": b"a && " * 20_000 + b"a",
    "removals": b'rm -rf "$x"\n' * (SCRIPT_BYTES_MAX // 12),
    "names": b"x=$x\n" * (SCRIPT_BYTES_MAX // 5),
    "blocks": b"try { " * 20_000,
    "sums": b"1 + " * (SCRIPT_BYTES_MAX // 4),
    "one line": b'rm -rf "$x"; ' * (SCRIPT_BYTES_MAX // 12 - 2_000),
    "allowed": b"reboot # remedy: allow R202 x y z\n" * (SCRIPT_BYTES_MAX // 35),
    "allowances": b"# remedy: allow R101 x y z\n" * (SCRIPT_BYTES_MAX // 27),
}


def _look(name: str, body: bytes) -> None:
    """Lint a script and render it in every form."""
    findings, gaps = lint_script(subject_of(name, body), look=look, shellcheck=None)
    if any(gap.what.startswith("no UTF-8 text") for gap in gaps):
        findings, gaps = look(subject_of(name, body))  # Our own checks take any bytes all the same.
    assert findings == sorted(findings)
    assert all(finding.place.line >= 1 and finding.place.column >= 1 for finding in findings)
    linted = Linted(scripts=1, findings=tuple(findings), gaps=tuple(gaps))
    lines = [*lint_lines(linted), *github_lines(linted), summary_line(linted)]
    assert all(line.isprintable() for line in lines)
    assert lint_json(linted)
    assert sarif(linted, version="1.0.0")


@given(name=st.sampled_from(NAMES), body=st.binary(max_size=200))
@settings(max_examples=250, deadline=None)
def test_any_bytes_are_linted(name: str, body: bytes) -> None:
    """Whatever bytes a file has, lint ends with findings that can be shown."""
    _look(name, body)


@given(name=st.sampled_from(NAMES), tokens=st.lists(st.sampled_from(TOKENS), max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_heap_of_tokens_is_linted(name: str, tokens: list[str]) -> None:
    """Whatever order words and signs of the languages come in, lint ends with findings that can be shown."""
    _look(name, "".join(tokens).encode("utf-8"))


@given(name=st.sampled_from(NAMES), pieces=st.lists(st.sampled_from(PIECES), max_size=4), cut=st.integers(0, 400))
@settings(max_examples=100, deadline=None)
def test_any_cut_of_scripts_is_linted(name: str, pieces: list[str], cut: int) -> None:
    """Scripts of one language read as another, and cut anywhere, end with findings that can be shown."""
    _look(name, "".join(pieces).encode("utf-8")[cut:])


@given(script=st.sampled_from(SHIPPED), at=st.floats(0, 1), noise=st.sampled_from(TOKENS))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_shipped_scripts_with_a_slip_are_linted(script: Path, at: float, noise: str) -> None:
    """A sign too much anywhere in a real script is no reason to crash."""
    body = script.read_bytes()
    place = int(at * len(body))
    _look(f"fix{script.suffix}", body[:place] + noise.encode("utf-8") + body[place:])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fix.sh", "fix.bash", "fix.ps1", "fix.py"])
@pytest.mark.parametrize("what", PATHOLOGICAL)
def test_malicious_text_takes_bounded_time(name: str, what: str) -> None:
    """The largest script of the worst kind is given up within a few times the limit of parsing; lint lives on."""
    began = time.monotonic()

    with Child() as child:
        _, gaps = lint_script(subject_of(name, PATHOLOGICAL[what]), look=child.own_findings, shellcheck=None)
        after = child.own_findings(subject_of("fix.sh", b"reboot\n"))

    assert time.monotonic() - began < 8 * PARSE_S_MAX
    assert all(gap.what for gap in gaps)
    assert [finding.code for finding in after[0]] == ["R202"]


def test_text_without_end_is_a_gap_and_never_clean() -> None:
    """What could not be parsed in time is said, and has no findings."""
    findings, gaps = own_findings(subject_of("fix.sh", b"<<A\n" * 5_000), is_over=lambda: True)

    assert findings == []
    assert [(gap.file, gap.what) for gap in gaps] == [("fix.sh", "parsing it takes too long")]


@pytest.mark.parametrize("language", [Language.SH, Language.POWERSHELL])
def test_text_that_is_nested_too_deep_is_a_gap(language: Language) -> None:
    """A text that is nested deeper than any person writes is said to be not linted."""
    name = "fix.sh" if language is Language.SH else "fix.ps1"

    findings, gaps = own_findings(subject_of(name, b"(" * 2_000 + b"a" + b")" * 2_000), is_over=lambda: False)

    assert findings == []
    assert "deep" in gaps[0].what
