"""The git revision of a folder, for headers and evidence."""

import subprocess
from pathlib import Path

__all__ = ["git_revision"]

_TIMEOUT_S = 5


def git_revision(folder: Path) -> str:
    """
    Return the short revision of the checkout a folder lies in, with '+' when its files differ.

    '' when it lies in none or git cannot say. Hooks and monitors of the checkout
    are not run.
    """
    revision = _git(folder, "rev-parse", "--short=10", "HEAD")
    if not revision:
        return ""
    changed = _git(folder, "status", "--porcelain", "--untracked-files=normal", "--", ".")
    return f"{revision}+" if changed else revision


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
