"""
Host keys: known_hosts files read once per run, looked up as OpenSSH does, strictly.

paramiko's own reader drops the whole file at the first line it does not like
and is quadratic in its length, hence this one.

Source: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.
"""

import base64
import binascii
import hashlib
import hmac
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from remedy.errors import Refused
from remedy.text import untrusted

__all__ = ["HostKey", "KnownHosts", "fingerprint", "known_hosts_name"]

_KEY_TYPE = re.compile(r"[A-Za-z0-9@.-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """A public key of a host: its type and its bytes as they stand in the file."""

    kind: str
    blob: bytes

    def __str__(self) -> str:
        return f"{self.kind} {fingerprint(self.blob)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One line of a file, read."""

    place: str
    marker: str
    patterns: tuple[str, ...]
    key: HostKey


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One file: lines with nothing but plain names by each of them, all others in order."""

    plain: dict[str, list[_Line]] = field(default_factory=dict)
    others: list[_Line] = field(default_factory=list)


def fingerprint(blob: bytes) -> str:
    """Return the SHA-256 fingerprint of a public key, as ssh-keygen prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=")


def known_hosts_name(host: str, port: int) -> str:
    """Return the name under which a host stands in known_hosts: lower case, `[host]:port` off port 22."""
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


class KnownHosts:
    """
    The known_hosts files of a run; each is read once, by whichever thread needs it first.

    Lines that cannot be read are skipped, each with one text in `warnings`. A
    file that does not exist is empty.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[Path, _File] = {}
        self._warnings: list[str] = []

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was odd in the files read so far, each once."""
        with self._lock:
            return tuple(self._warnings)

    def known(self, name: str, files: Sequence[Path]) -> tuple[HostKey, ...]:
        """
        Return the keys that the files have for a name, in their order.

        Raises:
            Refused: none is known, or a marker (@cert-authority, @revoked) touches the host;
                the message has the cure.
        """
        lines = [line for path in files for line in self._matching(self._file(path), name)]
        marked = next((line for line in lines if line.marker), None)
        if marked is not None:
            raise Refused(
                f"{marked.place} has a line with {marked.marker} for {name}, which remedy does not support; "
                "give the host a known_hosts file of its own (remedy_known_hosts) with its plain key"
            )
        return tuple(dict.fromkeys(line.key for line in lines))

    def holding(self, name: str, files: Sequence[Path]) -> tuple[Path, ...]:
        """Return those of the files that have a line for a name, in their order."""
        return tuple(dict.fromkeys(path for path in files if any(self._matching(self._file(path), name))))

    def _file(self, path: Path) -> _File:
        with self._lock:
            if path not in self._files:
                self._files[path] = self._read(path)
            return self._files[path]

    def _read(self, path: Path) -> _File:
        file = _File()
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return file
        except OSError as exc:
            self._warnings.append(f"{path}: cannot be read ({exc.strerror}); no key of it is known")
            return file
        for number, line in enumerate(raw.split(b"\n"), start=1):
            stripped = line.strip()
            if not stripped or stripped.startswith(b"#"):
                continue
            place = f"{path}:{number}"
            try:
                parsed = _parse(stripped, place)
            except ValueError as exc:
                self._warnings.append(f"{place}: skipped: {exc}")
                continue
            if all(_is_plain(pattern) for pattern in parsed.patterns):
                for pattern in parsed.patterns:
                    file.plain.setdefault(pattern.lower(), []).append(parsed)
            else:
                file.others.append(parsed)
        return file

    @staticmethod
    def _matching(file: _File, name: str) -> Iterable[_Line]:
        yield from file.plain.get(name, ())
        yield from (line for line in file.others if _matches(line.patterns, name))


def _is_plain(pattern: str) -> bool:
    return not any(sign in pattern for sign in "*?!") and not pattern.startswith("|")


def _parse(line: bytes, place: str) -> _Line:
    """
    Return one line, read.

    Raises:
        ValueError: it is none; the message says why.
    """
    # A comment may be in any encoding; names and keys are ASCII.
    words = line.decode("latin-1").split(None, 4)
    marker = words.pop(0) if words[0].startswith("@") else ""
    if marker not in ("", "@cert-authority", "@revoked"):
        raise ValueError(f"{untrusted(marker)} is no marker")
    if len(words) < 3:
        raise ValueError("names, key type and key are needed")
    names, kind, key = words[:3]
    if not names.isascii() or _KEY_TYPE.fullmatch(kind) is None:
        raise ValueError("the names or the key type are none")
    try:
        blob = base64.b64decode(key.encode("latin-1"), validate=True)
    except binascii.Error as exc:
        raise ValueError("the key is not base64") from exc
    _check_blob(kind, blob)
    patterns = tuple(pattern for pattern in names.split(",") if pattern)
    for pattern in patterns:
        if pattern.startswith("|"):
            _hash_parts(pattern)
    return _Line(place=place, marker=marker, patterns=patterns, key=HostKey(kind=kind, blob=blob))


def _check_blob(kind: str, blob: bytes) -> None:
    """A key's bytes are fields with their lengths before them; the first one is its type."""
    fields: list[bytes] = []
    at = 0
    while at < len(blob):
        size = int.from_bytes(blob[at : at + 4], "big")
        if at + 4 + size > len(blob):
            raise ValueError("the key is cut off")
        fields.append(blob[at + 4 : at + 4 + size])
        at += 4 + size
    if len(fields) < 2 or fields[0] != kind.encode("ascii"):
        raise ValueError("the key is not of the type the line says")


def _hash_parts(pattern: str) -> tuple[bytes, bytes]:
    parts = pattern.split("|")
    if len(parts) != 4 or parts[1] != "1":
        raise ValueError("a hashed name of an unknown kind")
    try:
        salt, digest = (base64.b64decode(part.encode("ascii"), validate=True) for part in parts[2:])
    except binascii.Error as exc:
        raise ValueError("a hashed name that is not base64") from exc
    return salt, digest


def _matches(patterns: Sequence[str], name: str) -> bool:
    """Say whether the patterns match: one does, and none with `!` does."""
    found = False
    for pattern in patterns:
        if pattern.startswith("|"):
            salt, digest = _hash_parts(pattern)
            # HMAC-SHA1 is what the file format says; it only hides names.
            found = found or hmac.compare_digest(hmac.new(salt, name.encode("utf-8"), "sha1").digest(), digest)
        elif pattern.startswith("!"):
            if _wild(pattern[1:].lower(), name):
                return False
        else:
            found = found or _wild(pattern.lower(), name)
    return found


def _wild(pattern: str, name: str) -> bool:
    """Match with `*` and `?` only; brackets stand for themselves, as in `[host]:port`."""
    expression = "".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in pattern)
    return re.fullmatch(expression, name, re.DOTALL) is not None
