"""Digests of loaded values: the same for the same meaning, whatever path, order or layout a file has."""

import hashlib
from typing import Any

from remedy.canonical import canonical_json

__all__ = ["digest_of", "digested_text"]


def digested_text(value: Any) -> str:
    """Return a value's canonical JSON; NaN and infinity are an error of ours."""
    return canonical_json(value)


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, as hex digits."""
    return hashlib.sha256(digested_text(value).encode("utf-8")).hexdigest()
