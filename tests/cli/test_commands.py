"""The commands as a person types them, without any host."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from remedy.demo.host import VOLUME  # noqa: F401 - importing the demo must not need root or sshd.
from tests.cli.forked import run_forked

_TOP = Path(__file__).parent.parent.parent
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command line in an empty directory with an empty home."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "LC_ALL": "C.UTF-8",
    }

    def run_words(*words: str, cwd: Path = tmp_path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        done = run_forked(words, cwd=cwd, environment=environment, stdin=stdin, timeout_s=60)
        assert "Traceback" not in done.stdout + done.stderr
        return done

    return run_words


COMMANDS = (
    *("init", "validate", "inventory", "scan", "apply", "why", "runs", "release", "stop", "start", "demo"),
    *("pause", "unpause", "resume", "reconcile", "lint", "schema", "config"),
)


@pytest.mark.parametrize("command", [*COMMANDS, "audit verify", "audit show", "rules list", "rules show"])
def test_help_has_an_example(run: Run, command: str) -> None:
    """Every command's help shows how it is typed, and the README knows it."""
    done = run(*command.split(), "--help")

    assert done.returncode == 0
    assert re.search(rf"^ +(sudo )?(ansible-inventory --list \| )?remedy {command}", done.stdout, re.MULTILINE)
    assert f"remedy {command}" in (_TOP / "README.md").read_text()


@pytest.mark.parametrize(
    "words", [("aply",), ("scan", "--nosuch"), ("apply", "--accept-matched", "x"), ("scan", "-o", "yaml"), ("why",)]
)
def test_usage_errors_are_exit_1(run: Run, words: tuple[str, ...]) -> None:
    """A wrong command line is exit 1 (2 is for pending fixes), with one message and nothing on stdout."""
    done = run(*words)

    assert done.returncode == 1
    assert done.stderr.strip()
    assert not done.stdout


def test_init_makes_a_repository_that_works(run: Run, tmp_path: Path) -> None:
    """A fresh repository validates, every rule observes, and a scan of this machine ends."""
    made = run("init", "repo")
    repo = tmp_path / "repo"

    validated = run("validate", cwd=repo)
    scanned = run("scan", "-r", "low-inodes", "-o", "json", cwd=repo)

    assert made.returncode == 0
    assert validated.returncode == 0
    modes = {path.read_text().split("\nmode: ")[1].split()[0] for path in repo.glob("rules/*/rule.yaml")}
    assert modes == {"observe"}
    assert "mode: fix" in made.stdout
    assert scanned.returncode in (0, 4)
    assert json.loads(scanned.stdout)["coverage"]["selected"] == 1


def test_init_never_writes_over_something(run: Run, tmp_path: Path) -> None:
    """A folder that has something in it is left alone."""
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "mine").write_text("keep")

    done = run("init", "repo")

    assert done.returncode == 1
    assert [path.name for path in (tmp_path / "repo").iterdir()] == ["mine"]


def test_scan_without_files_says_what_it_judges(run: Run, tmp_path: Path) -> None:
    """In an empty directory a scan judges this machine with the starter rules, and says so."""
    done = run("scan", "-r", "low-inodes")

    assert done.returncode in (0, 4)
    assert "this machine, read only" in done.stderr
    assert "starter rules" in done.stderr
    assert "judged" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


@pytest.mark.parametrize("words", [("apply", "--dry-run"), ("apply", "--yes"), ("apply", "--yes", "-i", "localhost,")])
def test_apply_never_guesses(run: Run, words: tuple[str, ...]) -> None:
    """Apply without rules or inventory is refused: what stands in for a scan never does for it."""
    done = run(*words)

    assert done.returncode == 1
    assert "remedy init" in done.stderr


WRONG_CONDITIONS = {
    "fre_percent < 10": "free_percent?",
    "free_percent < 'x'": "number",
    "free_percent": "true or false",
    "not free_percent": "",
    "free_percent < 10) or (1=1": "",
    "free_percent is null": "unknown",
    "free_percent < (select 1)": "",
    "sqrt(free_percent) < 2": "sqrt",
    "free_percent < 10 -- all": "--",
    "free_percent < 10;": ";",
}


