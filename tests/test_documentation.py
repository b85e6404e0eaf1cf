"""README.md and docs/ are true: their YAML loads, their links lead somewhere, their tables are the code's."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from remedy.errors import FilesError
from remedy.gate import CHECKS
from remedy.holds import Held
from remedy.load import load_cases, load_config, load_inventory, load_repository, starter_rules
from remedy.load.inventory.graph import REMEDY_VARIABLES
from remedy.load.nodes import plain
from remedy.load.schema import SCHEMA_KINDS, load_schema
from remedy.load.yaml_events import read_yaml
from remedy.model import Hold, Skip
from remedy.summary import ExitCode, _code_of_skip, _holds_back
from remedy.testing.comparing import differences
from remedy.testing.judging import judge_case
from tests.simulation.invariants import INVARIANTS

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}
FRAGMENT = "# fragment"
SETTINGS = {"rules", "inventory", "state", "protected", "budgets", "freezes"}
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
YAML_BLOCK = re.compile(r"^(?P<indent> *)```yaml\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)


def _blocks() -> Iterator[tuple[str, str]]:
    """Yield each YAML block of the pages as (page:line, text)."""
    for name, text in TEXTS.items():
        for found in YAML_BLOCK.finditer(text):
            line = text.count("\n", 0, found.start()) + 2
            body = re.sub(rf"^{found['indent']}", "", found["body"], flags=re.MULTILINE)
            yield f"{name}:{line}", body


BLOCKS = dict(_blocks())


def _kind(text: str) -> str:
    """Say what kind of file a block is, by its keys."""
    if text.startswith(FRAGMENT):
        return "fragment"
    raw = plain(read_yaml(text, file="block"))
    if isinstance(raw, list):
        return "tests"
    if "rule" in raw:
        return "rule"
    if "signal" in raw:
        return "signal"
    return "remedy" if set(raw) <= SETTINGS else "inventory"


def _repository_with(folder: Path, at: tuple[str, ...], text: str, scripts: Mapping[str, Mapping[str, str]]) -> Path:
    """Copy the starter rules, put a file at its place with the scripts it names, and return the root."""
    root = folder / "rules"
    shutil.copytree(starter_rules(), root)
    path = root.joinpath(*at)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    for script in scripts.values():
        (path.parent / script["script"]).write_text("exit 0\n", encoding="utf-8")
    return root


def _load_rule(text: str, folder: Path) -> None:
    raw: dict[str, Any] = plain(read_yaml(text, file="block"))
    root = _repository_with(folder, (raw["rule"], "rule.yaml"), text, raw.get("fix", {}))
    assert raw["rule"] in load_repository(root).rules


def _load_signal(text: str, folder: Path) -> None:
    raw: dict[str, Any] = plain(read_yaml(text, file="block"))
    root = _repository_with(folder, ("signals", raw["signal"], "signal.yaml"), text, raw.get("collect", {}))
    assert raw["signal"] in load_repository(root).signals


def _load_tests(text: str, folder: Path) -> None:
    """Load cases as those of low-disk, and see that they come out as they say."""
    root = _repository_with(folder, ("low-disk", "tests.yaml"), text, {})
    repository = load_repository(root)
    rule = repository.rules["low-disk"]
    for case in load_cases(root / "low-disk" / "tests.yaml", repository, rule):
        assert not differences(case, judge_case(case, rule, repository.signals))


def _load_remedy(text: str, folder: Path) -> None:
    (folder / "remedy.yaml").write_text(text, encoding="utf-8")
    config = load_config(folder, environment={}, system_file=folder / "none.yaml")
    assert config.config_file == folder / "remedy.yaml"


def _load_inventory(text: str, folder: Path) -> None:
    repository = load_repository(starter_rules())
    types = {name: rule.params for name, rule in repository.rules.items()}
    types |= {name: signal.params for name, signal in repository.signals.items()}
    (folder / "inventory.yaml").write_text(text, encoding="utf-8")
    inventory = load_inventory(str(folder / "inventory.yaml"), types=types)
    assert not [host.name for host in inventory.hosts.values() if host.connection.barred]


def _load_fragment(text: str, folder: Path) -> None:
    assert plain(read_yaml(text, file=str(folder))) is not None


LOADERS: Mapping[str, Callable[[str, Path], None]] = {
    "rule": _load_rule,
    "signal": _load_signal,
    "tests": _load_tests,
    "remedy": _load_remedy,
    "inventory": _load_inventory,
    "fragment": _load_fragment,
}


@pytest.mark.parametrize("place", BLOCKS)
def test_yaml_block_loads(place: str, tmp_path: Path) -> None:
    """Each YAML block of the pages is accepted by the strict loader of the file that it is."""
    LOADERS[_kind(BLOCKS[place])](BLOCKS[place], tmp_path)


def test_yaml_blocks_show_every_kind_of_file() -> None:
    """The pages show a rule, a signal, cases, settings and an inventory, and no block is written as `yml`."""
    assert {_kind(text) for text in BLOCKS.values()} >= set(LOADERS) - {"fragment"}
    assert not re.findall(r"```(?:yml|YAML)", "".join(TEXTS.values()))


@pytest.mark.parametrize(
    "text",
    ["rule: x\n", "signal: x\n", "- case: x\n", "rules: [a]\n", "all: {host: {}}\n", "# fragment\na: 1\na: 2\n"],
)
def test_wrong_block_would_be_refused(text: str, tmp_path: Path) -> None:
    """Whatever kind of file a block is, a mistake in it is found."""
    with pytest.raises(FilesError):
        LOADERS[_kind(text)](text, tmp_path)


def _anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", TEXTS)
def test_relative_links_lead_somewhere(name: str) -> None:
    """Each relative link of a page leads to a file that exists, and its anchor to a heading there."""
    links = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", TEXTS[name]))
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (PAGES[name].parent / file).resolve() if file else PAGES[name]

        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target.read_text(encoding="utf-8")), link


def test_every_page_is_linked_from_the_readme() -> None:
    """No page of docs/ has to be found by chance."""
    linked = set(re.findall(r"\]\((docs/[^)#]+)", TEXTS["README.md"]))

    assert linked == set(TEXTS) - {"README.md"}


def _table(page: str, heading: str) -> dict[str, list[str]]:
    """Return the rows of the first table below a heading: the other cells by the first one, without backticks."""
    section = re.split(r"^#+ ", TEXTS[page].partition(f"## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line[:1] == "|"]
    return {row[0].strip(" |*`"): row[1:] for row in rows[2:]}


def test_exit_codes_of_the_readme_are_those_of_the_code() -> None:
    """The README's table lists every exit code there is, and no other."""
    assert {int(code) for code in _table("README.md", "Exit codes")} == {code.value for code in ExitCode}


