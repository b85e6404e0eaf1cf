"""Where remedy is stricter than Ansible on purpose: every case, with what Ansible does, and that the docs say so."""

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from remedy.errors import FilesError, NothingNamed, RemedyError, UsageError
from remedy.load import load_inventory, select
from tests.ansible_oracle.comparing import ask_ansible
from tests.ansible_oracle.oracle_case import Case

if importlib.util.find_spec("ansible") is None:
    pytest.skip("ansible-core, the oracle of inventories, is not installed", allow_module_level=True)

DOCS = Path(__file__).parents[2] / "docs" / "hosts.md"
_WEB = "lone\n[web]\nweb-1\nweb-2\nweb-3\n[dc]\nweb-1\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stricter:
    """
    One difference: Ansible reads the hosts (of the pattern, if there is one), remedy refuses with the message.

    `said` begins a line of the docs. `hosts` None means that Ansible gives an error, too.
    """

    said: str
    message: str
    hosts: tuple[str, ...] | None
    pattern: str | None = None
    error: type[RemedyError] = FilesError
    files: Mapping[str, str] = field(default_factory=lambda: {"hosts.ini": _WEB})
    source: str = ""


_YAML = {"duplicate": "web: {hosts: {a: }}\nweb: {hosts: {b: }}\n", "key": "web: {hosts: {a: }, host: {b: }}\n"}
_MERGE = "x: &x {hosts: {a: }}\nweb:\n  <<: *x\n"
_UNREADABLE = "A file that cannot be read"
_NAMES = "Names of hosts and groups"
_RANGE = "A range must begin before it ends"
_EMPTY = "A term that names nothing"
_TURNED = "A subscript that ends before it begins"
_RANGED = "A range in a pattern"
_LETTERED = {"hosts.ini": "db-[a:c]\n"}
STRICTER = [
    _Stricter(
        said=_UNREADABLE,
        message="has a quotation that is not closed",
        hosts=None,
        files={"a.ini": "web-1\n", "b.ini": "web-2 x='\n"},
        source=".",
    ),
    _Stricter(
        said="Inventory programs, inventory plugins",
        message="is TOML, which remedy does not read",
        hosts=("web-1",),
        files={"hosts.toml": "[web.hosts]\nweb-1 = {}\n"},
    ),
    _Stricter(
        said="The name of a file says its form",
        message="by its name the file is YAML",
        hosts=("web-1",),
        files={"hosts.yaml": "[web]\nweb-1\n"},
    ),
    _Stricter(
        said="Duplicate keys, unknown keys",
        message="duplicate key `web`",
        hosts=("b",),
        files={"hosts.yaml": _YAML["duplicate"]},
    ),
    _Stricter(
        said="Duplicate keys, unknown keys",
        message="unknown key `host`; did you mean `hosts`?",
        hosts=("a",),
        files={"hosts.yaml": _YAML["key"]},
    ),
    _Stricter(
        said="Duplicate keys, unknown keys",
        message="unknown key `<<`",
        hosts=("a",),
        files={"hosts.yaml": _MERGE},
    ),
    _Stricter(
        said="An unknown `remedy_*` variable",
        message="unknown variable `remedy_platfrom`",
        hosts=("a",),
        files={"hosts.ini": "a remedy_platfrom=linux\n"},
    ),
    _Stricter(said=_NAMES, message="'web/1' cannot name a host", hosts=("web/1",), files={"hosts.ini": "web/1\n"}),
    _Stricter(said=_NAMES, message="'ä' cannot name a group", hosts=("a",), files={"hosts.ini": "[ä]\na\n"}),
    _Stricter(said=_NAMES, message="both named 'web'", hosts=("web",), files={"hosts.ini": "[web]\nweb\n"}),
    _Stricter(said=_NAMES, message="is no IPv6 address", hosts=("a:b",), files={"hosts.ini": "a:b\n"}),
    _Stricter(said=_RANGE, message="ends before it begins", hosts=("a",), files={"hosts.ini": "a\nweb[3:1]\n"}),
    _Stricter(
        said=_RANGE,
        message="has a range whose step is no whole number above 0",
        hosts=("w3",),
        files={"hosts.ini": "w[3:1:-1]\n"},
    ),
    _Stricter(
        said=_RANGE,
        message="something else than whole numbers or single letters",
        hosts=("wa", "wb", "wc", "wd"),
        files={"hosts.ini": "w[ab:d]\n"},
    ),
    _Stricter(
        said=_RANGE,
        message="stands for more than 16384 hosts",
        hosts=tuple(f"w{number}" for number in range(16_385)),
        files={"hosts.ini": "w[0:16384]\n"},
    ),
    _Stricter(
        said="A port behind a name counts",
        message="says port 2222, and port 22 where it is first named",
        hosts=("a",),
        files={"hosts.ini": "a:22\n[web]\na:2222\n"},
    ),
    _Stricter(
        said="A priority of a group",
        message="ansible_group_priority: must be a whole number",
        hosts=("a",),
        files={"hosts.ini": "[web]\na\n[web:vars]\nansible_group_priority=1.5\n"},
    ),
    _Stricter(
        said="Characters that are invisible",
        message="the character U+2028 is not allowed",
        hosts=("a", "evil"),
        files={"hosts.ini": "a # \u2028evil\n"},
    ),
    _Stricter(
        said="A host pattern needs a positive term",
        message="only takes hosts away",
        hosts=("lone",),
        pattern="!web",
        error=UsageError,
    ),
    _Stricter(
        said="A host pattern needs a positive term",
        message="the host pattern is empty",
        hosts=("lone", "web-1", "web-2", "web-3"),
        pattern=",",
        error=UsageError,
    ),
    _Stricter(
        said=_EMPTY,
        message="no host or group is named 'wbe'; did you mean web",
        hosts=("lone", "web-1", "web-2", "web-3"),
        pattern="all:!wbe",
        error=NothingNamed,
    ),
    _Stricter(
        said=_EMPTY, message="no host or group is named 'db*'", hosts=("lone",), pattern="lone:db*", error=NothingNamed
    ),
    _Stricter(
        said=_EMPTY,
        message="'web[3]' names nothing; web has 3 hosts",
        hosts=None,
        pattern="web[3]",
        error=NothingNamed,
    ),
    _Stricter(
        said=_EMPTY,
        message="'web[7:9]' names nothing; web has 3 hosts",
        hosts=("lone",),
        pattern="lone:web[7:9]",
        error=NothingNamed,
    ),
    _Stricter(
        said="`localhost` that is in no inventory",
        message="no host or group is named 'localhost'",
        hosts=("localhost",),
        pattern="localhost",
        error=NothingNamed,
    ),
    _Stricter(said=_TURNED, message="turn it round", hosts=(), pattern="web[2:1]", error=UsageError),
    _Stricter(
        said=_TURNED,
        message="could be a subscript or a set of characters",
        hosts=("web-1", "web-2"),
        pattern="web[0-1]",
        error=UsageError,
    ),
    _Stricter(
        said=_RANGED,
        message="'db-[a:c]' has a range in it, and ranges stand in inventories only; write db-a:db-b:db-c",
        hosts=("db-a", "db-c"),
        pattern="db-[a:c]",
        error=UsageError,
        files=_LETTERED,
    ),
    _Stricter(
        said=_RANGED,
        message="; write !db-a:!db-b:!db-c",
        hosts=("db-b",),
        pattern="all:!db-[a:c]",
        error=UsageError,
        files=_LETTERED,
    ),
    _Stricter(
        said=_RANGED,
        message="'web[01:02]' has a range in it",
        hosts=("web-2", "web-3"),
        pattern="web[01:02]",
        error=UsageError,
    ),
    _Stricter(
        said=_RANGED,
        message="'~db-[a:c]' has a range in it",
        hosts=("db-a", "db-c"),
        pattern="~db-[a:c]",
        error=UsageError,
        files=_LETTERED,
    ),
    _Stricter(
        said="Blanks do not separate",
        message="no host or group is named 'web lone'",
        hosts=("web-1", "web-2", "web-3", "lone"),
        pattern="web lone",
        error=NothingNamed,
    ),
    _Stricter(
        said="A regular expression that may take for ever",
        message="may take for ever",
        hosts=("web-1", "web-2", "web-3"),
        pattern="~(we|b)+",
        error=UsageError,
    ),
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Any]]:
    """Ansible's answers to all cases, with where their inventories are."""
    root = tmp_path_factory.mktemp("strictness")
    sources = []
    for number, each in enumerate(STRICTER):
        source = each.source if each.source == "." else next(iter(each.files))
        sources.append(Case(name=str(number), files=each.files, source=source).write(root))
    asked = [
        {"source": str(source), "patterns": [each.pattern] if each.pattern else [], "variables": False}
        for source, each in zip(sources, STRICTER, strict=True)
    ]
    return list(zip(sources, ask_ansible(asked, root), strict=True))


