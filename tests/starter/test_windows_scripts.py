"""
The starter scripts for Windows, as far as they can be known without a PowerShell.

Whether they do what they should, the cases in tests/powershell_lane/rules say, on a
machine that has one; here it is held that those cases can be run as they stand.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tree_sitter_pwsh
import yaml
from tree_sitter import Language, Node, Parser

from remedy.load.repository import load_repository, starter_rules
from remedy.model import Platform
from tests.powershell.parse import parse_problems, unknown_to_5_1

_RULES = starter_rules()
_REPOSITORY = load_repository(_RULES)
_SCRIPTS = sorted(_RULES.rglob("*.ps1"))
_COLLECTORS = sorted((_RULES / "signals").rglob("*.ps1"))
_LANE = Path(__file__).resolve().parents[1] / "powershell_lane" / "rules"
_CASES = sorted(_LANE.glob("*.yaml"))
_STAND_INS = _LANE / "stand_ins.ps1"
_CASES_MIN = 6

_FORBIDDEN = {
    "clear-recyclebin", "cleanmgr", "dism", "format-volume", "iex", "invoke-expression", "invoke-webrequest",
    "net", "netsh", "powershell", "pwsh", "rd", "read-host", "reg", "remove-computer", "remove-item",
    "remove-itemproperty", "remove-localuser", "reset-computermachinepassword", "restart-computer",
    "restart-service", "rm", "rmdir", "set-executionpolicy", "set-localuser", "shutdown", "start-process",
    "stop-computer", "stop-process", "taskkill", "vssadmin", "wmic", "write-host",
}  # fmt: skip
_FORBIDDEN_IN_COLLECTORS = {
    "add-content", "new-item", "new-itemproperty", "out-file", "restart-service", "set-content", "set-item",
    "set-itemproperty", "set-service", "start-service", "stop-service", "write-output", "write-warning",
}  # fmt: skip
_FORBIDDEN_MEMBERS = {"delete", "deletesubkey", "deletesubkeytree", "deletevalue", "setvalue", "createsubkey", "move"}
_FORBIDDEN_WORDS = ("vssadmin", "shutdown.exe", "restart-computer", "resetbase", "cleanmgr", "invoke-expression")
_MAY_REMOVE = {"low-disk/clean.ps1": {"delete"}}
_MAY_KEEP = {"setvalue", "createsubkey"}
# What of a real machine no case may reach, by how a script would ask it.
_REAL = ("Get-CimInstance", "Invoke-CimMethod", "Get-WinEvent", "Get-LocalUser", "Get-ScheduledTask", "Get-Acl")
_REAL_TYPES = ("microsoft.win32.", "security.principal.windows", "x509store", "[environment]::")


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _text(node: Node) -> str:
    return (node.text or b"").decode()


def _root(source: bytes) -> Node:
    return Parser(Language(tree_sitter_pwsh.language())).parse(source).root_node


def _commands(root: Node) -> Iterator[tuple[str, list[str]]]:
    """Each command of a script: its name in lower case, and its words."""
    for node in _walk(root):
        if node.type != "command":
            continue
        name = next((_text(each).lower() for each in node.children if each.type == "command_name"), "")
        elements = [each for child in node.children if child.type == "command_elements" for each in child.children]
        yield name, [_text(each) for each in elements if each.type != "command_argument_sep"]


def _functions(root: Node) -> dict[str, Node]:
    return {
        _text(child): node
        for node in _walk(root)
        if node.type == "function_statement"
        for child in node.children
        if child.type == "function_name"
    }


def _code(source: bytes) -> str:
    """Return a script in lower case without its comments."""
    left = bytearray(source)
    for node in _walk(_root(source)):
        if node.type == "comment":
            left[node.start_byte : node.end_byte] = b" " * (node.end_byte - node.start_byte)
    return left.decode().lower()


def _name(script: Path) -> str:
    return script.relative_to(_RULES).as_posix()


def _is_collector(script: Path) -> bool:
    return script in _COLLECTORS


def _cases(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


@pytest.fixture(params=_SCRIPTS, ids=_name)
def script(request: pytest.FixtureRequest) -> Path:
    """Give each script."""
    return Path(request.param)


@pytest.fixture(params=_CASES, ids=lambda path: path.stem)
def cases(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Give the cases of each script."""
    return _cases(request.param)


