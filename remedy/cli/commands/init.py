"""`remedy init`: a rules repository that works as it is."""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from remedy import __version__
from remedy.cli.commands.schema import SCHEMA_FOLDER, schema_comment, write_schemas
from remedy.cli.console import Talk
from remedy.cli.revision import branch_name, remote_url
from remedy.errors import UsageError
from remedy.load.repository import load_repository, starter_rules
from remedy.text import untrusted

__all__ = ["run_init", "starter_ci"]

_MODE = re.compile(r"^mode: fix\b.*$", re.MULTILINE)
_OBSERVE = "mode: observe   # change to `mode: fix` when you have seen what it finds"
_SUFFIXES = (".yaml", ".sh", ".ps1")

_CI_FILES: Mapping[str, str] = {"github": ".github/workflows/remedy.yml", "gitlab": ".gitlab-ci.yml", "none": ""}
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,100}")
_DEFAULT_BRANCH = "main"

_REMEDY_YAML = """\
# Where things are; all keys are optional.
rules: rules
inventory: inventory.yaml
# state: /var/lib/remedy      # where `remedy apply` remembers what it did; readable by its user only
# On how many hosts fixes may start in any 24 hours, over all runs.
budgets: {per_rule: 200/24h, all: 500/24h}
# protected: dc:db-primary    # touched only when named one by one, and last
# freezes: [{from: 2026-12-23T00:00, to: 2027-01-02T06:00, zone: Europe/Berlin, reason: year end}]
"""

_INVENTORY = """\
# Ansible's YAML form. This machine first, so that `remedy scan` works at once; then your own hosts.
all:
  hosts:
    localhost:
      ansible_connection: local
    # web-1:
    #   ansible_host: 192.0.2.11
    #   ansible_user: remedy
"""

_IGNORED = """\
readings.jsonl
plan.json
"""

_OF_A_NEW_REPOSITORY = frozenset(
    {
        *(".git", ".gitattributes", ".gitignore", ".editorconfig"),
        *("README.md", "README", "LICENSE", "LICENSE.md", "LICENSE.txt", "COPYING"),
    }
)
"""What a hoster puts into a new repository; kept as it is."""

_README = """\
# Rules of remedy

    remedy validate            check every file
    remedy lint                look for what goes wrong with scripts
    remedy test                run the cases of tests.yaml beside each rule
    remedy scan                judge the hosts; changes nothing
    remedy apply --dry-run     show what would run where, and what is held back and why

Every rule starts with `mode: observe`. When you have seen what it finds, change that line to
`mode: fix` in `rules/NAME/rule.yaml` and run `remedy apply --dry-run` again.

{ci}`.pre-commit-config.yaml` has the same checks before each commit: `pre-commit install` once in each clone.

The first line of each YAML file names a schema in `.remedy/schemas`, by which editors with a YAML
language server complete and check. `remedy schema --write .remedy/schemas` renews them after an upgrade.
"""


_README_CI: Mapping[str, str] = {
    "github": """\
`.github/workflows/remedy.yml` checks every pull request. It contacts no host there: what the changed rules would do is
judged by readings that a job on the branch `{branch}` keeps, and stands in a comment. That job needs a runner of
your own that reaches the hosts: set the repository's variable REMEDY_RUNNER to its label, and let the environment
`remedy` admit the branch `{branch}` alone.

""",
    "gitlab": """\
`.gitlab-ci.yml` checks every merge request. It contacts no host there: what the changed rules would do is judged by
readings that a job on the default branch keeps, and stands in a note. That job needs a runner of your own that
reaches the hosts: set the variable REMEDY_RUNNER_TAG to its tag, and REMEDY_COMMENT_TOKEN to a token that may comment.

""",
    "none": "",
}


