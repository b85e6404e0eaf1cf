"""
One line of a known_hosts file: how it is read, and which names it is for.

The same bytes are blanks, patterns and hashes as in OpenSSH; docs/host-keys.md
lists where we are stricter on purpose.

Source: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT; OpenSSH's hostkeys_foreach(), match_pattern_list() and host_hash().
"""

import binascii
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum

from remedy.text import untrusted
from remedy_runners.hostkeys.key import HostKey, read_key

__all__ = ["LINE_BYTES_MAX", "Line", "Marker", "hashed_name", "known_hosts_name", "read_line"]

LINE_BYTES_MAX = 1_048_576
_PATTERN_BYTES_MAX = 1_022
_SALT_BYTES = 20
_BLANKS = re.compile(rb"[ \t]+")
_WILD = re.compile(rb"[*?!]")


class Marker(StrEnum):
    """What a line says of its key: a host has it, an authority signs with it, or nobody may use it any more."""

    NONE = ""
    AUTHORITY = "@cert-authority"
    REVOKED = "@revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """
    One line, read: where it stands, what it says, and the names it is for.

    `salt` and `digest` are of a hashed name, with `patterns` empty; otherwise both
    are empty. Patterns are in lower case.
    """

    place: str
    marker: Marker
    key: HostKey
    patterns: tuple[bytes, ...]
    salt: bytes = b""
    digest: bytes = b""

    @property
    def is_hashed(self) -> bool:
        """Whether the name is hidden."""
        return bool(self.digest)

    @property
    def is_plain(self) -> bool:
        """Whether there are only names, which stand for themselves."""
        return not self.is_hashed and not any(_WILD.search(pattern) for pattern in self.patterns)

    def matches(self, name: bytes) -> bool:
        """Say whether the line is for a name: one pattern is, and none with `!`."""
        if self.is_hashed:
            # HMAC-SHA1 is what the file format says; it only hides names.
            return hmac.digest(self.salt, name, "sha1") == self.digest
        found = False
        for pattern in self.patterns:
            if pattern.startswith(b"!"):
                if _is_like(name, pattern[1:]):
                    return False
            else:
                found = found or _is_like(name, pattern)
        return found


def known_hosts_name(host: str, port: int) -> str:
    """Return the name under which a host stands in known_hosts: lower case, `[host]:port` off port 22."""
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


def hashed_name(name: str, salt: bytes) -> str:
    """Return a name as it stands in a file that hides names; the salt has 20 bytes."""
    digest = hmac.digest(salt, name.encode("utf-8"), "sha1")
    return "|1|" + "|".join(binascii.b2a_base64(part, newline=False).decode("ascii") for part in (salt, digest))


def read_line(raw: bytes, place: str) -> Line | None:
    """
    Return a line, read; None for an empty one and a comment.

    Raises:
        ValueError: it is none; the message says why.
    """
    rest = raw.lstrip(b" \t")
    if not rest.strip(b"\r") or rest.startswith(b"#"):
        return None
    if len(raw) > LINE_BYTES_MAX:
        raise ValueError(f"more than {LINE_BYTES_MAX} bytes")
    if b"\0" in raw:
        raise ValueError("a zero byte")
    marker, rest = _marker(rest)
    names, rest = _word(rest)
    kind, rest = _word(rest)
    text, _comment = _word(rest)
    if not names or not kind or not text or kind.startswith(b"#"):
        raise ValueError("names, key type and key are needed")
    key = read_key(kind, text)
    if names.startswith(b"|"):
        salt, digest = _hash_parts(names)
        return Line(place=place, marker=marker, key=key, patterns=(), salt=salt, digest=digest)
    return Line(place=place, marker=marker, key=key, patterns=_patterns(names))


def _marker(rest: bytes) -> tuple[Marker, bytes]:
    if not rest.startswith(b"@"):
        return Marker.NONE, rest
    word, after = _word(rest)
    if word not in (Marker.AUTHORITY.encode(), Marker.REVOKED.encode()):
        raise ValueError(f"{untrusted(word, characters_max=64)} is no marker")
    marker = Marker(word.decode("ascii"))
    # ssh looks for a blank only, and takes such a line for broken; what is revoked stays revoked all the same.
    if marker is Marker.AUTHORITY and rest[len(word) : len(word) + 1] != b" ":
        raise ValueError(f"a blank must follow {marker}")
    if after.startswith(b"@"):
        raise ValueError("two markers")
    return marker, after


def _word(rest: bytes) -> tuple[bytes, bytes]:
    """Return the first word, and what follows the blanks behind it."""
    words = _BLANKS.split(rest, maxsplit=1)
    return words[0], words[1] if len(words) > 1 else b""


def _patterns(names: bytes) -> tuple[bytes, ...]:
    patterns = tuple(pattern for pattern in names.lower().split(b",") if pattern not in (b"", b"!"))
    if any(len(pattern.removeprefix(b"!")) > _PATTERN_BYTES_MAX for pattern in patterns):
        raise ValueError(f"a name of more than {_PATTERN_BYTES_MAX} bytes")
    return patterns


def _hash_parts(names: bytes) -> tuple[bytes, bytes]:
    parts = names.split(b"|")
    if len(parts) != 4 or parts[1] != b"1":
        raise ValueError("a hashed name of an unknown kind")
    try:
        salt, digest = (binascii.a2b_base64(part, strict_mode=True) for part in parts[2:])
    except binascii.Error as exc:
        raise ValueError("a hashed name that is not base64") from exc
    again = b"|1|" + b"|".join(binascii.b2a_base64(part, newline=False) for part in (salt, digest))
    if len(salt) != _SALT_BYTES or len(digest) != _SALT_BYTES or again != names:
        raise ValueError("a hashed name that is not as ssh-keygen writes it")
    return salt, digest


def _is_like(name: bytes, pattern: bytes) -> bool:
    """
    Match with `*` and `?` only; brackets stand for themselves, as in `[host]:port`.

    Takes at most length times length steps, whatever the pattern.
    """
    at = star = 0
    behind = -1
    position = 0
    while position < len(name):
        if at < len(pattern) and pattern[at] == ord("*"):
            behind, star = at, position
            at += 1
        elif at < len(pattern) and pattern[at] in (ord("?"), name[position]):
            at += 1
            position += 1
        elif behind >= 0:
            star += 1
            at, position = behind + 1, star
        else:
            return False
    return not pattern[at:].strip(b"*")
