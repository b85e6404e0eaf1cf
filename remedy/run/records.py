"""What audit records say of executions: which one it is, and the values it starts with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from remedy.gate import LedgerFacts, Refusal, Request
from remedy.model import Execution, Key, ParamValue
from remedy.port import Permit
from remedy.secrets import SecretReference
from remedy.text import untrusted

__all__ = ["Wish", "execution_facts", "incident_facts", "intent_facts"]

_VALUES_CHARACTERS_MAX = 3_000
"""Of all texts in a record's key, row and parameters together: 11 bytes each at worst, and LINE_BYTES_MAX holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A wish to start an execution: what the gate must know, what is recorded of it, and who decides."""

    execution: Execution
    request: Request
    boot_id: str | None
    wave: int
    decide: Callable[[Request, LedgerFacts], Permit | Refusal]


def execution_facts(execution: Execution) -> dict[str, Any]:
    """Return what every audit record about an execution says of it."""
    return incident_facts(execution.id, execution.rule, execution.host, key=execution.key)


def incident_facts(execution_id: str, rule: str, host: str, *, key: Key) -> dict[str, Any]:
    """Return what every audit record says of an execution of which no more is known than its incident."""
    return {"execution": execution_id, "rule": rule, "host": host, **_shown(key=dict(key))}


def _shown(**parts: Mapping[str, ParamValue | None]) -> dict[str, dict[str, Any]]:
    """
    Return values as a record has them, long texts cut.

    One host's row must never be too long to be recorded: that would end the run
    for all of them.
    """
    texts = [text for part in parts.values() for value in part.values() for text in _texts(value)]
    if sum(map(len, texts)) <= _VALUES_CHARACTERS_MAX:
        return {word: {name: _recorded(value) for name, value in part.items()} for word, part in parts.items()}
    each_max = _VALUES_CHARACTERS_MAX // len(texts)

    def shown(value: ParamValue | None) -> Any:
        if isinstance(value, tuple):
            return [untrusted(item, characters_max=each_max) for item in value]
        return untrusted(value, characters_max=each_max) if isinstance(value, str) else _recorded(value)

    return {word: {name: shown(value) for name, value in part.items()} for word, part in parts.items()}


def _recorded(value: ParamValue | None) -> Any:
    return value.document() if isinstance(value, SecretReference) else value


def _texts(value: ParamValue | None) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    return (value,) if isinstance(value, str) else ()


def intent_facts(wish: Wish, *, endpoint: str) -> dict[str, Any]:
    """
    Return what the audit record of an intent says.

    `endpoint` is where the host led when the plan was made; '' when that is not known.
    """
    execution = wish.execution
    return {
        "execution": execution.id,
        "rule": execution.rule,
        "host": execution.host,
        **_shown(key=dict(execution.key), row=execution.row, params=execution.params),
        "script": execution.script,
        "script_sha256": execution.script_sha256,
        "deadline_s": execution.timeout_s,
        "become_root": execution.become_root,
        "boot_id": wish.boot_id,
        "endpoint": endpoint,
        "wave": wish.wave,
    }
