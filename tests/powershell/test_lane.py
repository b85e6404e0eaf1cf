"""The lane for a real PowerShell, without one: its cases, that it needs little, and that it cannot pass falsely."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.powershell.parse import parse_problems
from tests.powershell_lane import starter_rules
from tests.powershell_lane.case import Case
from tests.powershell_lane.command import NotPowerShell, all_cases, main, probed, report_of, run_case, run_cases
from tests.powershell_lane.recorded import RECORDINGS, STOP

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "scripts" / "test-powershell"
CASES = {case.title: case for case in all_cases()}
VERSION = "7.6.5 Core"

KNOWN = (
    "ending: exit 7",
    "ending: exit -2147024891",
    "ending: native failure as the last statement is a failure",
    "ending: error: throw in a function",
    "ending: syntax error: nothing of it runs",
    "marker: once is once; another execution runs",
    "lock: held by another process",
    "payload: damaged: a byte in the middle is changed",
    "payload: whole: lines with CR LF",
    "deadline: Start-Sleep",
)
"""Cases whose answers the stand-in knows by heart."""

WRONG = {
    # the one thing that is wrong: (a case that must fail by it, words of its report)
    "status 0": ("ending: exit 7", "the status of the process"),
    "other code": ("ending: exit 7", "the trailer"),
    "no trailer": ("ending: exit 7", "the trailer"),
    "other output": ("ending: exit 7", "what the script printed"),
    "less output": ("ending: exit 7", "what the script printed"),
    "noise": ("ending: exit 7", "standard error"),
    "colour": ("ending: error: throw in a function", "standard error holds"),
    "no error": ("ending: error: throw in a function", "standard error, which must hold"),
    "child": ("ending: exit 7", "it left behind: sleep"),
    "no start": ("ending: exit 7", "the marker's file `start`"),
    "no rc": ("ending: exit 7", "the marker's file `rc`"),
    "other rc": ("ending: exit 7", "the marker's file `rc`"),
    "twice": ("marker: once is once; another execution runs", "how often the script ran"),
    "no lock": ("lock: held by another process", "how often the script ran"),
    "no hold": ("hold: its first line is the reason", "how often the script ran"),
    "no digest": ("payload: damaged: the digest of something else", "how often the script ran"),
    "early": ("deadline: Start-Sleep", "whether it was left its 3 s"),
    "late": ("deadline: Start-Sleep", "it took"),
}

CONSTANT = {
    "silent": "exit 0",
    "fails": "exit 1",
    "end": 'printf \'\\n%s started -\\n\\n%s end 0 \\n\' "$nonce" "$nonce"',
    "exit": 'printf \'\\n%s started -\\n\\n%s exit 0 0\\n\' "$nonce" "$nonce"',
    "load": "printf '\\n%s load 1 \\n' \"$nonce\"; exit 1",
    "throw": 'printf \'\\n%s started -\\n\\n%s throw 1 \\n\' "$nonce" "$nonce"; exit 1',
}
"""Programs that always answer the same; they get the nonce and give it back."""


def _program(folder: Path, text: str) -> str:
    path = folder / "pwsh"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def stand_in(tmp_path: Path) -> str:
    """Return the stand-in: no PowerShell, only a program that knows some answers."""
    return _program(tmp_path, f'exec {sys.executable} -I {REPOSITORY}/tests/powershell_lane/stand_in.py "$@"')


@pytest.mark.parametrize("title", KNOWN)
def test_right_answer_passes(title: str, stand_in: str) -> None:
    """A program that answers as PowerShell must passes the case."""
    outcome = run_case(CASES[title], stand_in, version=VERSION)

    assert outcome.problems == (), report_of(outcome)


@pytest.mark.parametrize(
    "wrong", [pytest.param(each, marks=pytest.mark.slow) if each == "late" else each for each in WRONG]
)
def test_wrong_answer_fails(wrong: str, stand_in: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer with one thing wrong fails the case, and the report names the thing, the script and the answer."""
    title, words = WRONG[wrong]
    monkeypatch.setenv("LANE_STAND_IN", wrong)
    outcome = run_case(CASES[title], stand_in, version=VERSION)

    report = report_of(outcome)
    assert any(words in problem for problem in outcome.problems), report
    assert f"FAILED {title}" in report
    for word in ("script", "environment", "stdin", "stdout", "stderr", "expected", "got"):
        assert word in report or words.startswith(("it", "standard error holds"))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("constant", CONSTANT)
