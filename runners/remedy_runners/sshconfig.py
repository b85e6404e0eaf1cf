"""
The user's ssh_config, as far as remedy follows it; what it cannot follow it names and refuses.

Blocks and patterns are read by paramiko. It knows no `Include`, which every
Debian's /etc/ssh/ssh_config has, so files are joined here first.
"""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko

from remedy.errors import Refused
from remedy.text import untrusted

__all__ = ["HostSettings", "SSHConfigFiles"]

_INCLUDE_DEPTH_MAX = 16
_LINE = re.compile(r"(\w+)(?:\s*=\s*|\s+)(.+)")
_PATHS = ("identityfile", "userknownhostsfile", "globalknownhostsfile", "identityagent", "revokedhostkeys")
_SEVERAL_PATHS = ("userknownhostsfile", "globalknownhostsfile")
_WORD = re.compile(r'"([^"]*)"|(\S+)')
# Stands for a blank inside quotes until the words of a line are apart; paramiko knows no quotes around some words only.
_BLANK = "\x1f"

_CANONICALIZE = "remedy_canonicalizehostname"
_MATCH_ALONE = ("all", "canonical", "final")
_MATCH_WITH = ("host", "originalhost", "user", "localuser")

# These would change where or how to connect, or whom to trust. With one of the
# values behind them they ask for nothing.
_UNSUPPORTED: Mapping[str, tuple[str, ...]] = {
    "proxyjump": ("none",),
    "proxycommand": ("none",),
    "proxyusefdpass": ("no",),
    "certificatefile": ("none",),
    "bindaddress": (),
    "bindinterface": (),
    _CANONICALIZE: ("no",),
    "knownhostscommand": ("none",),
    "pkcs11provider": ("none",),
    "revokedhostkeys": ("none",),
}
_NAMES = {
    "proxyjump": "ProxyJump",
    "proxycommand": "ProxyCommand",
    "proxyusefdpass": "ProxyUseFdpass",
    "certificatefile": "CertificateFile",
    "bindaddress": "BindAddress",
    "bindinterface": "BindInterface",
    _CANONICALIZE: "CanonicalizeHostname",
    "knownhostscommand": "KnownHostsCommand",
    "pkcs11provider": "PKCS11Provider",
    "revokedhostkeys": "RevokedHostKeys",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """What ssh_config says about one host; None and empty where it says nothing."""

    hostname: str
    port: int | None
    user: str | None
    identity_files: tuple[Path, ...]
    identities_only: bool
    agent: str | None
    user_known_hosts: tuple[Path, ...] | None
    global_known_hosts: tuple[Path, ...] | None
    connect_timeout_s: int | None
    address_family: str
    host_key_alias: str | None


class SSHConfigFiles:
    """ssh_config files, the first one winning; read once per run, by whichever thread needs them first."""

    def __init__(self, files: Sequence[Path], *, home: Path) -> None:
        self._files = tuple(files)
        self._home = home
        self._lock = threading.Lock()
        self._read: paramiko.SSHConfig | None = None

    def settings(self, host: str) -> HostSettings:
        """
        Return what the files say about a host as the user names it.

        Raises:
            Refused: a file cannot be read, or the host needs a directive that is not supported.
        """
        with self._lock:
            if self._read is None:
                self._read = self._load()
            # paramiko changes nothing in a look-up, but nothing says that it never will.
            try:
                found: dict[str, Any] = dict(self._read.lookup(host))
            except (paramiko.SSHException, KeyError, ValueError) as exc:
                raise Refused(f"ssh_config: {exc}") from exc
        _refuse_unsupported(host, found)
        return self._settings(host, found)

    def _load(self) -> paramiko.SSHConfig:
        lines: list[str] = []
        for path in self._files:
            lines += self._lines(path, depth=0, block="")
            lines.append("Host *")
        try:
            return paramiko.SSHConfig.from_text("\n".join(lines))
        except (paramiko.SSHException, ValueError, IndexError) as exc:
            raise Refused(f"ssh_config: {exc}; mend it, or name other files with --ssh-config") from exc

    def _lines(self, path: Path, *, depth: int, block: str) -> list[str]:
        """Return the lines of a file with those it includes in place, the block around them kept."""
        if depth > _INCLUDE_DEPTH_MAX:
            raise Refused(f"{path}: more than {_INCLUDE_DEPTH_MAX} levels of Include")
        try:
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise Refused(f"{path}: cannot be read: {exc.strerror}") from exc
        lines: list[str] = []
        around, here = block, block
        for number, raw in enumerate(text.splitlines(), 1):
            line = raw.strip()
            place = f"{path}:{number}"
            found = _LINE.match(line)
            key = found[1].lower() if found else ""
            if not line or line.startswith("#"):
                lines.append(line)
            elif found is None:
                raise Refused(
                    f"{place}: ssh_config: '{untrusted(line, characters_max=80)}' is no option with a value; "
                    "mend the line, or name another file with --ssh-config"
                )
            elif key in ("host", "match"):
                if around:
                    raise Refused(f"{place}: a Host or Match inside an Include inside one is not supported")
                if key == "match":
                    _check_match(found[2], place)
                here = line
                lines.append(line)
            elif key == "include":
                for included in self._included(found[2], path):
                    lines += self._lines(included, depth=depth + 1, block=here)
                    lines.append(here or "Host *")
            elif key == "canonicalizehostname":
                # Not for paramiko's eyes: it would ask the name servers.
                lines.append(f"{_CANONICALIZE} {found[2]}")
            else:
                value = _quoted_words(found[2]) if key in _SEVERAL_PATHS else found[2]
                lines.append(f"{found[1]} {self._homed(value)}" if key in _PATHS else line)
        return lines

    def _included(self, value: str, path: Path) -> Iterator[Path]:
        for word in value.replace('"', " ").split():
            pattern = Path(self._homed(word))
            if not pattern.is_absolute():
                pattern = (self._home / ".ssh" if path.is_relative_to(self._home) else path.parent) / pattern
            yield from sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))

    def _homed(self, value: str) -> str:
        homed = re.sub(r'(^|[\s"])~(?=/)', lambda found: found[1] + str(self._home), value)
        return homed.replace("%d", str(self._home))

    def _settings(self, host: str, found: Mapping[str, Any]) -> HostSettings:
        def words(key: str) -> tuple[Path, ...] | None:
            value = found.get(key)
            if value is None:
                return None
            named = (word.replace(_BLANK, " ") for word in str(value).split(" ") if word)
            return tuple(self._path(host, word) for word in named if word.lower() != "none")

        return HostSettings(
            hostname=str(found["hostname"]),
            port=_number(host, found, "port", most=65_535),
            user=found.get("user"),
            identity_files=tuple(
                self._path(host, str(value)) for value in found.get("identityfile", ()) if str(value).lower() != "none"
            ),
            identities_only=str(found.get("identitiesonly", "no")).lower() == "yes",
            agent=found.get("identityagent"),
            user_known_hosts=words("userknownhostsfile"),
            global_known_hosts=words("globalknownhostsfile"),
            connect_timeout_s=_number(host, found, "connecttimeout", most=3_600),
            address_family=str(found.get("addressfamily", "any")).lower(),
            host_key_alias=found.get("hostkeyalias"),
        )

    def _path(self, host: str, value: str) -> Path:
        text = value.strip('"').replace("%h", host)
        if "%" in text:
            raise Refused(f"ssh_config: the % token in {value} is not supported; write the path out")
        return Path(text)