def test_each_script_is_one_of_a_signal_or_rule() -> None:
    """Every .ps1 below the starter rules is a collector or fix for Windows that the loader reads."""
    loaded = [each.collect for each in _REPOSITORY.signals.values()] + [each.fix for each in _REPOSITORY.rules.values()]

    assert {each[Platform.WINDOWS].path for each in loaded if Platform.WINDOWS in each} == set(map(_name, _SCRIPTS))


def test_each_fix_has_a_half_for_windows_where_its_signal_has_one() -> None:
    """A rule that fixes, and whose signal is collected on Windows, is no rule for Linux alone."""
    halves = {
        name: Platform.WINDOWS in rule.fix
        for name, rule in _REPOSITORY.rules.items()
        if rule.fix and Platform.WINDOWS in _REPOSITORY.signals[rule.signal].collect
    }

    assert set(halves) == {"expiring-password", "low-disk", "service-stopped", "stale-reboot"}
    assert all(halves.values())


def test_script_parses(script: Path) -> None:
    """The grammar takes the script as it is."""
    assert parse_problems(script.read_bytes()) == []


def test_script_is_for_windows_powershell_5_1(script: Path) -> None:
    """Nothing in it is newer than what every Windows brings."""
    assert unknown_to_5_1(script.read_bytes()) == []


def test_script_is_ascii(script: Path) -> None:
    """No byte means anything else in another code page, and no line ends with a carriage return."""
    body = script.read_bytes()

    assert body.isascii()
    assert b"\r" not in body
    assert body.endswith((b"\nexit 0\n", b"\nexit 1\n"))


def test_script_calls_nothing_forbidden(script: Path) -> None:
    """No script restarts, removes folders, runs text as code, asks a person or starts another shell."""
    names = {name.rpartition("\\")[2].removesuffix(".exe") for name, _ in _commands(_root(script.read_bytes()))}

    assert names & _FORBIDDEN == set()
    if _is_collector(script):
        assert names & _FORBIDDEN_IN_COLLECTORS == set()


def test_script_names_nothing_forbidden(script: Path) -> None:
    """Nor does it name such a program in a text."""
    code = _code(script.read_bytes())

    assert [word for word in _FORBIDDEN_WORDS if word in code] == []


def test_script_removes_only_what_it_may(script: Path) -> None:
    """Only the fix of low-disk removes, one file at a time; only the notices keep something, and no collector does."""
    found = {
        _text(node).lower()
        for node in _walk(_root(script.read_bytes()))
        if node.type == "member_name" and _text(node).lower() in _FORBIDDEN_MEMBERS
    }
    may = set() if _is_collector(script) else _MAY_KEEP | _MAY_REMOVE.get(_name(script), set())

    assert found <= may


def test_removal_stands_behind_the_age_and_the_owner() -> None:
    """The one place that removes a file is in the function that has asked for its age and its owner before."""
    source = (_RULES / "low-disk" / "clean.ps1").read_bytes()
    remove_file = _text(_functions(_root(source))["remove_file"])

    assert source.count(b"]::Delete(") == remove_file.count("[IO.File]::Delete(") == 1
    assert re.search(
        r"last_used.*\$oldest.*return \$null.*is_link.*owner_of.*return -1.*Delete\(", remove_file, re.DOTALL
    )


