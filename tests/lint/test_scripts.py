"""Scripts on disk: which are found, what is known of them, what shellcheck adds, what is missing."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.errors import UsageError
from remedy.lint import isolated, own, shellcheck
from remedy.lint.finding import Gap, Language, Level, Linted, Role, Subject
from remedy.lint.isolated import Child
from remedy.lint.report import summary_line
from remedy.lint.scripts import lint_script, lint_scripts
from remedy.lint.shebang import language_of
from remedy.lint.shellcheck import find_shellcheck, shellcheck_findings
from remedy.lint.sources import find_scripts
from remedy.load.repository import starter_rules
from remedy_runners.pieces import interpreter_of
from tests.lint.planted import look
from tests.lint.repositories import write_repository


def _subject(text: str, *, language: Language = Language.SH) -> Subject:
    return Subject(file="a.sh", body=text.encode("utf-8"), language=language)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Give a folder of rules with one signal and one rule."""
    return write_repository(tmp_path / "rules")


def test_shipped_scripts_are_clean() -> None:
    """No script that remedy ships has any finding, not even a note, and each was looked at in full."""
    found = find_scripts([starter_rules()])

    linted = lint_scripts(found.subjects, gaps=found.gaps)

    assert linted.scripts >= 21
    assert (linted.findings, linted.gaps) == ((), ())
    assert all(subject.names is not None for subject in found.subjects)


def test_scripts_of_a_repository_know_their_names(repository: Path) -> None:
    """A fix knows the row's columns and its rule's parameters, a collector what it may emit, and the key."""
    subjects = {Path(each.file).name: each for each in find_scripts([repository]).subjects}

    mend, linux, windows = subjects["mend.sh"], subjects["linux.sh"], subjects["windows.ps1"]
    assert (mend.role, linux.role, windows.role) == (Role.FIX, Role.COLLECTOR, Role.COLLECTOR)
    assert mend.names is not None
    assert linux.names is not None
    assert (mend.names.columns, mend.names.params) == ({"name", "level"}, {"above"})
    assert (linux.names.key, linux.names.params) == (("name",), {"names"})
    assert (windows.language, windows.is_windows) == (Language.POWERSHELL, True)


def test_single_script_is_looked_up_in_its_repository(repository: Path) -> None:
    """A script named by itself, as a commit hook does, has the same role and names as in its folder."""
    alone = find_scripts([repository / "high" / "mend.sh", repository / "signals" / "load" / "linux.sh"])

    assert set(alone.subjects) == {each for each in find_scripts([repository]).subjects if each.file.endswith(".sh")}


def test_script_that_is_named_twice_is_linted_once(repository: Path) -> None:
    """A folder, and a script in it, are one and the same script."""
    found = find_scripts([repository, repository / "high" / "mend.sh", repository / "high"])

    assert len(found.subjects) == 3


def test_script_of_nobody_is_linted_without_names(repository: Path) -> None:
    """A script beside a rule that names it nowhere is linted, by what holds for every script."""
    (repository / "high" / "old.sh").write_text("reboot\n", encoding="utf-8")

    linted = lint_scripts(find_scripts([repository]).subjects)

    assert [(Path(each.place.file).name, each.code) for each in linted.findings if each.level is Level.ERROR] == [
        ("old.sh", "R202")
    ]


def test_script_of_a_broken_rule_is_never_clean(repository: Path) -> None:
    """Where the rule's own file is wrong, its names are not known, and that is said."""
    (repository / "high" / "rule.yaml").write_text("rule: high\n", encoding="utf-8")

    found = find_scripts([repository])

    assert [(Path(gap.file).name, gap.cure) for gap in found.gaps] == [("mend.sh", "run `remedy validate` first")]
    assert len(found.subjects) == 3


def test_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A mistyped path is an error, never an empty list of findings."""
    with pytest.raises(UsageError, match=r"there is no '.*nowhere'"):
        find_scripts([tmp_path / "nowhere"])


def test_folder_that_cannot_be_read_is_a_gap(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be looked into is said, and the others are looked into."""
    listed = Path.iterdir

    def iterdir(folder: Path) -> Iterator[Path]:
        if folder.name == "high":
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)

    found = find_scripts([repository / "high", repository / "signals"])

    assert (str(repository / "high"), "cannot be read: permission denied") in {
        (gap.file, gap.what) for gap in found.gaps
    }
    assert {Path(subject.file).name for subject in found.subjects} >= {"linux.sh", "windows.ps1"}


def test_script_that_is_too_large_is_not_linted(tmp_path: Path) -> None:
    """A file that remedy would refuse to load is said to be not linted."""
    path = tmp_path / "large.sh"
    path.write_bytes(b"#" * 300_000)

    found = find_scripts([path])

    assert found.subjects == ()
    assert found.gaps[0].what == "is larger than 256 KiB"


