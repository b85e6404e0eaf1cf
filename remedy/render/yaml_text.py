"""Values as the strict YAML that people write: plain where that is safe, else in double quotes."""

import json
import re
from collections.abc import Mapping
from typing import Any

from remedy.text import number_text

__all__ = ["flow_text", "scalar_text"]

_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
"""What some readers of YAML take for a boolean or for nothing."""

_PLAIN = re.compile(r"[A-Za-z_/](?:[^\x00-\x1f\x7f:#\"\\]|:(?=\S)|(?<=\S)#)*")
_MEASURE = re.compile(
    r"[0-9]{1,9}(?:\.[0-9]{1,4})?[%smhd]"
    r"|[0-9]{1,9}/[0-9]{1,9}[smhd]"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?Z?)?"
    r"|[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
)
"""Durations, shares, budgets, times, addresses: they begin with a digit, and no reader takes them for a number."""
_OF_FLOW = frozenset(",[]{}")
_UNSAFE = re.compile("[^\\x20-\\x7e\xa1-\u061b\u061d-\u1fff\u2030-\u205f\u2070-\ud7ff\uf900-\ufefe\uff00-\uffef]")


def scalar_text(value: str, *, in_flow: bool) -> str:
    """Return a text as a YAML scalar; `in_flow` says that it stands between brackets."""
    is_plain = _MEASURE.fullmatch(value) is not None or (
        _PLAIN.fullmatch(value) is not None
        and value.lower() not in _WORDS
        and value == value.strip()
        and not value.endswith(":")
        and not _UNSAFE.search(value)
        and not (in_flow and _OF_FLOW & set(value))
    )
    return value if is_plain else _UNSAFE.sub(_escaped, json.dumps(value, ensure_ascii=False))


def flow_text(value: Any, *, in_flow: bool = False) -> str:
    """Return a value on one line; lists and mappings in brackets."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return number_text(value)
        case str():
            return scalar_text(value, in_flow=in_flow)
        case Mapping():
            parts = (f"{scalar_text(str(key), in_flow=True)}: {_inner(each)}" for key, each in value.items())
            return f"{{{', '.join(parts)}}}"
        case _:
            return f"[{', '.join(_inner(each) for each in value)}]"


def _inner(value: Any) -> str:
    return flow_text(value, in_flow=True)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
