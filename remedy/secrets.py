"""
Secrets: where one is, which is data, and what it is, which is shown nowhere.

A rule, a signal or an inventory has references, and so have plans, digests and
all that people read. The value is read by the runners, when a payload is made.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

__all__ = ["MASK", "REFERENCE_CURE", "REFERENCE_KEY", "Secret", "SecretReference", "reference_of"]

MASK = "***"
"""What stands wherever the value of a secret would."""

REFERENCE_KEY = "secret"
"""The one key of a parameter that is a reference: `{secret: env:NAME}`."""

REFERENCE_CURE = "write env:NAME or file:/PATH"

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,254}|file:(?:/|~/)[^\x00-\x1f\x7f-\x9f]{1,4096}")


@dataclass(frozen=True, slots=True, order=True)
class SecretReference:
    """
    Where the value of a parameter is: `env:NAME` or `file:/PATH`, of the machine that remedy runs on.

    It may be shown, compared and hashed; its text is 'secret env:NAME'.

    Raises:
        ValueError: another form; the text, which may be the secret itself, is not repeated.
    """

    where: str

    def __post_init__(self) -> None:
        """See that it is a reference."""
        if _REFERENCE.fullmatch(self.where) is None:
            raise ValueError(f"must be a reference to a secret, never the secret itself; {REFERENCE_CURE}")

    def __str__(self) -> str:
        return f"secret {self.where}"

    def document(self) -> dict[str, str]:
        """Return it as files and JSON have it."""
        return {REFERENCE_KEY: self.where}


def reference_of(raw: Mapping[object, object]) -> SecretReference:
    """
    Return the reference that a mapping of a file or a document stands for.

    Raises:
        ValueError: it has other keys, or its value is no reference; no value is repeated.
    """
    if set(raw) != {REFERENCE_KEY}:
        raise ValueError("must not be a mapping, unless it is {secret: env:NAME} or {secret: file:/PATH}")
    where = raw[REFERENCE_KEY]
    return SecretReference(where if isinstance(where, str) else "")


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
        return MASK

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")
