"""
What keys a host offers, asked of the host itself: key exchanges that always end before anybody logs in.

Nothing here trusts: the judge takes down what is shown and refuses it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from socket import socket
from typing import NoReturn

from remedy.errors import Refused
from remedy_runners.connection import Connection
from remedy_runners.hostkeys.certificate import CERTIFICATE_SUFFIX
from remedy_runners.hostkeys.key import KEY_ALGORITHMS, HostKey
from remedy_runners.hostkeys.trust import HostTrust, Shown

__all__ = ["Looked", "Offered", "look", "offered_keys"]

_ASKED = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("ssh-rsa",),
)
"""Kinds of key of which a host has at most one as a rule; each group costs a connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """
    What a host has shown: its keys, whether a certificate as well, and why that is refused, if it is.

    None is asked for unless an authority is known for the host.
    """

    keys: tuple[HostKey, ...]
    has_certificate: bool = False
    refusal: Refused | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A look at a host: where, what it shows, what its known_hosts files say of it, and which these are."""

    where: str
    offered: Offered
    trust: HostTrust
    files: tuple[Path, ...]


class _Seen(Exception):
    """Ends a key exchange once the key has been seen."""


class _Witness:
    """Takes down what a host shows, and never trusts it."""

    def __init__(self, algorithms: Sequence[str]) -> None:
        self.algorithms = tuple(algorithms)
        self.shown: Shown | None = None

    def check(self, shown: Shown, *, where: str, key_files: str, forget: str, now_s: int) -> NoReturn:
        """Take it down, and go no further."""
        self.shown = shown
        raise _Seen


def look(connect: Callable[[], socket], trust: HostTrust, *, files: Sequence[Path], where: str, now_s: int) -> Looked:
    """
    Look at a host of which the files say what is in `trust`; nobody logs in.

    Raises:
        Unreachable: it could not be asked for all kinds of key.
        Refused: it offers none that is supported.
    """
    offered = offered_keys(connect, trust, where=where, now_s=now_s)
    return Looked(where=where, offered=offered, trust=trust, files=tuple(files))


def offered_keys(connect: Callable[[], socket], trust: HostTrust, *, where: str, now_s: int) -> Offered:
    """
    Return the keys that a host offers, of each kind at most one; nobody logs in.

    Takes a connection for each kind, as ssh-keyscan does.

    Raises:
        Unreachable: it could not be asked for all kinds.
        Refused: it offers none that is supported.
    """
    keys: list[HostKey] = []
    problems: list[Refused] = []
    for kinds in _ASKED:
        try:
            shown = _shown(connect, [name for kind in kinds for name in KEY_ALGORITHMS[kind]], where=where)
        except Refused as exc:
            # It has no key of this kind; why else it refuses, it says for every kind.
            problems.append(exc)
        else:
            keys.append(shown.key)
    if not keys:
        raise problems[0]
    offered = Offered(keys=tuple(keys))
    return _with_certificate(offered, connect, trust, where=where, now_s=now_s) if trust.authorities else offered


def _with_certificate(
    offered: Offered, connect: Callable[[], socket], trust: HostTrust, *, where: str, now_s: int
) -> Offered:
    algorithms = [name for name in trust.algorithms if name.endswith(CERTIFICATE_SUFFIX)]
    try:
        shown = _shown(connect, algorithms, where=where)
    except Refused:
        return offered
    try:
        replace(trust, keys=()).check(shown, where=where, key_files="", forget="", now_s=now_s)
    except Refused as exc:
        return replace(offered, has_certificate=True, refusal=exc)
    return replace(offered, has_certificate=True)


def _shown(connect: Callable[[], socket], algorithms: Sequence[str], *, where: str) -> Shown:
    witness = _Witness(algorithms)
    connection = Connection(connect(), where=where, trust=witness)
    try:
        connection.handshake(key_files="", forget="")
    except _Seen:
        pass
    finally:
        connection.close()
    if witness.shown is None:
        raise AssertionError("a key exchange ended well, and nobody looked at the key")
    return witness.shown
