"""
The accounts that pyspnego's NTLM acceptor knows: one file for the process, named by NTLM_USER_FILE.

The variable is the process's, so the servers of one process share the file; each adds its user when it starts, and the
last one that stops takes file and variable away.
"""

import os
import socket
import tempfile
import threading
from collections import Counter
from pathlib import Path

__all__ = ["Account", "add_account", "remove_account"]

Account = tuple[str, str]
"""User and password; the user without a domain."""

_VARIABLE = "NTLM_USER_FILE"
_lock = threading.Lock()
_held: Counter[Account] = Counter()
_before: list[str | None] = []
_file: list[Path] = []


def add_account(account: Account) -> None:
    """
    Let a user log in over NTLM, with no domain, this machine's name, or WORKSTATION before the name.

    Raises:
        ValueError: another server of this process gave the same user another password, or the name cannot stand in
            the file.
    """
    user, password = account
    if ":" in user + password or "\n" in user + password:
        raise ValueError("an NTLM account of the tests has no colon and no line break")
    with _lock:
        if any(name.upper() == user.upper() and word != password for name, word in _held):
            raise ValueError(f"user {user} has another password on another server of this process")
        if not _held:
            handle, path = tempfile.mkstemp(prefix="ntlm-accounts-")
            os.close(handle)
            _file.append(Path(path))
            _before.append(os.environ.get(_VARIABLE))
            os.environ[_VARIABLE] = path
        _held[account] += 1
        if _held[account] == 1:
            _write()


def remove_account(account: Account) -> None:
    """Take back what `add_account` did, once for each time it was called."""
    with _lock:
        _held[account] -= 1
        if not _held[account]:
            del _held[account]
            _write()
        if _held:
            return
        _file.pop().unlink()
        before = _before.pop()
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before


def _write() -> None:
    """Replace the file's content at once: a handshake may read it meanwhile."""
    domains = ("", "WORKSTATION", socket.gethostname())
    lines = [f"{domain}:{user}:{password}\n" for user, password in _held for domain in domains]
    new = _file[0].with_suffix(".new")
    new.write_text("".join(lines))
    new.replace(_file[0])