@pytest.mark.parametrize(
    "first_line",
    ["", "#!/bin/sh", "#!/bin/bash -e", "#!/usr/bin/env bash", "#!/usr/bin/env -S python3 -u", "#! /usr/bin/python3"],
)
def test_language_is_what_the_runner_starts(first_line: str) -> None:
    """Lint takes a script for the language whose interpreter would be started on a host."""
    body = f"{first_line}\necho x\n".encode()

    assert language_of(body, is_windows=False).value == interpreter_of(body)[0]


def test_shellcheck_speaks_for_sh_and_bash() -> None:
    """What shellcheck finds has its code, place and level, and a page to read."""
    findings, gaps = shellcheck_findings(_subject("[[ $1 == a ]]\n"), program=find_shellcheck())

    first = findings[0]
    assert gaps == []
    assert (first.code, first.level, first.place.line, first.place.column) == ("SC3010", Level.WARNING, 1, 1)
    assert first.cure == "see https://www.shellcheck.net/wiki/SC3010"
    assert shellcheck_findings(_subject("[[ a$1 == a ]]\n", language=Language.BASH), program=find_shellcheck()) == (
        [],
        [],
    )


def test_settings_of_the_caller_change_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither SHELLCHECK_OPTS nor a .shellcheckrc of the folder or the home silences anything."""
    monkeypatch.setenv("SHELLCHECK_OPTS", "-e SC3010")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".shellcheckrc").write_text("disable=SC3010\n", encoding="utf-8")

    findings, _ = shellcheck_findings(_subject("[[ $1 == a ]]\n"), program=find_shellcheck())

    assert "SC3010" in {finding.code for finding in findings}


def test_what_shellcheck_says_too_is_said_once() -> None:
    """A lost status in a declaration is one finding, with our code."""
    findings, _ = lint_script(
        _subject('set -e\nf() { local x=$(date); echo "$x"; }\nf\n', language=Language.BASH),
        look=look,
        shellcheck=find_shellcheck(),
    )

    assert [finding.code for finding in findings] == ["R103"]


def test_mistyped_name_is_said_once(repository: Path) -> None:
    """What shellcheck takes for a misspelling is not said again; one of another name on the same line is."""
    text = 'MONT=/\nFOO=1\nREMEDY_ROW_NAME="$MONT$FOO"\ndf -P "$REMEDY_ROW_NAM" "$MOUNT" "$REMEDY_ROW_NAME"\n'
    (repository / "high" / "mend.sh").write_text(text, encoding="utf-8")

    linted = lint_scripts(find_scripts([repository / "high" / "mend.sh"]).subjects)

    assert [(each.code, each.place.line, each.place.column) for each in linted.findings] == [
        ("R406", 4, 8),
        ("SC2153", 4, 26),
    ]


def test_finding_of_shellcheck_may_be_allowed() -> None:
    """An allowance with a reason accepts a finding of shellcheck as it does one of ours."""
    text = "# remedy: allow SC2086 the words are meant as words\necho $1\n"

    findings, _ = lint_script(_subject(text), look=look, shellcheck=find_shellcheck())

    assert [(finding.code, finding.allowed) for finding in findings] == [("SC2086", "the words are meant as words")]


@pytest.mark.parametrize(
    ("program", "what"),
    [
        ("sleep 60", "shellcheck took more than 1 s"),
        ("exit 3", "shellcheck gave up: exit code 3"),
        ("echo no such option >&2; exit 4", "shellcheck gave up: no such option"),
        ("echo '[]'", "shellcheck's answer cannot be read (TypeError)"),
        ("echo '{'", "shellcheck's answer cannot be read (JSONDecodeError)"),
        ('echo \'{"comments": [{"code": 1}]}\'', "shellcheck's answer cannot be read (KeyError)"),
    ],
)
def test_shellcheck_that_fails_leaves_a_gap(
    program: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However shellcheck fails, the script is not linted in full, and never clean."""
    monkeypatch.setattr(shellcheck, "_TIMEOUT_S", 1)
    path = tmp_path / "shellcheck"
    path.write_text(f"#!/bin/sh\nexec 0</dev/null\n{program.replace('sleep', 'exec sleep')}\n", encoding="utf-8")
    path.chmod(0o755)

    findings, gaps = shellcheck_findings(_subject("echo\n"), program=str(path))

    assert findings == []
    assert [gap.what for gap in gaps] == [what]


def test_shellcheck_that_is_no_program_leaves_a_gap(tmp_path: Path) -> None:
    """A shellcheck that cannot be started is said."""
    findings, gaps = shellcheck_findings(_subject("echo\n"), program=str(tmp_path))

    assert findings == []
    assert gaps[0].what == "shellcheck cannot be started: permission denied"


