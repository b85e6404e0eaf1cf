"""Records of the audit log as lines for people."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from remedy.render.tables import line, styled
from remedy.text import untrusted

__all__ = ["actor_names", "actor_text", "damaged_text", "record_text"]

_VALUE_CHARACTERS_MAX = 200
_TYPE_WIDTH = 20
_TS_CHARACTERS = 27
_SAID = ("outcome", "ending", "hold", "skip", "reason")
_ELSEWHERE = frozenset({"actor", "command", "host", "key", "outcomes", "rule", *_SAID})
_LEFT_OUT = frozenset({"boot_id", "script_sha256", "output"})
"""Too long for a line, and of use to programs only; `-o json` has them."""


def record_text(record: Mapping[str, Any]) -> Text:
    """Return a record as one line: time, run and number, type, rule, host, row, what came of it, and the rest."""
    data = record["data"] if isinstance(record.get("data"), dict) else {}
    parts = [
        _time_text(str(record.get("ts", ""))),
        f"{record.get('run', '')}#{record.get('seq', '')}",
        str(record.get("type", "")).ljust(_TYPE_WIDTH),
        *(_value_text(data[name]) for name in ("rule", "host") if data.get(name)),
        *_pairs(data.get("key")),
    ]
    said = [_value_text(data[name]) for name in _SAID if data.get(name) not in (None, "")]
    shown: list[str | Text] = [*parts, *([styled(": ".join(said), str(data.get("outcome", "")))] if said else [])]
    shown += _pairs(data.get("outcomes"))
    if "actor" in data:
        shown.append(f"by {actor_text(data['actor'])}")
    if data.get("command"):
        shown.append(_value_text(data["command"]))
    shown += _pairs({name: value for name, value in data.items() if name not in _ELSEWHERE | _LEFT_OUT})
    return line(*shown)


def damaged_text(file: str, number: int, why: str, raw: bytes) -> Text:
    """Return a line that is no record: where it is, why, and its bytes made visible."""
    place = f"{file}:{number}" if number else file
    shown = untrusted(raw, characters_max=_VALUE_CHARACTERS_MAX)
    return line(styled("DAMAGED", "failed"), f"{place}:", why, *([shown] if shown else []))


def actor_text(actor: Any) -> str:
    """Return who a run was started by: a text in old files, else an object whose claims nobody checked."""
    if not isinstance(actor, dict):
        return _value_text(actor)
    claims = actor.get("claims")
    numbers = (f"{name} {actor[name]}" for name in ("uid", "loginuid") if actor.get(name) is not None)
    text = f"{actor.get('user', '')} ({', '.join(numbers)})"
    return untrusted(f"{text} claims {' '.join(_pairs(claims))}" if isinstance(claims, dict) and claims else text)


def actor_names(actor: Any) -> tuple[str, ...]:
    """Return the names in an actor: the user's, and those only claimed; of old files the whole text."""
    if not isinstance(actor, dict):
        return (str(actor),)
    claims = actor.get("claims")
    claimed = claims.values() if isinstance(claims, dict) else ()
    return tuple(str(name) for name in (actor.get("user"), *claimed) if name)


def _time_text(ts: str) -> str:
    """Return a record's time to the millisecond; what is no such time, as it is."""
    return f"{ts[:-4]}Z" if len(ts) == _TS_CHARACTERS and ts.endswith("Z") else ts


def _pairs(values: Any) -> list[str]:
    """Return the plain values of an object as `name=value`; what has parts of its own is left out."""
    if not isinstance(values, dict):
        return []
    return [
        f"{name}={_value_text(value)}"
        for name, value in values.items()
        if value is not None and value != "" and not isinstance(value, dict | list)
    ]


def _value_text(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return untrusted(text, characters_max=_VALUE_CHARACTERS_MAX)