def run_init(directory: str, *, ci: str | None = None) -> int:
    """
    Make the repository and say what to do next.

    Without `ci` it is for the CI of the clone's remote, else for GitHub's.

    Raises:
        UsageError: the folder has something in it that a new repository has not, or cannot be made,
            or there is no such CI.
    """
    if ci is not None and ci not in _CI_FILES:
        raise UsageError(f"--ci {ci}: github, gitlab or none; nothing was written")
    target = Path(directory)
    kept = _kept(target)
    try:
        branch = _branch(target)
        ci = ci or ("gitlab" if "gitlab" in remote_url(target).lower() else "github")
        observed = _write(target, ci, branch)
    except OSError as exc:
        raise UsageError(f"{target} cannot be made: {exc.strerror}") from exc
    load_repository(target / "rules")
    talk = Talk(as_json=False)
    made = (
        *("rules/", "inventory.yaml", "remedy.yaml", "README.md", ".gitignore"),
        *(f"{SCHEMA_FOLDER}/", ".pre-commit-config.yaml", _CI_FILES[ci]),
    )
    talk.result([f"made {target}: {', '.join(name for name in made if name and name not in kept)}"])
    talk.result([f"kept as they were: {', '.join(kept)}"] if kept else [])
    if ".gitignore" in kept:
        talk.result([f"better not committed, for .gitignore: {', '.join(_IGNORED.split())}"])
    talk.result([f"to let a rule fix, change `mode: observe` to `mode: fix` in {path}" for path in observed])
    talk.result([f"next: cd {target} && remedy validate && remedy scan"])
    return 0


def _kept(target: Path) -> tuple[str, ...]:
    """
    Return what lies in the folder already and stays as it is.

    Raises:
        UsageError: it is no folder, or has something that a new repository has not.
    """
    if not target.exists():
        return ()
    there = {each.name for each in target.iterdir()} if target.is_dir() else {""}
    if strange := sorted(there - _OF_A_NEW_REPOSITORY):
        what = f"has {untrusted(strange[0])}" if strange[0] else "is no folder"
        raise UsageError(
            f"{target} exists and is not an empty folder or a new repository: it {what}; nothing was written"
        )
    return tuple(sorted(there - {".git"}))


def _branch(target: Path) -> str:
    """Return the branch that a clone is on, where it is one; the usual one else."""
    name = branch_name(target) if (target / ".git").exists() else ""
    return name if _BRANCH.fullmatch(name) else _DEFAULT_BRANCH


def starter_ci() -> Path:
    """Return the folder of the CI's files: in a wheel beside the package, in a checkout above it."""
    package = Path(__file__).resolve().parents[2]
    in_wheel = package / "starter_ci"
    return in_wheel if in_wheel.is_dir() else package.parent / "ci"


def _ci_text(ci: str, branch: str) -> str:
    """Return the pipeline, for this version of remedy and this protected branch."""
    text = (starter_ci() / f"{ci}.yml").read_text(encoding="utf-8")
    text = re.sub(r"(REMEDY_PACKAGE: remedy-engine\[lint\]==)\S+", rf"\g<1>{__version__}", text)
    text = text.replace('branches: ["main"]', f'branches: ["{branch}"]').replace(
        'BRANCH: "main"', f'BRANCH: "{branch}"'
    )
    return text.replace("'refs/heads/main'", f"'refs/heads/{branch}'")


def _write(target: Path, ci: str, branch: str) -> list[Path]:
    """Write all files; return the rules whose mode was turned to observe."""
    source = starter_rules()
    observed = []
    for path in sorted(source.rglob("*")):
        if path.suffix not in _SUFFIXES or not path.is_file():
            continue
        copy = target / "rules" / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".yaml":
            shutil.copyfile(path, copy)
            continue
        text, changed = _MODE.subn(_OBSERVE, path.read_text(encoding="utf-8"))
        if changed:
            observed.append(copy)
        depth = len(copy.relative_to(target).parts) - 1
        copy.write_text(schema_comment(path.stem, depth=depth) + text, encoding="utf-8")
    (target / "remedy.yaml").write_text(schema_comment("remedy", depth=0) + _REMEDY_YAML, encoding="utf-8")
    (target / "inventory.yaml").write_text(schema_comment("inventory", depth=0) + _INVENTORY, encoding="utf-8")
    write_schemas(target / SCHEMA_FOLDER)
    said = _README_CI[ci].replace("{branch}", branch)
    for name, text in (("README.md", _README.replace("{ci}", said)), (".gitignore", _IGNORED)):
        # A link that leads to nothing does not exist, and is kept all the same.
        if not os.path.lexists(target / name):
            (target / name).write_text(text, encoding="utf-8")
    shutil.copyfile(starter_ci() / "pre-commit.yaml", target / ".pre-commit-config.yaml")
    if _CI_FILES[ci]:
        pipeline = target / _CI_FILES[ci]
        pipeline.parent.mkdir(parents=True, exist_ok=True)
        pipeline.write_text(_ci_text(ci, branch), encoding="utf-8")
    return observed
