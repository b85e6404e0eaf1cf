"""
Bytes kept by their digest: outputs of fixes, and the bytes of rules, scripts and plans.

They lie apart from the audit log, which has only their digests: they can be
removed, when their time is over, without breaking its chain.
"""

import os
import re
import tempfile
from hashlib import sha256
from pathlib import Path

from remedy.errors import StateError
from remedy.state.disk import Disk, sync_directory, write_all

__all__ = ["Kept"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_FOLDER_MODE = 0o700


class Kept:
    """
    A folder of files named after the SHA-256 of their bytes, for all threads and processes.

    Making one of these touches nothing; the folder is made with the first file.
    """

    def __init__(self, directory: Path, *, disk: Disk | None = None) -> None:
        self.directory = directory
        self._disk = disk or Disk()
        self._durable: set[str] = set()

    def keep(self, raw: bytes) -> str:
        """
        Keep bytes, readable by their owner only, and return their SHA-256 as 64 hex digits; they are durable then.

        What is there already is not written again, unless it was cut.

        Raises:
            StateError: they could not be written; nothing is there under their digest that was not there before.
        """
        digest = sha256(raw).hexdigest()
        if digest in self._durable:
            return digest
        path = self.directory / digest
        try:
            if not _is_whole(path, len(raw)):
                self._make_directory()
                self._write(path, raw)
            # Also when the file was there: whoever made it may not have come as far as this.
            sync_directory(self._disk, self.directory)
        except OSError as exc:
            raise StateError(f"{path} cannot be written: {exc.strerror}") from exc
        self._durable.add(digest)
        return digest

    def _make_directory(self) -> None:
        try:
            self.directory.mkdir(mode=_FOLDER_MODE)
        except FileExistsError:
            return
        sync_directory(self._disk, self.directory.parent)

    def _write(self, path: Path, raw: bytes) -> None:
        """Write a file of another name (mode 0600), and give it its own only when its bytes are on the disk."""
        descriptor, made = tempfile.mkstemp(prefix=".", suffix=".part", dir=self.directory)
        try:
            try:
                write_all(self._disk, descriptor, data=raw)
                self._disk.fsync(descriptor)
            finally:
                os.close(descriptor)
            Path(made).replace(path)
        except BaseException:
            Path(made).unlink(missing_ok=True)
            raise

    def read(self, digest: str) -> bytes:
        """
        Return the bytes of a digest.

        Raises:
            StateError: it is no digest, its bytes are not kept (any more), cannot be read, or were changed.
        """
        if not _DIGEST.fullmatch(digest):
            raise StateError(f"'{digest}' is no SHA-256 of 64 hex digits")
        path = self.directory / digest
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            raise StateError(f"{path} does not exist: its bytes were never kept, or were removed since") from None
        except OSError as exc:
            raise StateError(f"{path} cannot be read: {exc.strerror}") from exc
        if sha256(raw).hexdigest() != digest:
            raise StateError(f"{path} was changed: its bytes have another SHA-256 than its name says")
        return raw


def _is_whole(path: Path, size: int) -> bool:
    """Say whether a file of that name and size is there; only `read` looks at its bytes."""
    try:
        return path.lstat().st_size == size
    except FileNotFoundError:
        return False
