"""docs/why.md is true: what it shows is what the commands say, times apart."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from remedy.model import Outcome, ReadingStatus
from remedy.remembered import IncidentStanding
from tests.cli.command_line import CommandLine
from tests.cli.why_repository import attempted, here, hosts, repository, stored

PAGE = (Path(__file__).parents[2] / "docs" / "why.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"^```console\n\$ remedy (?P<words>[^\n]+)\n(?P<output>.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = {found["words"]: found["output"] for found in EXAMPLE.finditer(PAGE)}
MINUTE = timedelta(minutes=1)

_TIMES = (
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"\d{8}T\d{6}Z-[0-9a-f]{4}", "RUN"),
    (r"(today|[A-Z][a-z]+day|\d{4}-\d\d-\d\d) \d\d:\d\d UTC", "MOMENT"),
    (r"at (\d\d:\d\d|MOMENT)", "at MOMENT"),
    (r"(less than a minute|\d+ (minute|hour|day)s?) ago", "AGO"),
    (r"in \d+[dhms]\d*[hms]?", "in SPAN"),
    (r"[0-9a-f]{16}", "EXECUTION"),
    (r"by \S+ \(uid \d+\)", "by WHO"),
    (r"(TIME|RUN) +", r"\1 "),
    (r"STARTED +OUTCOME +ENDED +RUN +WHAT THAT MEANS", "HEADS"),
    (r"(fixed|failed|lost) +", r"\1 "),
)


def timeless(text: str) -> str:
    """Return a text without what differs from day to day."""
    for pattern, name in _TIMES:
        text = re.sub(pattern, name, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """Give the repository of the page: a disk that is nearly full on this machine, mended once and full again."""
    made = repository(tmp_path)
    rules = tmp_path / "rules"
    (rules / "signals" / "level").rename(rules / "signals" / "disk")
    (rules / "high-level").rename(rules / "low-disk")
    (rules / "signals" / "disk" / "signal.yaml").write_text(
        "signal: disk\n"
        "title: Free space of each local volume\n"
        "key: [mount]\n"
        "columns: {mount: text, free_percent: {type: number, unit: percent}, read_only: boolean}\n"
        "collect: {linux: {script: linux.sh, timeout: 5s}}\n"
    )
    (rules / "signals" / "disk" / "linux.sh").write_text("#!/bin/sh\nemit mount / free_percent 3 read_only false\n")
    (rules / "low-disk" / "rule.yaml").write_text(
        "rule: low-disk\n"
        "title: A volume is nearly full\n"
        "why: A full volume stops logging.\n"
        "owner: platform@example.org\n"
        "mode: fix\n"
        "hosts: all\n"
        "signal: disk\n"
        "params: {below_percent: 10}\n"
        "when: free_percent < params.below_percent and not (read_only or mount like '/snap/%')\n"
        "fix: {linux: {script: fix.sh, timeout: 5m}}\n"
        "risk: safe\n"
        "verify: {until: free_percent >= params.below_percent + 2}\n"
    )
    mine = {"ansible_connection": "local", "remedy_params": {"low-disk": {"below_percent": 5}}}
    hosts(made, {"web-1": mine, "web-2": {}, "web-3": {}})
    return made


def _play(line: CommandLine, words: str) -> str:
    row = ({"mount": "/", "free_percent": 3.0, "read_only": False},)
    well = ({"mount": "/", "free_percent": 40.0, "read_only": False},)
    root = (("mount", "/"),)
    if words == "why web-1":
        attempted(line, Outcome.FAILED, ago=60 * MINUTE, rule="low-disk", key=root)
        here(line, "pause", "--group", "web", "--reason", "storage migration", "--for", "8h")
    if words == "why WEB-2.example.org --stored":
        stored(line, ("web-2", 120 * MINUTE, ReadingStatus.OK, row), signal="disk")
        attempted(line, Outcome.FIXED, ago=110 * MINUTE, host="web-2", rule="low-disk", key=root)
        stored(line, ("web-2", 20 * MINUTE, ReadingStatus.OK, well), signal="disk")
    if words == "why web-3 --stored":
        stored(line, ("web-3", 300 * MINUTE, ReadingStatus.OK, row), signal="disk")
        attempted(line, Outcome.LOST, ago=290 * MINUTE, host="web-3", rule="low-disk", key=root)
        stored(line, ("web-3", 10 * MINUTE, ReadingStatus.UNREACHABLE, ()), signal="disk")
    return here(line, *words.split()).out


@pytest.mark.parametrize("words", sorted(EXAMPLES))
def test_example_shows_what_the_command_says(line: CommandLine, words: str) -> None:
    """Each example of the page is what the command prints in that state, word for word but for times."""
    assert timeless(_play(line, words)) == timeless(EXAMPLES[words])


def test_page_has_an_example_of_each_form() -> None:
    """The page shows a host that was read, one that is remembered, and one whose fix's end nobody saw."""
    assert set(EXAMPLES) == {"why web-1", "why WEB-2.example.org --stored", "why web-3 --stored"}


def test_page_explains_every_standing() -> None:
    """Each word for how an incident stands has a row of its own."""
    rows = set(re.findall(r"^\| `([a-z ]+)` \|", PAGE, re.MULTILINE))

    assert {standing.value.replace("_", " ") for standing in IncidentStanding} <= rows
