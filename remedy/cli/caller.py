"""The caller: who runs remedy, from where, with which environment; read once."""

import getpass
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from remedy.errors import UsageError

__all__ = ["Caller", "caller_now", "new_run_id", "utc_now"]


_CLAIMS = (
    "SUDO_USER",
    "SUDO_UID",
    "GITHUB_ACTOR",
    "GITHUB_RUN_ID",
    "GITLAB_USER_LOGIN",
    "CI_JOB_ID",
    "BUILD_URL",
)
"""What anybody could have set, and is worth knowing all the same."""

_UNSET_UID = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """
    Who calls, and from where.

    `actor` says for people who it is, `identity` for the audit log: the user by
    name and number, the login the kernel remembers (None: none), and apart from
    them what is only claimed (SUDO_USER, variables of a CI). `is_person` says that
    standard input is a terminal, `is_terminal` that a question can be shown as well.
    """

    environment: Mapping[str, str]
    directory: Path
    home: Path
    user: str
    actor: str
    identity: Mapping[str, Any]
    command: str
    is_terminal: bool
    is_person: bool


def caller_now() -> Caller:
    """Return the caller of this process."""
    environment = dict(os.environ)
    user = _user()
    claims = {name: environment[name] for name in _CLAIMS if name in environment}
    said = ", ".join(f"{name}={value}" for name, value in claims.items())
    return Caller(
        environment=environment,
        directory=_directory(),
        home=Path.home(),
        user=user,
        actor=f"{user} (uid {os.getuid()})" + (f" claims {said}" if said else ""),
        identity={"user": user, "uid": os.getuid(), "loginuid": _login_uid(), "claims": claims},
        command=" ".join(["remedy", *sys.argv[1:]]),
        is_terminal=sys.stdin.isatty() and sys.stderr.isatty(),
        is_person=sys.stdin.isatty(),
    )


def _login_uid(source: Path = Path("/proc/self/loginuid")) -> int | None:
    """
    Return the user who logged in, as the kernel's audit remembers it through sudo; None when it does not.

    Source: audit_getloginuid(3); 4294967295 is "unset".
    """
    try:
        uid = int(source.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return None if uid == _UNSET_UID else uid


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