def test_services_are_started_again_whatever_happens() -> None:
    """Services are stopped in one place, inside a try whose finally starts them."""
    root = _root((_RULES / "low-disk" / "clean.ps1").read_bytes())
    tries = [node for node in _walk(root) if node.type == "try_statement" and "Stop-Service" in _text(node)]
    finals = [_text(each) for node in tries for each in node.children if each.type == "finally_clause"]

    assert [name for name, _ in _commands(root)].count("stop-service") == 1
    assert len(tries) == 1
    assert "Start-Service" in finals[0]


@pytest.mark.parametrize("script", _COLLECTORS, ids=_name)
def test_collector_prints_nothing_but_rows(script: Path) -> None:
    """No statement of a collector yields a value: it would be printed as a line that is no row."""
    assert [said for said in _said(_root(script.read_bytes())) if not _SILENT.match(said)] == []


_SILENT = re.compile(r"emit |not_applicable |\$[\w:]+ \+= |\[Console\]::Error\.WriteLine\(")
_YIELDING = {"function_statement", "script_block_expression", "sub_expression", "array_expression"}


def _said(root: Node) -> list[str]:
    """Return the statements of a script, outside of functions and expressions, that assign nothing."""
    return [
        _text(node)
        for node in _walk(root)
        if node.type == "pipeline"
        and node.parent is not None
        and node.parent.type == "statement_list"
        and not any(child.type == "assignment_expression" for child in node.children)
        and not _is_inside(node, _YIELDING)
    ]


@pytest.mark.parametrize("source", ["Get-CimInstance x", "$a", "'x'", "$a.Add(1)", "if ($a) { $a.Add(1) }", "f $a"])
def test_statement_that_yields_a_value_is_found(source: str) -> None:
    """The look for values finds them, also inside of a condition."""
    assert [said for said in _said(_root(source.encode())) if not _SILENT.match(said)] != []


def _is_inside(node: Node, types: set[str]) -> bool:
    outer = node.parent
    while outer is not None:
        if outer.type in types:
            return True
        outer = outer.parent
    return False


@pytest.mark.parametrize("script", _COLLECTORS, ids=_name)
def test_collector_emits_exactly_the_columns(script: Path) -> None:
    """Each row names every column of its signal once, in the order of the signal, each with a value."""
    signal = _REPOSITORY.signals[script.parent.name]

    emitted = [words for command, words in _commands(_root(script.read_bytes())) if command == "emit"]

    assert emitted
    for words in emitted:
        assert words[::2] == list(signal.columns)
        assert len(words) == 2 * len(signal.columns)


def test_script_reads_only_what_it_is_given(script: Path) -> None:
    """A collector reads parameters of its signal; a fix columns of its signal and parameters of its rule."""
    names = re.findall(r"\$remedy\.(row|params)\.(\w+)", _code(script.read_bytes()))
    if _is_collector(script):
        signal = _REPOSITORY.signals[script.parent.name]
        known = {("params", each) for each in signal.params}
    else:
        rule = _REPOSITORY.rules[script.parent.name]
        signal = _REPOSITORY.signals[rule.signal]
        known = {("params", each) for each in rule.params} | {("row", each) for each in signal.columns}

    assert set(names) <= known


def test_each_script_has_cases() -> None:
    """Every script has a file of cases, and every file a script."""
    assert sorted(_cases(path)["script"] for path in _CASES) == sorted(map(_name, _SCRIPTS))


def test_cases_are_enough(cases: dict[str, Any]) -> None:
    """A script has at least six cases, each with a name of its own, and one in which it fails."""
    names = [each["case"] for each in cases["cases"]]

    assert len(names) == len(set(names)) >= _CASES_MIN
    assert any(each["expect"]["exit"] != 0 for each in cases["cases"])