@pytest.mark.parametrize("condition", list(WRONG_CONDITIONS))
def test_validate_refuses_wrong_conditions_with_place_and_cure(run: Run, tmp_path: Path, condition: str) -> None:
    """Each wrong condition is one message at its file, line and column; nothing else is wrong."""
    run("init", "repo")
    rule = tmp_path / "repo" / "rules" / "low-inodes" / "rule.yaml"
    text = rule.read_text()
    column = "free_percent" if "free_percent" in text else "inodes_free_percent"
    quoted = json.dumps(condition.replace("free_percent", column).replace("fre_percent", column[:-1]))
    rule.write_text(re.sub(r"^when: .*$", f"when: {quoted}", text, flags=re.MULTILINE))
    line = next(n for n, each in enumerate(rule.read_text().splitlines(), 1) if each.startswith("when:"))

    done = run("validate", cwd=tmp_path / "repo")

    assert done.returncode == 1
    messages = done.stdout.splitlines()
    assert messages
    assert all(re.match(rf"rules/low-inodes/rule\.yaml:{line}:\d+: .", each) for each in messages)
    assert len(messages) <= 2


def test_validate_reports_all_problems_of_all_files(run: Run, tmp_path: Path) -> None:
    """Mistakes in several files are said together, and as JSON with their places."""
    run("init", "repo")
    repo = tmp_path / "repo"
    for name in ("low-disk", "low-inodes"):
        rule = repo / "rules" / name / "rule.yaml"
        rule.write_text(rule.read_text().replace("owner:", "ovner:"))
    inventory = repo / "inventory.yaml"
    inventory.write_text("all:\n  hosts:\n    a: {}\n    a: {}\n")

    text = run("validate", cwd=repo)
    document = json.loads(run("validate", "-o", "json", cwd=repo).stdout)

    assert text.returncode == 1
    assert {problem["file"] for problem in document["problems"]} >= {
        "rules/low-disk/rule.yaml",
        "rules/low-inodes/rule.yaml",
    }
    assert all(problem["line"] and problem["column"] for problem in document["problems"])
    assert "`ovner`" in text.stdout or "'ovner'" in text.stdout


def _broken_repository(run: Run, tmp_path: Path, old: str, new: str) -> Path:
    run("init", "repo")
    rule = tmp_path / "repo" / "rules" / "low-disk" / "rule.yaml"
    assert old in rule.read_text()
    rule.write_text(rule.read_text().replace(old, new, 1))
    return tmp_path / "repo"


def test_validate_counts_what_was_found_and_checks_on(run: Run, tmp_path: Path) -> None:
    """A mistake in one rule hides neither the number of rules, nor the cases of others, nor the inventory."""
    repo = _broken_repository(run, tmp_path, "owner:", "ovner:")
    whole = len(list((repo / "rules").glob("*/rule.yaml")))
    (repo / "rules" / "low-inodes" / "tests.yaml").write_text("[]\n")
    (repo / "inventory.yaml").write_text("all:\n  hosts:\n    a: {remedy_params: {low-disk: {x: 1}, nosuch: {x: 1}}}\n")

    document = json.loads(run("validate", "-o", "json", cwd=repo).stdout)

    assert document["rules"] == whole
    assert {problem["file"] for problem in document["problems"]} == {
        "rules/low-disk/rule.yaml",
        "rules/low-inodes/tests.yaml",
        "inventory.yaml",
    }
    assert not any("`low-disk`" in problem["message"] for problem in document["problems"])