def test_constant_answer_passes_nothing(constant: str, tmp_path: Path) -> None:
    """A program that prints nothing, or always the same trailer with the right nonce, passes not a single case."""
    program = _program(tmp_path, f"read -r nonce rest; cat > /dev/null\n{CONSTANT[constant]}")
    outcomes = list(run_cases(list(CASES.values()), program, version=VERSION, jobs=4))

    assert len(outcomes) == len(CASES)
    assert [each.case.title for each in outcomes if not each.problems and not each.skipped] == []


@pytest.mark.parametrize("constant", CONSTANT)
def test_constant_answer_passes_none_of_some(constant: str, tmp_path: Path) -> None:
    """The same, quickly: of every twelfth case."""
    program = _program(tmp_path, f"read -r nonce rest; cat > /dev/null\n{CONSTANT[constant]}")
    some = [case for case in list(CASES.values())[::12] if "stays open" not in case.name]
    outcomes = list(run_cases(some, program, version=VERSION, jobs=4))

    assert [each.case.title for each in outcomes if not each.problems and not each.skipped] == []


UNREADABLE = {
    # Meant so, but for the last three, which the recordings show to be PowerShell and the grammar does not know.
    "recorded: syntax error",
    "ending: syntax error: nothing of it runs",
    "ending: text that has no end: nothing of it runs",
    "collector: syntax error",
    "marker: a script that cannot be read has an end, too",
    "recorded: begin/end",
    "recorded: exit in begin",
    "recorded: ThrowTerminatingError",
}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_script_of_each_case_parses(tmp_path: Path) -> None:
    """What a case asks a PowerShell to run is PowerShell, but where the case is about that."""
    outcomes = run_cases(list(CASES.values()), _program(tmp_path, "exit 0"), version=VERSION, jobs=4)
    found: dict[bytes, str] = {}
    for outcome in outcomes:
        for heard in outcome.heard:
            found.setdefault(heard.run.script, outcome.case.title)

    assert len(found) > 350
    unreadable = {title for script, title in found.items() if len(script) < 150_000 and parse_problems(script)}
    assert unreadable == UNREADABLE


def test_case_that_starts_nothing_fails(stand_in: str) -> None:
    """A case that found nothing wrong because it started nothing is no passed case."""
    outcome = run_case(Case(group="g", name="n", act=lambda _: None), stand_in, version=VERSION)

    assert outcome.problems == ("no process was started, so nothing was shown",)


def test_cases_are_as_many_as_promised() -> None:
    """At least 60 cases are of the loader, and six of each shipped script for PowerShell; each has its own name."""
    groups = Counter(case.group for case in all_cases())
    rules = {group.removeprefix("rule "): count for group, count in groups.items() if group.startswith("rule ")}

    assert len(all_cases()) == len(CASES)
    assert sum(groups.values()) - sum(rules.values()) >= 60
    assert set(rules) == starter_rules.scripts()
    assert min(rules.values()) >= 6


def test_every_recording_has_a_case() -> None:
    """Each of the 96 recorded runs is asked again, under its name; what differs with 'Stop' is a recorded script."""
    names = {case.name.removeprefix("payload, ") for case in CASES.values() if case.group == "recorded"}
    recorded = {each["name"] for each in RECORDINGS if each["kind"] != "clixml"}

    assert names == recorded
    assert set(STOP) <= {each["name"] for each in RECORDINGS if each["kind"] == "script"}


def _run(*words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, env=environment, timeout=100
    )