def test_cases_have_known_keys(cases: dict[str, Any]) -> None:
    """A case says only what the lane knows, and what a file must be."""
    assert set(cases) <= {"script", "stand_ins", "cases"}
    for case in cases["cases"]:
        assert set(case) <= {"case", "stand_ins", "environment", "files", "expect", "needs"}
        assert set(case["expect"]) <= {"exit", "rows", "not_applicable", "stdout", "stderr", "done", "gone", "left"}
        assert all(re.fullmatch(r"REMEDY_[A-Z_]+", name) for name in case.get("environment", {}))
        assert all(isinstance(value, str) for value in case.get("environment", {}).values())
        assert all(set(each) == {"path", "age_days", "size"} for each in case.get("files", []))
        planted = {each["path"] for each in case.get("files", [])}
        assert all(any(each.startswith(path) for each in planted) for path in _paths(case))


def _paths(case: dict[str, Any]) -> list[str]:
    return [*case["expect"].get("gone", []), *case["expect"].get("left", [])]


def test_cases_give_only_what_the_script_may_read(cases: dict[str, Any]) -> None:
    """The variables of a case are columns and parameters that exist."""
    given = {name for case in cases["cases"] for name in case.get("environment", {})}
    folder = Path(cases["script"]).parent.name
    if cases["script"].startswith("signals/"):
        known = {f"REMEDY_PARAM_{name.upper()}" for name in _REPOSITORY.signals[folder].params}
    else:
        rule = _REPOSITORY.rules[folder]
        known = {f"REMEDY_PARAM_{name.upper()}" for name in rule.params}
        known |= {f"REMEDY_ROW_{name.upper()}" for name in _REPOSITORY.signals[rule.signal].columns}

    assert given <= known


def test_expected_rows_have_the_columns(cases: dict[str, Any]) -> None:
    """A collector's case expects rows with every column of its signal, or a reason; a fix's case expects none."""
    folder = Path(cases["script"]).parent.name
    if not cases["script"].startswith("signals/"):
        assert not any({"rows", "not_applicable"} & set(case["expect"]) for case in cases["cases"])
        return
    columns = list(_REPOSITORY.signals[folder].columns)

    for case in cases["cases"]:
        assert len({"rows", "not_applicable"} & set(case["expect"])) == 1
        assert case["expect"]["exit"] == 0 or case["expect"]["rows"] == []
        for row in case["expect"].get("rows", []):
            assert list(row) == columns


def test_stand_ins_parse(cases: dict[str, Any]) -> None:
    """What a case puts before its script is PowerShell 5.1, and ASCII."""
    before = _STAND_INS.read_text() + cases.get("stand_ins", "")
    for case in cases["cases"]:
        text = (before + case.get("stand_ins", "")).encode()

        assert text.isascii()
        assert parse_problems(text) == []
        assert unknown_to_5_1(text) == []


def test_no_case_reaches_the_real_machine(script: Path) -> None:
    """What a script asks the machine is stood in for: commands by functions, functions of its own by aliases."""
    before = _root(_STAND_INS.read_bytes())
    replaced = {name.removeprefix("global:") for name in _functions(before)}
    aliases = {words[words.index("-Name") + 1] for name, words in _commands(before) if name == "set-alias"}
    root = _root(script.read_bytes())
    inside = {name: _text(node).lower() for name, node in _functions(root).items()}
    outside = _code(script.read_bytes())
    for node in _functions(root).values():
        outside = outside.replace(_code(_text(node).encode()), "")

    used = {name for name, _ in _commands(root)}
    assert {name for name in _REAL if name.lower() in used} <= replaced
    assert {name for name, text in inside.items() if any(real in text for real in _REAL_TYPES)} <= aliases
    assert [real for real in _REAL_TYPES if real in outside] == []


def test_each_alias_stands_in_for_a_function() -> None:
    """An alias of the stand-ins names a function that some script defines, and leads to one that is defined."""
    before = _root(_STAND_INS.read_bytes())
    defined = {name for script in _SCRIPTS for name in _functions(_root(script.read_bytes()))}
    replaced = {name.removeprefix("global:") for name in _functions(before)}
    aliases = [words for name, words in _commands(before) if name == "set-alias"]

    assert {words[words.index("-Name") + 1] for words in aliases} <= defined
    assert {words[words.index("-Value") + 1] for words in aliases} <= replaced
