"""Digests of loaded values: the same for the same meaning, whatever path, order or layout a file has."""

import hashlib
import json
from typing import Any

__all__ = ["digest_of"]


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, as hex digits; NaN and infinity are an error of ours."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
