"""The caller: who runs remedy, from where, with which environment; read once."""

import getpass
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from remedy.errors import UsageError

__all__ = ["Caller", "caller_now", "new_run_id", "utc_now"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """
    Who calls, and from where.

    `actor` is the user by name and number, and apart from it what is only claimed
    (SUDO_USER, a CI variable).
    """

    environment: Mapping[str, str]
    directory: Path
    home: Path
    user: str
    actor: str
    command: str
    is_terminal: bool


def caller_now() -> Caller:
    """Return the caller of this process."""
    environment = dict(os.environ)
    user = _user()
    claims = [
        f"{name}={environment[name]}"
        for name in ("SUDO_USER", "GITHUB_ACTOR", "GITLAB_USER_LOGIN")
        if name in environment
    ]
    return Caller(
        environment=environment,
        directory=_directory(),
        home=Path.home(),
        user=user,
        actor=f"{user} (uid {os.getuid()})" + (f" claims {', '.join(claims)}" if claims else ""),
        command=" ".join(["remedy", *sys.argv[1:]]),
        is_terminal=sys.stdin.isatty() and sys.stderr.isatty(),
    )


def _directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UsageError("the current folder no longer exists; go to another one") from None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def utc_now() -> datetime:
    """Return the time of the controller's clock in UTC."""
    return datetime.now(UTC)


def new_run_id(now: datetime) -> str:
    """Return a run id such as 20261122T084500Z-1a2b: it sorts by time and is easy to say."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
