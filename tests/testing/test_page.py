"""docs/testing.md is true: its commands print what it shows, its tables are the code's."""

import re
import shutil
from pathlib import Path

import pytest

from remedy.load import starter_rules
from remedy.load.cases import ExpectedVerdict
from remedy.load.schema import load_schema
from tests.cli.command_line import CommandLine

_PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
_PROSE = re.sub(r"^```.*?^```$", "", _PAGE, flags=re.MULTILINE | re.DOTALL)
_CONSOLE = re.findall(r"```console\n\$ (?P<command>.*?)\n(?P<shown>.*?)```", _PAGE, re.DOTALL)
_WRONG = """\
- case: only nearly full volumes match
  now: 2026-11-22T03:00:00Z
  hosts:
    full: {readings: {disk: [{mount: /, free_gib: 4, free_percent: 3}]}}
    roomy: {readings: {disk: [{mount: /, free_gib: 300, free_percent: 60}]}}
    spare: {readings: {disk: [{mount: /, free_gib: 300, free_percent: 60}]}}
    gone: {readings: {disk: {unreachable: no route}}}
  expect:
    full: {match: [{mount: /}]}
    roomy: {match: [{mount: /}]}
    spare: healthy
    gone: {unknown: no route}
"""
_HALF = """\
- case: only nearly full volumes match
  now: 2026-11-22T03:00:00Z
  hosts:
    full: {readings: {disk: [{mount: /, size_gib: 100, free_gib: 19, free_percent: 9}]}}
    share: {readings: {disk: [{mount: /, size_gib: 100, free_gib: 19, free_percent: 11}]}}
    size: {readings: {disk: [{mount: /, size_gib: 5, free_gib: 20, free_percent: 9}]}}
    unread: {readings: {disk: [{mount: /, size_gib: 5, free_gib: null, free_percent: 9}]}}
  expect: {full: {match: [{mount: /}]}, share: healthy, size: healthy, unread: {unknown: free_gib}}

- case: what proves a fix
  now: 2026-11-22T03:00:00Z
  hosts:
    a: {readings: {disk: [{mount: /, size_gib: 100, free_gib: 5, free_percent: 12}]}}
    b: {readings: {disk: [{mount: /, size_gib: 100, free_gib: 5, free_percent: 11.9}]}}
    c: {readings: {disk: [{mount: /, size_gib: 1, free_gib: 25, free_percent: 5}]}}
    d: {readings: {disk: [{mount: /, size_gib: 100, free_gib: 24.9, free_percent: 5}]}}
    e: {readings: {disk: [{mount: /, free_gib: null, free_percent: 11}]}}
    f: {readings: {disk: [{mount: /, free_gib: 21, free_percent: null}]}}
  expect: {a: healthy, b: healthy, c: healthy, d: healthy, e: healthy, f: healthy}
  fixed: {a: [{mount: /}], c: [{mount: /}]}
"""
_TESTS = {"remedy test rules/low-disk": _WRONG, "remedy test rules/low-disk --coverage --mutants": _HALF}


@pytest.mark.parametrize(("command", "shown"), _CONSOLE, ids=[command for command, _ in _CONSOLE])
def test_command_prints_what_the_page_shows(tmp_path: Path, command: str, shown: str) -> None:
    """Each command of the page, over the starter rules or with other cases for low-disk, prints just that."""
    line = CommandLine(tmp_path)
    shutil.copytree(starter_rules(), tmp_path / "rules")
    if command in _TESTS:
        (tmp_path / "rules" / "low-disk" / "tests.yaml").write_text(_TESTS[command])

    ran = line.remedy(*command.split()[1:])

    assert ran.out == shown, ran.err


def test_page_shows_commands() -> None:
    """There are examples, each of them known to the test above."""
    assert {command for command, _ in _CONSOLE} >= {"remedy test rules/time-drift", *_TESTS}


def test_every_form_of_the_schema_is_on_the_page() -> None:
    """No key that a case may have, no verdict and no hold is missing from the page."""
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", _PROSE))))
    definitions = load_schema("tests")["$defs"]
    keys = {*definitions["case"]["properties"], *definitions["reading"]["then"]["properties"]}
    held = definitions["case"]["properties"]["held"]["additionalProperties"]["else"]["enum"]

    assert keys - words == set()
    assert {verdict.value for verdict in ExpectedVerdict} - words == set()
    assert set(held) - words == set()
