"""What to write instead of a value of the wrong form, where what was meant is plain."""

import re
from collections.abc import Iterable, Mapping, Sequence

from remedy.limits import parse_duration, parse_limit
from remedy.load.scalars import resolved_scalar
from remedy.text import nearest

__all__ = ["form_cure", "list_cure", "listed_cure", "unknown_key_cure"]

_UNITS: Mapping[str, str] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
}
_SIZES_S = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_SPAN = re.compile(r"([0-9]{1,9}) ?([A-Za-z]+)")
_SPANS = re.compile(r"(?:[0-9]{1,9} ?[A-Za-z]+ ?){1,4}")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,4})?) ?(?:%|percent|per cent|pct)")
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]{0,59}")
_SHOWN_ENTRIES_MAX = 3


def form_cure(wanted: str, value: object) -> str:
    """Return how to write a value whose schema asks for `wanted` (its x-must-be); '' where nobody can know."""
    if wanted.startswith("a duration"):
        return _duration_cure(value)
    if wanted.startswith("a limit"):
        return _limit_cure(value)
    if wanted.startswith("a count or a percentage"):
        share = _percent(value)
        return f"write {share}" if share else ""
    return ""


def _duration_cure(value: object) -> str:
    if isinstance(value, bool):
        return ""
    if isinstance(value, int):
        return f"write {value}s if these are seconds" if value > 0 and _is_duration(f"{value}s") else ""
    if not isinstance(value, str) or _SPANS.fullmatch(value) is None:
        return ""
    spans = [(number, _UNITS.get(unit.casefold())) for number, unit in _SPAN.findall(value)]
    meant = [(int(number), unit) for number, unit in spans if unit is not None]
    if len(meant) < len(spans) or len({unit for _, unit in meant}) < len(meant):
        return ""
    if len(meant) == 1:
        text = f"{meant[0][0]}{meant[0][1]}"
    else:
        seconds = sum(number * dict(_SIZES_S)[unit] for number, unit in meant)
        text = next(f"{seconds // size}{unit}" for unit, size in _SIZES_S if not seconds % size)
    return f"write {text}" if _is_duration(text) else ""


def _is_duration(text: str) -> bool:
    try:
        return parse_duration(text) > 0
    except ValueError:
        return False


def _limit_cure(value: object) -> str:
    share = _percent(value)
    if share:
        return f"write {share}"
    if not isinstance(value, list) or len(value) != 2:
        return ""
    turned = isinstance(value[1], int) and not isinstance(value[1], bool)
    count, percent = reversed(value) if turned else value
    share = _percent(percent)
    if not share or isinstance(count, bool) or not isinstance(count, int):
        return ""
    try:
        parse_limit([count, share])
    except ValueError:
        return ""
    return f"{'count first' if turned else 'write'}: [{count}, {share}]"


def _percent(value: object) -> str:
    """Return a text that can only be a percentage as one; '' for all else."""
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    return f"{found[1]}%" if found is not None and float(found[1]) <= 100 else ""


def listed_cure(value: object, allowed: Sequence[str]) -> str:
    """Return which of the allowed words was meant; '' when none is near."""
    if value is True and len(allowed) == 1:
        return f"write {allowed[0]}"
    if not isinstance(value, str):
        return ""
    asked = value.casefold()
    near = nearest(value, allowed, most=1) or [word for word in allowed if len(word) >= 3 and asked.startswith(word)]
    # In a word of three letters everything is near: `many` is not `any`.
    is_near = near and (len(near[0]) > 3 or near[0][:1] == asked[:1])
    return f"did you mean `{near[0]}`?" if is_near else ""


def list_cure(value: object, items: object) -> str:
    """Return how to make a list of such items of what is none."""
    if isinstance(value, Mapping):
        return _list_of_mapping_cure(value)
    is_of_text = isinstance(items, Mapping) and items.get("type") == "string"
    return f"write [{value}]" if is_of_text and isinstance(value, str) and _WORD.fullmatch(value) else ""


def _list_of_mapping_cure(value: Mapping[str, object]) -> str:
    """Show a short mapping as the list that it should be, for that is right in every style."""
    shown = [f"{key}: {text}" for key, given in value.items() if _scalar_text(key) and (text := _scalar_text(given))]
    if len(shown) < len(value) or not 0 < len(shown) <= _SHOWN_ENTRIES_MAX:
        return "write a - before each entry"
    return f"write [{{{', '.join(shown)}}}]"


def _scalar_text(value: object) -> str:
    """Return a plain scalar as it is written; '' when it is none, or would have to be quoted."""
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case str() if _PLAIN.fullmatch(value) and resolved_scalar(value) == (value, "", ""):
            return value
        case _:
            return ""


def unknown_key_cure(key: str, properties: Mapping[str, object]) -> str:
    """Return what to do about a key that a mapping with these properties does not have."""
    below = [name for name, schema in sorted(properties.items()) if key in _keys(schema)]
    if below:
        return f"put it below {' or '.join(f'`{name}:`' for name in below)}"
    near = nearest(key, properties, most=1)
    return f"did you mean `{near[0]}`?" if near else f"known are {', '.join(sorted(properties))}"


def _keys(schema: object) -> Iterable[str]:
    properties = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
    return properties if isinstance(properties, Mapping) else ()