def test_missing_shellcheck_is_said_for_each_shell_script() -> None:
    """Without shellcheck a script for sh is not linted in full, and one for PowerShell is."""
    _, missed = lint_script(_subject("echo\n"), look=look, shellcheck=None)
    _, none = lint_script(_subject("exit 1\n", language=Language.POWERSHELL), look=look, shellcheck=None)

    assert [(gap.what, gap.cure) for gap in missed] == [("there is no shellcheck", own.INSTALL)]
    assert none == []


@pytest.mark.parametrize(
    ("language", "missing"),
    [
        (Language.SH, "tree_sitter_bash"),
        (Language.BASH, "tree_sitter"),
        (Language.POWERSHELL, "tree_sitter_pwsh"),
    ],
)
def test_missing_grammar_is_said(language: Language, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its grammar nothing of a language is called clean."""
    monkeypatch.setitem(sys.modules, missing, None)

    findings, gaps = look(_subject("reboot\n", language=language))

    line = summary_line(Linted(scripts=1, findings=tuple(findings), gaps=tuple(gaps)))
    assert gaps[0].what == f"remedy's own checks need {missing}"
    assert line == "1 script: no findings; 1 of them not linted, or not in full"


def test_shellcheck_is_looked_for_beside_python_and_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The shellcheck that came with the extra is taken, else the one on PATH, else none."""
    beside = find_shellcheck()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    none = find_shellcheck()
    (tmp_path / "shellcheck").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "shellcheck").chmod(0o755)

    assert beside is not None
    assert none is None
    assert find_shellcheck() == str(tmp_path / "shellcheck")


def test_grammars_are_looked_for_only_when_needed() -> None:
    """A machine without the extra can do everything else: nothing is imported before a script is parsed."""
    code = "import sys\nimport remedy.lint.scripts, remedy.cli.app\nprint('tree_sitter' in sys.modules)"

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert said.stdout == "False\n"


def test_order_and_result_do_not_depend_on_the_threads(repository: Path) -> None:
    """Twice the same scripts in another order give the same findings, sorted by place."""
    for name in ("a", "b", "c"):
        (repository / "high" / f"{name}.sh").write_text("reboot\nvi x\n", encoding="utf-8")
    subjects = find_scripts([repository]).subjects

    there, back = lint_scripts(subjects), lint_scripts(subjects[::-1])

    assert there == back
    assert list(there.findings) == sorted(there.findings)
    assert len(there.findings) == 6


def test_child_that_dies_leaves_a_gap_and_another_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the parser takes its process with it, that script is not linted, and the next one is."""
    bad, good = _subject("echo\n"), _subject("reboot\n")
    with Child() as child:
        monkeypatch.setattr(sys, "executable", shutil.which("false"))
        first = child.own_findings(bad)
        monkeypatch.undo()
        second = child.own_findings(good)

    assert first == ([], [Gap(file="a.sh", what="the parser broke down on it", cure=first[1][0].cure)])
    assert [finding.code for finding in second[0]] == ["R202"]


def test_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A child that gives no answer in time is ended, and that script is not linted."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(isolated, "_ANSWER_S_MAX", 0.3)
    monkeypatch.setattr(sys, "executable", str(program))
    with Child() as child:
        findings, gaps = child.own_findings(_subject("echo\n"))

    assert (findings, [gap.what for gap in gaps]) == ([], ["looking at it takes too long"])


def test_child_says_what_we_would_say(repository: Path) -> None:
    """A script that a child looks at has the findings that it has in this process."""
    (repository / "high" / "mend.sh").write_text('rm -rf "$REMEDY_ROW_NAM"/*\n', encoding="utf-8")
    subjects = find_scripts([repository]).subjects
    with Child() as child:
        told = [child.own_findings(subject) for subject in subjects]

    assert told == [look(subject) for subject in subjects]
    assert {finding.code for findings, _ in told for finding in findings} >= {"R201", "R406"}


def test_folder_where_lint_is_called_is_not_believed(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package named remedy in the current folder, maybe of a stranger's change, is never run."""
    planted = repository / "remedy" / "lint"
    planted.mkdir(parents=True)
    for name in (repository / "remedy" / "__init__.py", planted / "__init__.py", planted / "__main__.py"):
        name.write_text("raise SystemExit(open('planted', 'w').write('x'))\n", encoding="utf-8")
    monkeypatch.chdir(repository)
    with Child() as child:
        findings, _ = child.own_findings(_subject("reboot\n"))

    assert [finding.code for finding in findings] == ["R202"]
    assert not (repository / "planted").exists()
