"""Canonical JSON and digests: the same value gives the same bytes, everywhere and always."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from remedy.secrets import SecretReference

__all__ = ["canonical_json", "digest_fields", "digest_text", "plain", "row_value"]


def _document(value: object) -> object:
    if isinstance(value, SecretReference):
        return value.document()
    raise TypeError(f"{type(value).__name__} has no JSON")


_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_document
)
"""Made once: json.dumps makes one for every call, which takes as long as a short value."""


def canonical_json(value: Any) -> str:
    """
    Return the one text of a JSON value: sorted keys, no blanks, no NaN, UTF-8 as it is.

    Raises:
        ValueError: NaN or infinity inside.

    Source: RFC 8785; equal to it for text, booleans, null, containers and
    integers below 2**53 as long as keys are ASCII (it sorts keys by UTF-16 units,
    Python by code points); other numbers are written as Python's shortest repr.
    """
    return _ENCODER.encode(value)


def digest_text(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8 bytes in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


def digest_fields(fields: Iterable[str]) -> str:
    """Return the SHA-256 over length-prefixed fields (`5:hello`), so that no two lists share one."""
    digest = hashlib.sha256()
    for field in fields:
        raw = field.encode("utf-8", errors="surrogatepass")
        digest.update(b"%d:" % len(raw))
        digest.update(raw)
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """Return a value for JSON: whole numbers below 2**53 without a point, tuples as lists, secrets as references."""
    if isinstance(value, float) and value == int(value) and abs(value) < 2**53:
        return int(value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, SecretReference):
        return value.document()
    return value


def row_value(value: object) -> str | float | bool | None:
    """
    Return a value of a row, or of its key, as it was before `plain`: every number is a float.

    Raises:
        ValueError: it is no text, number, boolean or null, or too large for a float.
    """
    if value is None or isinstance(value, str | float | bool):
        return value
    if not isinstance(value, int):
        raise ValueError(f"a row holds no {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError("a row holds no number that is so large") from None