def test_list_names_every_case() -> None:
    """`--list` needs no PowerShell, names every case and counts them."""
    told = _run("--list")

    assert told.returncode == 0, told.stderr
    assert set(CASES) <= set(told.stdout.splitlines())
    assert told.stdout.splitlines()[-1].startswith(f"{len(CASES)} cases: ")


def test_only_chooses_cases(stand_in: str) -> None:
    """`--only` runs the cases with a text in their names; version first, the counts last, 0 when nothing failed."""
    told = _run(stand_in, "--only", "exit 7", "--only", "exit 3010", "-v")

    lines = told.stdout.splitlines()
    assert lines[0].startswith("PowerShell 7.6.5 Core (")
    assert "passed ending: exit 7 " in told.stdout
    assert re.fullmatch(r"\d+ passed, \d+ failed, 0 skipped", lines[-1])


def test_exit_code_is_0_only_when_nothing_failed(stand_in: str) -> None:
    """One failed case makes 1 of it, and the report stands before the counts."""
    right = _run(stand_in, "--only", "ending: exit 1641")
    wrong = _run(stand_in, "--only", "ending: exit 1641", LANE_STAND_IN="other code")

    assert (right.returncode, right.stdout.splitlines()[-1]) == (0, "1 passed, 0 failed, 0 skipped")
    assert (wrong.returncode, wrong.stdout.splitlines()[-1]) == (1, "0 passed, 1 failed, 0 skipped")
    assert "FAILED ending: exit 1641" in wrong.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "which PowerShell?"),
        (["no-such-pwsh"], "no-such-pwsh: there is no such program"),
        (["/bin/true"], "is no PowerShell"),
        (["/bin/echo"], "is no PowerShell"),
        (["/bin/false"], "is no PowerShell"),
        (["/bin/true", "--only", "no such case"], "--list names them all"),
    ],
)
def test_usage_error_is_said(words: list[str], said: str) -> None:
    """Without a PowerShell, or with something that is none, it ends with 2 and says so; nothing is counted."""
    told = _run(*words)

    assert told.returncode == 2
    assert said in told.stderr
    assert "passed" not in told.stdout


def test_path_that_cannot_be_started_is_refused(tmp_path: Path) -> None:
    """The command line has no quotes around its program, so a path with a blank is refused with a cure."""
    folder = tmp_path / "a b"
    folder.mkdir()

    with pytest.raises(NotPowerShell, match="link to it"):
        probed(_program(folder, "exit 0"))


_BLOCKED = """
import json, runpy, sys
allowed = {"remedy", "remedy_runners", "tests", "yaml", "_yaml", "jsonschema"}
class Guard:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in allowed and top not in sys.stdlib_module_names:
            raise ImportError("not to be had here: " + name)
sys.meta_path.insert(0, Guard())
sys.argv = [sys.argv[1], "--list"]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as exc:
    assert not exc.code
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def test_lane_needs_little() -> None:
    """It runs isolated from this checkout's environment and loads nothing but the standard library, PyYAML and ours."""
    told = subprocess.run(
        [sys.executable, "-I", "-c", _BLOCKED, str(SCRIPT)], capture_output=True, text=True, timeout=100, cwd="/"
    )

    assert told.returncode == 0, told.stderr
    loaded = set(json.loads(told.stderr.splitlines()[-1]))
    ours = {name for name in loaded if name.startswith(("remedy.", "remedy_runners."))}
    few = {"remedy.port", "remedy.text", "remedy.errors", "remedy.secrets"}
    assert {name for name in ours if name.startswith("remedy.")} <= few
    assert not loaded & {"paramiko", "winrm", "requests", "pytest", "hypothesis", "rich", "typer", "structlog"}
    assert "remedy_runners.powershell.session" in ours


def test_main_lists_what_is_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    """`--list` with `--only` names those cases alone."""
    code = main(["--list", "--only", "identity:"])

    assert code == 0
    assert capsys.readouterr().out.splitlines()[0] == "identity: name, version, and the id that Windows has"
