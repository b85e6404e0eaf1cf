"""
The known_hosts files of a run: read once, looked up by name.

paramiko's own reader drops the whole file at the first line it does not like,
knows no markers, and is quadratic in the file's length, hence this one.
"""

import os
import stat
import threading
from collections.abc import Iterable, Sequence
from hmac import digest as hmac_digest
from operator import itemgetter
from pathlib import Path

from remedy.errors import Refused
from remedy.text import counted
from remedy_runners.hostkeys.key import check_point
from remedy_runners.hostkeys.line import Line, Marker, known_hosts_name, read_line
from remedy_runners.hostkeys.trust import HostTrust

__all__ = ["KnownHosts"]

_FILE_BYTES_MAX = 268_435_456
_WARNINGS_MAX = 100


_Numbered = tuple[int, Line]


class _File:
    """
    One file: lines with nothing but names by each of them, lines with a hashed name, and the others.

    `unreadable` says why it cannot be read, '' if it can.
    """

    def __init__(self, unreadable: str = "") -> None:
        self.unreadable = unreadable
        self._plain: dict[bytes, list[_Numbered]] = {}
        self._hashed: dict[int, Line] = {}
        self._others: list[_Numbered] = []
        self._found: dict[bytes, tuple[Line, ...]] = {}
        self._lock = threading.Lock()

    def add(self, number: int, line: Line) -> None:
        """Take a line in."""
        if line.is_hashed:
            self._hashed[number] = line
        elif line.is_plain:
            for name in dict.fromkeys(line.patterns):
                self._plain.setdefault(name, []).append((number, line))
        else:
            self._others.append((number, line))

    def matching(self, name: bytes) -> tuple[Line, ...]:
        """Return the lines for a name, in their order."""
        found = self._found.get(name)
        if found is not None:
            return found
        with self._lock:
            hashed = list(self._hashed.items())
        # This is what large files with hashed names spend their time with.
        hidden = [each for each in hashed if hmac_digest(each[1].salt, name, "sha1") == each[1].digest]
        others = [each for each in self._others if each[1].matches(name)]
        lines = tuple(line for _, line in sorted((*self._plain.get(name, ()), *hidden, *others), key=itemgetter(0)))
        with self._lock:
            # A hashed name is that of one host: nobody else needs to try the line.
            for number, _ in hidden:
                self._hashed.pop(number, None)
            return self._found.setdefault(name, lines)


class KnownHosts:
    """
    The known_hosts files of a run; each is read once, by whichever thread needs it first.

    Lines that cannot be read are skipped, each with one text in `warnings` (of
    many, the first hundred and their number). A file that does not exist is empty.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[Path, _File] = {}
        self._warnings: dict[str, None] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was odd in the files read so far, each once."""
        with self._lock:
            return tuple(self._warnings)

    def trust(self, host: str, port: int, files: Sequence[Path], *, alias: str | None = None) -> HostTrust:
        """
        Return what the files say about a host that is reached under a name and a port.

        Lines with a marker count also when they name the host without its port. With
        an `alias` (HostKeyAlias) that name stands for both.

        Raises:
            Refused: a file is there and cannot be read: it may hold what is revoked.
        """
        name = alias.lower() if alias else known_hosts_name(host, port)
        lines = self.lines(name, files)
        if not alias and port != 22:
            lines += tuple(line for line in self.lines(host.lower(), files) if line.marker is not Marker.NONE)
        lines = tuple(dict.fromkeys(lines))
        return HostTrust(
            name=name,
            principal=(alias or host).lower(),
            keys=tuple(line for line in lines if line.marker is Marker.NONE),
            authorities=tuple(line for line in lines if line.marker is Marker.AUTHORITY),
            revoked=tuple(line for line in lines if line.marker is Marker.REVOKED),
        )

    def lines(self, name: str, files: Sequence[Path]) -> tuple[Line, ...]:
        """
        Return the lines of the files for a name as it stands in known_hosts, in their order.

        Raises:
            Refused: a file is there and cannot be read.
        """
        raw = name.encode("utf-8")
        found: list[Line] = []
        for path in files:
            file = self._file(path)
            if file.unreadable:
                raise Refused(
                    f"{path}: {file.unreadable}; it may say which keys are revoked, so nobody whom it concerns is "
                    "contacted. Make it readable, or name another file (UserKnownHostsFile, remedy_known_hosts)"
                )
            found += (line for line in file.matching(raw) if self._has_point(line))
        return tuple(found)

    def holding(self, name: str, files: Sequence[Path]) -> tuple[Path, ...]:
        """Return those of the files that have a key for a name, in their order."""
        return tuple(
            path
            for path in dict.fromkeys(files)
            if any(line.marker is Marker.NONE for line in self.lines(name, [path]))
        )

    def _has_point(self, line: Line) -> bool:
        try:
            check_point(line.key)
        except ValueError as exc:
            with self._lock:
                self._warnings.setdefault(f"{line.place}: skipped: {exc}")
            return False
        return True

    def _file(self, path: Path) -> _File:
        with self._lock:
            if path not in self._files:
                self._files[path] = self._read(path)
            return self._files[path]

    def _read(self, path: Path) -> _File:
        try:
            raw = _content(path)
        except OSError as exc:
            return _File(unreadable=f"cannot be read: {exc.strerror or exc}")
        file = _File()
        skipped: list[str] = []
        for number, text in enumerate(raw.split(b"\n"), start=1):
            place = f"{path}:{number}"
            try:
                line = read_line(text, place)
            except ValueError as exc:
                skipped.append(f"{place}: skipped: {exc}")
                continue
            if line is not None:
                file.add(number, line)
        self._warnings.update(dict.fromkeys(_shortened(skipped, path)))
        return file


def _shortened(skipped: Sequence[str], path: Path) -> Iterable[str]:
    yield from skipped[:_WARNINGS_MAX]
    if len(skipped) > _WARNINGS_MAX:
        yield f"{path}: {counted(len(skipped) - _WARNINGS_MAX, 'line')} more skipped"


def _content(path: Path) -> bytes:
    """
    Return the bytes of a file; none when it does not exist, or is /dev/null.

    Raises:
        OSError: it is there, and is no regular file, too large, or not ours to read.
    """
    if str(path) == os.devnull:
        return b""
    try:
        # Asked before it is opened: a pipe would hang.
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError("it is no regular file")
        if found.st_size > _FILE_BYTES_MAX:
            raise OSError(f"it has more than {_FILE_BYTES_MAX} bytes")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""
