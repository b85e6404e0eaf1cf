"""Git, as far as remedy asks it: the revision of a folder for headers, and what differs from another revision."""

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from remedy.errors import UsageError
from remedy.text import one_line, untrusted

__all__ = ["Changes", "branch_name", "changed_since", "git_revision", "remote_url"]

_TIMEOUT_S = 5
_DIFF_TIMEOUT_S = 60
_QUIET = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "protocol.allow=never")
"""No hook or monitor of the checkout is run, and a partial clone fetches nothing."""

_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""Git sets them for its hooks; they would lead from every folder to the hook's repository."""

_OF_ORIGIN = re.compile(r"origin/([A-Za-z0-9][A-Za-z0-9._/-]{0,90})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """
    What differs between a revision and the files of a checkout as they are.

    `revision` is what was asked for, `base` the commit compared with: where this
    branch left it. `paths` are absolute, with links followed; untracked files
    count, those that git ignores do not.
    """

    revision: str
    base: str
    paths: frozenset[Path]

    def has(self, path: Path) -> bool:
        """Say whether a file, or anything below a folder, is among them."""
        resolved = path.resolve()
        return resolved in self.paths or any(each.is_relative_to(resolved) for each in self.paths)


def git_revision(folder: Path, used: Iterable[Path]) -> str:
    """
    Return the short revision of the checkout a folder lies in, with '+' when a file that is used differs.

    `used` are files and folders, which need not be there; a link counts with what
    it leads to, and what lies outside the checkout does not. '' when the folder
    lies in none or git cannot say. Hooks and monitors of the checkout are not run.
    """
    revision = _said(folder, "rev-parse", "--short=10", "HEAD")
    if not revision:
        return ""
    top = Path(_said(folder, "rev-parse", "--show-toplevel")).resolve()
    paths = {found for each in used for found in (each.parent.resolve() / each.name, each.resolve())}
    within = sorted(f":(top,literal){each.relative_to(top)}" for each in paths if each.is_relative_to(top))
    changed = _said(folder, "status", "--porcelain", "--untracked-files=normal", "--", *within) if within else ""
    return f"{revision}+" if changed else revision


def branch_name(folder: Path) -> str:
    """Return the branch that a checkout is on, also before its first commit; '' when it is on none."""
    return _said(folder, "symbolic-ref", "--quiet", "--short", "HEAD")


def remote_url(folder: Path) -> str:
    """Return where the remote `origin` of a checkout is, '' when there is none."""
    return _said(folder, "remote", "get-url", "origin")


def changed_since(revision: str, folder: Path) -> Changes:
    """
    Return what differs in the checkout that a folder lies in since its branch left a revision.

    Raises:
        UsageError: no git, no checkout, or no such revision; with the cure.
    """
    top = Path(os.fsdecode(_asked(folder, revision, "rev-parse", "--show-toplevel").removesuffix(b"\n")))
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None or commit.returncode != 0:
        raise UsageError(_unknown(revision, folder))
    base = _base(revision, folder, commit.stdout.decode().strip())
    differing = _asked(top, revision, "diff", "--name-only", "--no-renames", "--no-ext-diff", "-z", base, "--")
    untracked = _asked(top, revision, "ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", ".")
    names = {os.fsdecode(name) for name in (*differing.split(b"\0"), *untracked.split(b"\0")) if name}
    root = top.resolve()
    return Changes(revision=revision, base=base, paths=frozenset(root / name for name in names))


def _base(revision: str, folder: Path, commit: str) -> str:
    """Return the commit at which HEAD left another; that commit itself, when they have nothing in common."""
    merged = _git(folder, "merge-base", commit, "HEAD")
    if merged is not None and merged.returncode == 0:
        return merged.stdout.decode().strip()
    if _is_shallow(folder):
        raise UsageError(f"--since {revision}: the commits up to it are missing in this shallow clone; {_DEEPER}")
    return commit


_DEEPER = "clone all of it (`fetch-depth: 0` of actions/checkout, `GIT_DEPTH: 0` in GitLab, `git fetch --unshallow`)"


def _unknown(revision: str, folder: Path) -> str:
    shown = untrusted(revision, characters_max=100)
    if _is_shallow(folder):
        return f"--since {shown}: there is no such revision in this shallow clone; {_DEEPER}"
    branch = _OF_ORIGIN.fullmatch(revision)
    cure = (
        f"run `git fetch origin {branch[1]}` first" if branch else "name a commit, tag or branch, such as origin/main"
    )
    return f"--since {shown}: git knows no such revision here; {cure}"


def _is_shallow(folder: Path) -> bool:
    return _said(folder, "rev-parse", "--is-shallow-repository") == "true"


def _asked(folder: Path, revision: str, *arguments: str) -> bytes:
    """Return what git says, where it must have an answer."""
    what = f"--since {untrusted(revision, characters_max=100)}"
    done = _git(folder, *arguments, timeout_s=_DIFF_TIMEOUT_S)
    if done is None:
        raise UsageError(f"{what}: git cannot be run or did not end; install git, or leave --since out")
    if done.returncode != 0:
        said = one_line(done.stderr) or "git cannot say"
        raise UsageError(f"{what}: {folder}: {said}; the rules must lie in a checkout of git")
    return done.stdout


def _said(folder: Path, *arguments: str) -> str:
    done = _git(folder, *arguments)
    return done.stdout.decode(errors="replace").strip() if done is not None and done.returncode == 0 else ""


def _git(folder: Path, *arguments: str, timeout_s: float = _TIMEOUT_S) -> subprocess.CompletedProcess[bytes] | None:
    settings = [word for setting in _QUIET for word in ("-c", setting)]
    command = ["git", *settings, "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, timeout=timeout_s, check=False, env=_environment())
    except (OSError, subprocess.TimeoutExpired):
        return None


def _environment() -> Mapping[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if name not in _OF_A_HOOK},
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
    }