def test_validate_names_each_wrong_pattern_once_at_its_place(run: Run, tmp_path: Path) -> None:
    """A pattern that names nothing is one line, its place stands there once, and the nearest name is offered."""
    repo = _broken_repository(
        run, tmp_path, "hosts: all\n", "hosts: webb\nexempt:\n  - {hosts: web-11, reason: because}\n"
    )
    (repo / "inventory.yaml").write_text("web:\n  hosts:\n    web-1:\n")
    lines = (repo / "rules" / "low-disk" / "rule.yaml").read_text().splitlines()
    line = lines.index("hosts: webb") + 1

    done = run("validate", cwd=repo)

    file = "rules/low-disk/rule.yaml"
    assert done.stdout.splitlines() == [
        f"{file}:{line}:8: hosts: no host or group is named 'webb'; did you mean web or web-1?",
        f"{file}:{line + 2}:13: exempt[0].hosts: no host or group is named 'web-11'; did you mean web-1 or web?",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("",), "a folder's name is empty"),
        (("rules", " "), "a folder's name is empty"),
        (("rules", "-R", "rules"), "a folder and --rules are given"),
        (("nosuch",), "there is no folder of rules 'nosuch'"),
        (("-R", "nosuch"), "there is no folder of rules 'nosuch', which --rules names"),
        (("notes",), ""),
    ],
)
def test_validate_without_a_folder_of_rules_is_refused(
    run: Run, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    """What names no rules, or two sets of them, never ends as `no problems`."""
    run("init", "repo")
    (tmp_path / "repo" / "notes" / "old").mkdir(parents=True)

    done = run("validate", *words, cwd=tmp_path / "repo")

    assert done.returncode == 1
    assert message in done.stderr
    assert "no problems" not in done.stdout + done.stderr


def test_validate_counts_a_folder_once(run: Run, tmp_path: Path) -> None:
    """The same folder given twice, by two names, is checked once."""
    run("init", "repo")
    once = run("validate", "rules", cwd=tmp_path / "repo")
    twice = run("validate", "rules", "./rules/../rules", cwd=tmp_path / "repo")

    assert once.returncode == twice.returncode == 0
    assert once.stdout == twice.stdout


def test_missing_inventory_is_told_with_what_names_it(run: Run, tmp_path: Path) -> None:
    """A file that is not there is told together with the file or variable that names it."""
    (tmp_path / "remedy.yaml").write_text("inventory: gone.yaml\n")
    by_file = run("inventory")
    by_flag = run("inventory", "-i", "lost.yaml")

    assert by_file.returncode == by_flag.returncode == 1
    assert by_file.stderr == "remedy: there is no inventory 'gone.yaml', which remedy.yaml names\n"
    assert "there is no inventory 'lost.yaml'; for a host of that name" in by_flag.stderr


def test_binary_on_standard_input_is_one_line(tmp_path: Path) -> None:
    """An inventory that is no text is refused in one message."""
    done = subprocess.run(
        [sys.executable, "-m", "remedy", "inventory", "-i", "-"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        input=b"\x7fELF\xff\xfe",
        capture_output=True,
        timeout=60,
    )

    assert done.returncode == 1
    assert done.stderr == b"remedy: the inventory on standard input is not UTF-8 text\n"


@pytest.mark.parametrize("value", ["-1", "1.5", "99999999999", "200%", "some"])
def test_wrong_max_unseen_says_what_can_be_written(run: Run, value: str) -> None:
    """A limit that is none is answered with the two forms it can have."""
    done = run("scan", "--max-unseen", value)

    assert done.returncode == 1
    assert done.stderr == f"remedy: --max-unseen {value}: write N or P%, such as 3 or 10%\n"


def test_inventory_reads_ansible_json_from_stdin(run: Run) -> None:
    """`ansible-inventory --list` JSON on standard input is an inventory."""
    listing = {
        "_meta": {"hostvars": {"web-1": {"ansible_host": "192.0.2.1"}, "win-1": {"ansible_connection": "winrm"}}},
        "all": {"children": ["web", "ungrouped"]},
        "web": {"hosts": ["web-1", "win-1"]},
    }

    done = run("inventory", "-i", "-", "-o", "json", stdin=json.dumps(listing))

    hosts = {each["host"]: each for each in json.loads(done.stdout)["hosts"]}
    assert hosts["web-1"]["address"] == "192.0.2.1"
    assert hosts["win-1"]["platform"] == "windows"


def test_runs_without_a_ledger_says_where_it_looked(run: Run, tmp_path: Path) -> None:
    """Asking for runs where none ever were names the directory and the flag."""
    done = run("runs", "--state", "nowhere")

    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "--state" in done.stderr


def test_stop_and_start_leave_evidence(run: Run, tmp_path: Path) -> None:
    """`stop` makes the file, `start` removes it; both are in an audit log that verifies."""
    stopped = run("stop", "a test", "--state", "state")
    exists = (tmp_path / "state" / "STOP").read_text()
    started = run("start", "--state", "state")
    verified = run("audit", "verify", "--state", "state", "-o", "json")

    assert stopped.returncode == started.returncode == verified.returncode == 0
    assert "a test" in exists
    assert not (tmp_path / "state" / "STOP").exists()
    assert json.loads(verified.stdout)["intact"] is True
    assert len(json.loads(verified.stdout)["files"]) == 2


def test_edited_audit_log_is_exit_3(run: Run, tmp_path: Path) -> None:
    """One changed byte in the audit log is found, with file and line."""
    run("stop", "a test", "--state", "state")
    (file,) = (tmp_path / "state" / "audit").glob("*.jsonl")
    file.chmod(0o600)
    file.write_text(file.read_text().replace("a test", "b test"))

    done = run("audit", "verify", "--state", "state")

    assert done.returncode == 3
    assert f"{file.name}:" in done.stdout


def test_version_is_the_package_version(run: Run) -> None:
    """`--version` prints the version of the package."""
    from remedy import __version__

    assert run("--version").stdout == f"remedy {__version__}\n"


def _shell(run_directory: Path, line: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(run_directory),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "REMEDY": f"{sys.executable} -m remedy",
    }
    return subprocess.run(
        ["sh", "-c", line], cwd=run_directory, env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_stop_works_with_closed_streams(tmp_path: Path, closed: str) -> None:
    """The brake works whatever streams its caller closed, and leaves a whole audit log."""
    done = _shell(tmp_path, f"$REMEDY stop brake --state state {closed}")

    assert done.returncode == 0
    assert (tmp_path / "state" / "STOP").exists()
    assert _shell(tmp_path, "$REMEDY audit verify --state state").returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ("scan", "-l", "a", "-l", "b"),
        ("scan", "-l", "a", "--limit=b"),
        ("apply", "--yes", "-la", "-lb"),
        ("scan", "--save", "x", "--save", "y"),
        ("validate", "-R", "x", "--rules", "y"),
    ],
)
def test_option_given_twice_is_refused(run: Run, words: tuple[str, ...]) -> None:
    """An option with one value that is given twice is refused: the last one would win silently."""
    done = run(*words)

    assert done.returncode == 1
    assert "given twice" in done.stderr


def test_repeatable_options_may_be_repeated(run: Run) -> None:
    """--rule and --tag take several; a value that looks like an option is no option."""
    done = run("scan", "-r", "low-inodes", "-r", "low-disk", "-i", "localhost,", "-o", "json")

    assert {each["rule"] for each in json.loads(done.stdout)["judgements"]} == {"low-inodes", "low-disk"}


def test_brakes_do_not_need_a_valid_remedy_yaml(run: Run, tmp_path: Path) -> None:
    """With the state directory named, a broken remedy.yaml is in nobody's way; without, the message says so."""
    (tmp_path / "remedy.yaml").write_text("{\n")

    named = run("stop", "brake", "--state", "state")
    verified = run("audit", "verify", "--state", "state")
    unnamed = run("stop", "brake")

    assert named.returncode == verified.returncode == 0
    assert unnamed.returncode == 1
    assert "--state DIR" in unnamed.stderr


@pytest.mark.parametrize("place", ["", "-", "nowhere/readings.jsonl", "."])
def test_save_is_refused_before_anybody_is_read(run: Run, place: str) -> None:
    """A place where readings cannot be kept is refused first."""
    done = run("scan", "-r", "low-inodes", "--save", place)

    assert done.returncode == 1
    assert "nobody was contacted" in done.stderr


def test_empty_readings_never_means_live(run: Run, tmp_path: Path) -> None:
    """`--readings ''` (an unset variable) is refused, and not taken for a live dry run."""
    run("init", "repo")

    done = run("apply", "--dry-run", "--readings", "", cwd=tmp_path / "repo")

    assert done.returncode == 1
    assert "nobody was contacted" in done.stderr


def test_dry_run_under_a_stop_says_so(run: Run, tmp_path: Path) -> None:
    """A dry run under a stop is 5, and its JSON and header name the reason."""
    run("init", "repo")
    run("stop", "storage migration", "--state", "../state", cwd=tmp_path / "repo")

    done = run("apply", "--dry-run", "-r", "low-inodes", "--state", "../state", "-o", "json", cwd=tmp_path / "repo")

    assert done.returncode == 5
    assert "storage migration" in json.loads(done.stdout)["stopped"]
    assert "STOPPED: storage migration" in done.stderr


def test_names_that_were_typed_stand_in_the_message(run: Run, tmp_path: Path) -> None:
    """`why` names the arguments that were typed, not options that were not."""
    host = run("why", "localhsot", "-i", "localhost,")
    rule = run("why", "localhost", "low-dsik", "-i", "localhost,")

    assert host.returncode == rule.returncode == 6
    assert host.stderr.startswith("remedy: HOST")
    assert "RULE low-dsik" in rule.stderr
    assert "--limit" not in host.stderr


def test_mistyped_freeze_keeps_nobody_from_stopping(run: Run, tmp_path: Path) -> None:
    """With a remedy.yaml in which a freeze is wrong, `stop` and `start` still find the state directory it names."""
    (tmp_path / "remedy.yaml").write_text(
        "state: mine\nfreezes: [{from: 2026-12-24T00:00, to: 2026-12-23T00:00, zone: UTC, reason: x}]\n"
    )

    stopped = run("stop", "brake")
    stands = (tmp_path / "mine" / "STOP").exists()
    started = run("start")

    assert (stopped.returncode, started.returncode) == (0, 0)
    assert stands
    assert not (tmp_path / "mine" / "STOP").exists()
    assert "something else is wrong" in stopped.stderr
    assert "WARNING: nothing had used" in stopped.stderr


def test_plan_out_on_standard_output_is_refused(run: Run, tmp_path: Path) -> None:
    """`--plan-out -` writes no file of that name: the message says what to write instead, before anybody is read."""
    run("init", "repo")

    done = run("apply", "--dry-run", "-r", "low-inodes", "--plan-out", "-", cwd=tmp_path / "repo")

    assert done.returncode == 1
    assert done.stderr == (
        "remedy: --plan-out -: name a file, such as plan.json; with -o json the plan is on standard output; "
        "nobody was contacted\n"
    )
    assert not (tmp_path / "repo" / "-").exists()


def test_init_takes_a_fresh_clone(run: Run, tmp_path: Path) -> None:
    """A folder with nothing but `.git` is where most repositories begin; one with anything else is left alone."""
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    (tmp_path / "used" / "notes").mkdir(parents=True)

    made, left = run("init", "clone"), run("init", "used")

    assert made.returncode == 0, made.stderr
    assert (tmp_path / "clone" / "rules").is_dir()
    assert left.returncode == 1
    assert "used exists and is not an empty folder" in left.stderr
    assert [each.name for each in (tmp_path / "used").iterdir()] == ["notes"]


def test_init_takes_a_new_repository_and_keeps_what_it_has(run: Run, tmp_path: Path) -> None:
    """The files that a hoster puts into a new repository are in nobody's way: kept as they are, and named."""
    theirs = ("README.md", "LICENSE", ".gitignore", ".gitattributes")
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    for name in theirs:
        (tmp_path / "clone" / name).write_text("theirs")

    made = run("init", ".", cwd=tmp_path / "clone")

    assert made.returncode == 0, made.stderr
    assert {(tmp_path / "clone" / name).read_text() for name in theirs} == {"theirs"}
    assert (tmp_path / "clone" / "rules").is_dir()
    assert "kept as they were: .gitattributes, .gitignore, LICENSE, README.md" in made.stdout
    assert "README.md" not in made.stdout.splitlines()[0]


def test_init_never_follows_a_link_of_the_folder(run: Run, tmp_path: Path) -> None:
    """A README.md that leads to nothing is kept too: nothing is written where it leads."""
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "README.md").symlink_to(tmp_path / "elsewhere")

    made = run("init", "clone")

    assert made.returncode == 0, made.stderr
    assert not (tmp_path / "elsewhere").exists()


def test_init_has_git_ignore_what_remedy_writes(run: Run, tmp_path: Path) -> None:
    """Saved readings and plans, which tell of hosts, are not committed by chance."""
    made = run("init", "repo")

    assert (tmp_path / "repo" / ".gitignore").read_text().split() == ["readings.jsonl", "plan.json"]
    assert ".gitignore" in made.stdout.splitlines()[0]