def _quoted_words(value: str) -> str:
    """Return the words of a value with one blank between them, and no blank and no quotes in any of them."""
    words = (quoted or bare for quoted, bare in _WORD.findall(value))
    return " ".join(re.sub(r"\s", _BLANK, word) for word in words)


def _check_match(criteria: str, place: str) -> None:
    """Refuse what paramiko would run (exec), or take for a match because it does not know it."""
    words = iter(criteria.replace("=", " ").split())
    for word in words:
        kind = word.lower().lstrip("!")
        if kind in _MATCH_WITH:
            next(words, "")
        elif kind not in _MATCH_ALONE:
            raise Refused(f"{place}: Match {word} is not supported; name other ssh_config files with --ssh-config")


def _refuse_unsupported(host: str, found: Mapping[str, Any]) -> None:
    for key, harmless in _UNSUPPORTED.items():
        value = found.get(key)
        if value is not None and str(value).lower() not in harmless:
            raise Refused(
                f"ssh_config asks for {_NAMES[key]} {value}, which remedy does not support yet; "
                "it is not connected past it. Name other files with --ssh-config, or give the host another way in"
            )


def _number(host: str, found: Mapping[str, Any], key: str, *, most: int) -> int | None:
    value = found.get(key)
    if value is None or str(value).lower() == "none":
        return None
    if not str(value).isdecimal() or not 1 <= int(value) <= most:
        raise Refused(f"ssh_config: {key} {value} is no number from 1 to {most}")
    return int(value)
