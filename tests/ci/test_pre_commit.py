"""The hooks before a commit: what they run, run here on the files of a commit, by the files that they ask for."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from remedy.cli.commands.init import run_init
from tests.cli.command_line import CommandLine, Ran

_ROOT = Path(__file__).parents[2]
_HOOKS: list[dict[str, Any]] = yaml.safe_load((_ROOT / ".pre-commit-hooks.yaml").read_text())


@pytest.fixture
def line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """A repository as `remedy init` makes it."""
    run_init(str(tmp_path))
    capsys.readouterr()
    return CommandLine(tmp_path)


def _own_hooks(line: CommandLine) -> list[dict[str, Any]]:
    (repo,) = yaml.safe_load((line.directory / ".pre-commit-config.yaml").read_text())["repos"]
    hooks: list[dict[str, Any]] = repo["hooks"]
    return hooks


def _commit(line: CommandLine, hooks: list[dict[str, Any]], *changed: str) -> dict[str, Ran]:
    """Run the hooks as pre-commit does: each on the changed files that it asks for, not at all when there are none."""
    ran = {}
    for hook in hooks:
        files = [name for name in changed if re.search(hook["files"], name)]
        if files:
            named = files if hook.get("pass_filenames", True) else []
            words = shlex.split(hook["entry"])
            assert words[0] == "remedy"
            ran[hook["id"]] = line.remedy(*words[1:], *named)
    return ran


_ALL = ("rules/low-disk/rule.yaml", "rules/low-disk/clean.sh", "rules/low-disk/tests.yaml", "inventory.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("whose", ["of the repository", "of remedy"])
def test_hooks_pass_on_what_init_writes(line: CommandLine, whose: str) -> None:
    """All hooks, those of a new repository and those that remedy offers, pass on the starter rules."""
    hooks = _own_hooks(line) if whose == "of the repository" else _HOOKS

    ran = _commit(line, hooks, *_ALL)

    assert {name: each.code for name, each in ran.items()} == dict.fromkeys(
        ("remedy-validate", "remedy-lint", "remedy-test"), 0
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "text", "failing"),
    [
        ("rules/low-disk/rule.yaml", "nonsense: 1\n", "remedy-validate"),
        ("rules/low-disk/clean.sh", 'rm -rf "$nobody_knows"/*\n', "remedy-lint"),
        ("rules/low-disk/tests.yaml", "- {case: x}\n", "remedy-test"),
    ],
)
def test_hook_fails_on_a_mistake(line: CommandLine, changed: str, text: str, failing: str) -> None:
    """A rule that does not load, a dangerous script, a wrong case: the commit is refused by the hook for it."""
    path = line.directory / changed
    path.write_text(path.read_text() + text)

    ran = _commit(line, _own_hooks(line), changed)

    assert ran[failing].code != 0


def test_hooks_leave_other_files_alone(line: CommandLine) -> None:
    """A commit of nothing that concerns remedy runs none of a repository's hooks."""
    assert _commit(line, _own_hooks(line), "README.md", "docs/page.md") == {}


def test_hooks_of_both_files_are_the_same_checks(line: CommandLine) -> None:
    """What remedy offers and what init writes have the same names and run the same commands."""
    own = {hook["id"]: hook["entry"] for hook in _own_hooks(line)}

    assert {hook["id"]: hook["entry"] for hook in _HOOKS} == own
    assert all(hook["language"] == "python" and hook["description"] for hook in _HOOKS)


def test_real_git_hook_runs_them(line: CommandLine) -> None:
    """Within a commit, with the variables that git sets for a hook, the checks see the right repository."""
    root, environment = line.directory, {**line.environment, "GIT_CONFIG_GLOBAL": "/dev/null"}
    hook = root / ".git" / "hooks" / "pre-commit"
    for words in (["init", "--quiet"], ["config", "user.email", "t@example.org"], ["config", "user.name", "t"]):
        subprocess.run(["git", *words], cwd=root, env=environment, check=True)
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nexec {line.shell('echo $REMEDY').out.strip()} validate\n")
    hook.chmod(0o755)
    subprocess.run(["git", "add", "rules", "inventory.yaml", "remedy.yaml"], cwd=root, env=environment, check=True)

    good = subprocess.run(["git", "commit", "-qm", "x"], cwd=root, env=environment, capture_output=True, text=True)
    rule = root / "rules/low-disk/rule.yaml"
    rule.write_text(rule.read_text() + "nonsense: 1\n")
    bad = subprocess.run(["git", "commit", "-qam", "y"], cwd=root, env=environment, capture_output=True, text=True)

    assert good.returncode == 0, good.stderr
    assert bad.returncode != 0
    assert "rules/low-disk/rule.yaml" in bad.stderr + bad.stdout


@pytest.mark.parametrize("hooks", ["of the repository", "of remedy"])
@pytest.mark.parametrize(
    "changed",
    [
        *("hosts", "hosts.ini", "hosts.yml", "hosts.yaml", "inventory.json", "inventory/prod", "inventory/prod.ini"),
        *("inventories/prod/hosts", "production.ini", "group_vars/all", "group_vars/web/main.yml", "host_vars/web-1"),
        *("inventory/group_vars/all", "inventory/host_vars/web-1.yml", "remedy.yaml"),
    ],
)
def test_validate_looks_at_every_form_of_inventory(line: CommandLine, changed: str, hooks: str) -> None:
    """A commit of an inventory in any of its forms, or of variables beside it, is validated."""
    files = {hook["id"]: hook["files"] for hook in (_own_hooks(line) if hooks == "of the repository" else _HOOKS)}

    assert re.search(files["remedy-validate"], changed)
