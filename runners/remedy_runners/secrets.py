"""Secrets: a value that does not print, and the references that lead to one."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from remedy.errors import Refused

__all__ = ["Secret", "resolve"]

_SIZE_MAX = 4_096


class Secret:
    """
    A text that is shown as '***' wherever it is printed.

    Cannot be pickled, copied or turned into JSON; `reveal()` is the one way to it.
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """Return the text itself; for the call that needs it, and nothing else."""
        return self.__text

    def __repr__(self) -> str:
        return "***"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")


def resolve(reference: str, *, environment: Mapping[str, str]) -> Secret:
    """
    Return the secret behind `env:NAME` or `file:PATH`; a file's final newline is not part of it.

    Raises:
        Refused: another form, nothing there, or a file that others may read. A
            literal is not repeated in the message.
    """
    kind, colon, rest = reference.partition(":")
    if kind == "env" and colon:
        if not environment.get(rest):
            raise Refused(f"the environment variable {rest} of the reference env:{rest} is not set")
        return Secret(environment[rest])
    if kind == "file" and colon:
        return Secret(_text_of(Path(rest)))
    raise Refused("a password is given as a reference, env:NAME or file:PATH, never as it is")


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(_SIZE_MAX + 1)
    except OSError as exc:
        raise Refused(f"file:{path} cannot be read: {exc.strerror}") from exc
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Refused(f"file:{path} can be read by others; chmod 600 {path}")
    if not raw.strip() or len(raw) > _SIZE_MAX:
        raise Refused(f"file:{path} is empty or more than {_SIZE_MAX} bytes")
    try:
        return raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise Refused(f"file:{path} is not UTF-8") from exc