def test_order_of_exit_codes_names_each_once() -> None:
    """The page on holds says of every exit code where it stands when several apply."""
    (order,) = re.findall(r"the first of \*\*([0-9, ]+)\*\*", TEXTS["docs/holds.md"])

    assert [int(code) for code in order.split(", ")] == [130, 1, 6, 5, 3, 4, 2, 0]
    assert {int(code) for code in order.split(", ")} == {code.value for code in ExitCode}


def _held(hold: Hold, *, after_bad: bool) -> Held:
    return Held(hold=hold, reason="x", after_bad=after_bad)


def test_holds_of_the_page_are_those_of_the_code() -> None:
    """Every hold is explained: what it means, what ends it, and the exit code that it makes."""
    table = _table("docs/holds.md", "Holds")

    assert set(table) == {hold.value for hold in Hold}
    assert all(len(cells) == 3 and all(cells) for cells in table.values())
    for hold in set(Hold) - {Hold.COOLING_DOWN, Hold.PAUSED}:
        code = ExitCode.HALTED if _holds_back(_held(hold, after_bad=False)) else ExitCode.DONE
        assert table[hold.value][2] == str(code.value), hold
    assert not _holds_back(_held(Hold.COOLING_DOWN, after_bad=False))
    assert _holds_back(_held(Hold.COOLING_DOWN, after_bad=True))
    assert table["cooling_down"][2] == "0 when that attempt was good, else 5"
    assert not _holds_back(_held(Hold.PAUSED, after_bad=False))
    assert _holds_back(_held(Hold.PAUSED, after_bad=True))
    assert table["paused"][2] == "0 when a person paused it, else 5"


def test_skips_of_the_page_are_those_of_the_code() -> None:
    """Every skip is explained: what it means, what ends it, and the exit code that it makes."""
    table = _table("docs/holds.md", "Skips")

    assert set(table) == {skip.value for skip in Skip}
    assert all(len(cells) == 3 and all(cells) for cells in table.values())
    for skip in Skip:
        assert table[skip.value][2].partition(",")[0] == str(_code_of_skip(skip).value), skip


def _schema_keys(schema: object) -> Iterator[str]:
    """Yield the keys that a schema allows, at any depth."""
    if isinstance(schema, dict):
        for name, inner in schema.items():
            # Below `if` stands what decides, which is allowed elsewhere.
            if name == "properties":
                yield from inner
            if name != "if":
                yield from _schema_keys(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _schema_keys(inner)


@pytest.mark.parametrize("kind", ["rule", "signal", "tests", "remedy"])
def test_every_key_of_a_schema_is_explained(kind: str) -> None:
    """No key that a file may have is missing from its section of docs/rules.md, or from the page about tests."""
    _, _, section = TEXTS["docs/rules.md"].partition(f"## {kind}.yaml\n")
    section = FENCE.sub("", TEXTS["docs/testing.md"] if kind == "tests" else section.partition("\n## ")[0])
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", section))))

    keys = set(_schema_keys(load_schema(kind)))

    assert keys, json.dumps(kind)
    assert not keys - words


def test_every_remedy_variable_is_explained() -> None:
    """The inventory variables of remedy's own are in the table of docs/hosts.md, and no schema is left out above."""
    table = _table("docs/hosts.md", "Inventories")

    assert {name for name in table if name.startswith("remedy_")} == set(REMEDY_VARIABLES)
    assert set(SCHEMA_KINDS) == {"rule", "signal", "tests", "remedy", "inventory"}


def test_safety_page_has_every_check_and_every_invariant() -> None:
    """docs/safety.md has each check of the gate and each invariant of the simulator, with what the invariant says."""
    checks = _table("docs/safety.md", "At the moment of sending: the gate")
    named = {name for cell in checks for name in re.findall(r"\w+", cell)}
    invariants = _table("docs/safety.md", "Invariants, and where each is checked")

    assert named == set(CHECKS)
    assert set(invariants) == {invariant.__name__ for invariant in INVARIANTS}
    for invariant in INVARIANTS:
        said = " ".join((invariant.__doc__ or "").split("\n\n")[0].split())
        assert invariants[invariant.__name__][0] == said


def test_safety_page_has_the_promise() -> None:
    """The promise stands there word for word."""
    promise = (
        "A fix starts **at most once** per execution id; after a crash or partition it may be `lost`, "
        'and remedy says so. Not "exactly once".'
    )

    assert promise in TEXTS["docs/safety.md"]
