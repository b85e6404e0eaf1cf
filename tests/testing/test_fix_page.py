"""The section about fixes and collectors in docs/testing.md: its examples pass, its words are the code's."""

import re
from pathlib import Path

import pytest

from remedy.load.cases import read_tests
from remedy.load.fix_cases import load_collect_cases, load_fix_cases
from remedy.load.repository import load_repository, starter_rules
from remedy.load.schema import load_schema
from remedy.testing.fixes import NOTES, run_collect_cases, run_fix_cases
from remedy.testing.results import State
from remedy_runners.sandbox import BubblewrapCage
from remedy_runners.sandbox_root import SHOWN, USUAL_PROGRAMS

_PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
_SECTION = _PAGE.partition("\n## Fixes and collectors\n")[2].partition("\n## ")[0]
_BLOCKS = re.findall(r"```yaml\n(.*?)```", _SECTION, re.DOTALL)
_REPOSITORY = load_repository(starter_rules())


@pytest.mark.parametrize("text", _BLOCKS, ids=lambda text: text.split("\n")[0])
def test_example_passes(tmp_path: Path, text: str) -> None:
    """Each example is a case that passes with the starter rules, in a cage."""
    path = tmp_path / "tests.yaml"
    path.write_text(text)
    document, is_sound = read_tests(path)
    assert is_sound
    if text.startswith("- fix"):
        cases = load_fix_cases(document, _REPOSITORY.signals, _REPOSITORY.rules["low-disk"])
        [checked] = run_fix_cases(cases, BubblewrapCage())
    else:
        collectors = load_collect_cases(document, _REPOSITORY.signals["disk"])
        [checked] = run_collect_cases(collectors, BubblewrapCage())
    assert document.problems == []
    if checked.state is State.SKIPPED:
        pytest.skip(checked.message)

    assert checked.state is State.PASSED, checked.message


def test_both_kinds_have_an_example() -> None:
    """There is an example of a fix and one of a collector."""
    assert [text.partition(":")[0] for text in _BLOCKS] == ["- fix", "- collect"]


def test_words_of_the_section_are_those_of_the_code() -> None:
    """Each key of both kinds is in the tables, and the places and usual programs that are named exist."""
    prose = re.sub(r"^```.*?^```$", "", _SECTION, flags=re.MULTILINE | re.DOTALL)
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", prose))))
    definitions = load_schema("tests")["$defs"]
    keys = set()
    for name in ("fix_case", "collect_case"):
        properties = definitions[name]["properties"]
        keys |= {*properties, *properties["expect"]["properties"]}
        keys |= set(properties["files"]["additionalProperties"]["then"]["properties"])
        keys |= set(properties["expect"]["properties"]["files"]["additionalProperties"]["then"]["properties"])

    assert keys <= words
    assert f"`{SHOWN}`" in prose
    assert f"`{NOTES}`" in prose
    assert {"flock", "setsid", "bash", "python3"} <= USUAL_PROGRAMS
