"""Values of rules, signals, inventories and cases, typed by their columns and defaults."""

import re
from collections.abc import Mapping

from remedy.model import Column, ColumnType, Params, ParamValue, Value
from remedy.secrets import SecretReference, reference_of

__all__ = ["TEXT_BYTES_MAX", "case_param", "param_value", "param_words", "typed_column", "typed_param"]

TEXT_BYTES_MAX = 4096
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_NUMBER_MAX = 1e300


def _text(raw: str) -> str:
    if len(raw.encode("utf-8", errors="replace")) > TEXT_BYTES_MAX:
        raise ValueError("is longer than 4 KiB")
    if _CONTROL.search(raw):
        raise ValueError("holds a control character or a line break")
    return raw


def _number(raw: float) -> float:
    if not -_NUMBER_MAX <= raw <= _NUMBER_MAX:
        raise ValueError("is too large a number: at most 1e300")
    return float(raw)


def param_value(raw: object) -> ParamValue:
    """
    Return a parameter's default: text, number, boolean, list of text, or a reference to a secret.

    Raises:
        ValueError: another type, a control character, too long; what may be a secret is not repeated.
    """
    match raw:
        case bool():
            return raw
        case int() | float():
            return _number(raw)
        case str():
            return _text(raw)
        case list() | tuple() if all(isinstance(item, str) for item in raw):
            return tuple(_text(item) for item in raw)
        case Mapping():
            return reference_of(raw)
        case _:
            raise ValueError("must be text, a number, a boolean or a list of text")


def param_words(value: ParamValue) -> str:
    """Return the type of a parameter in words."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, SecretReference):
        return "a reference to a secret"
    return "text" if isinstance(value, str) else "a list of text"


def typed_param(params: Params, name: str, raw: object) -> ParamValue:
    """
    Return an override of params[name], typed by its default.

    Raises:
        ValueError: it is of another type than the default.
    """
    wanted = param_words(params[name])
    if raw is None:
        raise ValueError(f"must be {wanted}, not empty")
    value = param_value(raw)
    found = param_words(value)
    if found != wanted:
        cure = ": {secret: env:NAME} or {secret: file:/PATH}" if isinstance(params[name], SecretReference) else ""
        raise ValueError(f"must be {wanted}, not {found}{cure}")
    return value


def case_param(params: Params, name: str, raw: object) -> ParamValue:
    """
    Return an override of params[name] in a case; as `typed_param`, but a plain text may stand for a secret.

    Raises:
        ValueError: it is of another type than the default.
    """
    if isinstance(params[name], SecretReference) and isinstance(raw, str):
        return _text(raw)
    return typed_param(params, name, raw)


def typed_column(columns: Mapping[str, Column], name: str, raw: object) -> Value:
    """
    Return a value of a row, typed by its column; None stays None.

    Raises:
        ValueError: it is of another type than the column.
    """
    if raw is None:
        return None
    match columns[name].type, raw:
        case ColumnType.BOOLEAN, bool():
            return raw
        case ColumnType.NUMBER, (int() | float()) if not isinstance(raw, bool):
            return _number(raw)
        case ColumnType.TEXT, str():
            return _text(raw)
        case wanted, _:
            raise ValueError(f"must be {_column_words(wanted)}, not {param_words(param_value(raw))}")


def _column_words(wanted: ColumnType) -> str:
    match wanted:
        case ColumnType.TEXT:
            return "text"
        case ColumnType.NUMBER:
            return "a number"
        case ColumnType.BOOLEAN:
            return "true or false"
