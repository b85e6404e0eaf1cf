"""
Who may try which password where: a wrong one must not lock an account.

Windows counts wrong passwords per account, and a domain's account is the same on
every host. So a host that said no is not asked twice, and until some host has
accepted a login, only one host at a time is tried with it.
"""

import hashlib
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from remedy.errors import Refused, Unreachable
from remedy_runners.secrets import Secret

__all__ = ["REFUSALS_MAX", "REFUSALS_OF_KNOWN_MAX", "Logins"]

REFUSALS_MAX = 2
"""A login that so many hosts refused, and none accepted, is tried nowhere else in this run."""

REFUSALS_OF_KNOWN_MAX = 5
"""So many hosts in a row, once others have accepted it: local accounts of one name may differ on a few hosts."""

_WAIT_S = 60.0
_Key = tuple[str, ...]


class Logins:
    """What came of the passwords that were tried in one run; shared by all its threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._salt = secrets.token_bytes(16)
        self._busy: set[_Key] = set()
        self._accepted: set[_Key] = set()
        self._known: set[_Key] = set()
        self._refused: set[_Key] = set()
        self._in_a_row: Counter[_Key] = Counter()

    def check(self, endpoint: str, user: str, password: Secret, *, is_local: bool) -> None:
        """
        Look whether a login may still be tried at an endpoint.

        Raises:
            Refused: it may not; nothing was sent.
        """
        with self._changed:
            self._check(*self._keys(endpoint, user, password, is_local=is_local))

    @contextmanager
    def attempt(
        self, endpoint: str, user: str, password: Secret, *, is_local: bool
    ) -> Iterator[Callable[[bool], None]]:
        """
        Hold a login while it is tried; what came of it is told to what this yields.

        `is_local`: each host has its own account, so that hosts need not wait for
        each other. Nothing told means that nobody knows: the next one may try.

        Raises:
            Refused: meanwhile it was refused often enough.
            Unreachable: another host that is tried with it does not answer.
        """
        here, account = self._keys(endpoint, user, password, is_local=is_local)
        held = self._take(here, account)
        told: list[bool] = []
        try:
            yield told.append
        finally:
            with self._changed:
                self._busy -= held
                if told:
                    self._note(here, account, is_accepted=told[-1])
                self._changed.notify_all()

    def _keys(self, endpoint: str, user: str, password: Secret, *, is_local: bool) -> tuple[_Key, _Key]:
        name = user.casefold()
        if is_local:
            return (endpoint, name), (endpoint, name)
        # Accounts of one name with passwords of their own are not the same account.
        digest = hashlib.blake2b(password.reveal().encode("utf-8"), key=self._salt, digest_size=16)
        return (endpoint, name), ("", name, digest.hexdigest())

    def _take(self, here: _Key, account: _Key) -> set[_Key]:
        deadline = time.monotonic() + _WAIT_S
        with self._changed:
            while True:
                self._check(here, account)
                wanted = {here, account} - self._accepted
                if not wanted & self._busy:
                    self._busy |= wanted
                    return wanted
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise Unreachable(f"{here[0]}: {here[1]} is being tried at another host, which does not answer")

    def _check(self, here: _Key, account: _Key) -> None:
        if here in self._refused:
            raise Refused(f"{here[0]}: the host did not accept {here[1]} before; a password is not tried twice")
        refusals_max = REFUSALS_OF_KNOWN_MAX if account in self._known else REFUSALS_MAX
        if self._in_a_row[account] >= refusals_max:
            raise Refused(
                f"{here[0]}: {self._in_a_row[account]} hosts did not accept {here[1]}, so its password is tried "
                "nowhere else in this run: the account might be locked. Correct the password"
            )

    def _note(self, here: _Key, account: _Key, *, is_accepted: bool) -> None:
        if is_accepted:
            self._accepted |= {here, account}
            self._known.add(account)
            self._in_a_row[account] = 0
        else:
            self._refused.add(here)
            self._accepted -= {here, account}
            self._in_a_row[account] += 1