def _remedy(source: Path, pattern: str | None) -> None:
    inventory = load_inventory(str(source), types={})
    if pattern is not None:
        select(pattern, inventory, what="pattern")


@pytest.mark.parametrize("number", range(len(STRICTER)), ids=lambda number: f"{number}-{STRICTER[number].message[:30]}")
def test_remedy_refuses_what_ansible_takes(number: int, answers: list[tuple[Path, Any]]) -> None:
    """Ansible goes on as the case says, and remedy refuses with its message."""
    each = STRICTER[number]
    source, answer = answers[number]
    given = answer["patterns"][each.pattern] if each.pattern and "patterns" in answer else answer.get("hosts")
    with pytest.raises(each.error) as caught:
        _remedy(source, each.pattern)

    assert each.message in str(caught.value)
    assert given == list(each.hosts) if each.hosts is not None else not isinstance(given, list)


def test_docs_say_each_difference() -> None:
    """Each line of the docs' list has a case, and each case a line."""
    section = (
        DOCS.read_text(encoding="utf-8").partition("### Where remedy is stricter on purpose")[2].partition("\n### ")[0]
    )
    lines = re.findall(r"^- (.*)$", section, re.MULTILINE)

    assert [line for line in lines if not any(line.startswith(each.said) for each in STRICTER)] == []
    assert [each.said for each in STRICTER if not any(line.startswith(each.said) for line in lines)] == []


def test_both_separators_in_one_pattern_are_remedys_own(tmp_path: Path) -> None:
    """With a comma Ansible takes `web:dc` for a name and passes it over; remedy takes both separators."""
    source = Case(name="x", files={"hosts.ini": _WEB}, source="hosts.ini").write(tmp_path)
    [answer] = ask_ansible([{"source": str(source), "patterns": ["web:&dc,lone"], "variables": False}], tmp_path)
    ours = select("web:&dc,lone", load_inventory(str(source), types={}), what="pattern")

    assert answer["patterns"]["web:&dc,lone"] == ["lone"]
    assert ours == ("web-1",)
