"""Rules as a list, and one rule as the rule.yaml that says all it means."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from remedy.canonical import plain
from remedy.model import Rule, Signal
from remedy.origins import OriginKind, Setting
from remedy.render.origins import origin_json
from remedy.render.tables import table
from remedy.render.yaml_text import flow_text, scalar_text
from remedy.text import duration_text, untrusted

__all__ = ["rule_json", "rule_text", "rules_json", "rules_text", "yaml_lines"]

_COMMENT_COLUMN_MAX = 60
_DIGEST_SHOWN = 12
_SAID_ELSEWHERE: Mapping[str, str] = {"fix": "no fix: the rule only observes", "become": "runs as the login account"}


def rules_text(rules: Sequence[Rule]) -> list[RenderableType]:
    """Return a table of the rules, one a line."""
    heads = ("rule", "mode", "risk", "hosts", "signal", "tags", "title")
    return [table(heads, [_row(rule) for rule in rules])]


def _row(rule: Rule) -> tuple[str, ...]:
    return (
        rule.name,
        rule.mode.value,
        rule.risk.value,
        rule.hosts,
        rule.signal,
        " ".join(rule.tags) or "-",
        rule.title,
    )


def rules_json(rules: Sequence[Rule], *, source: str) -> dict[str, Any]:
    """Return the list as JSON."""
    return {
        "rules_list": 1,
        "source": source,
        "rules": [
            {
                "rule": rule.name,
                "mode": rule.mode.value,
                "risk": rule.risk.value,
                "hosts": rule.hosts,
                "signal": rule.signal,
                "tags": list(rule.tags),
                "title": rule.title,
                "owner": rule.owner,
                "fix": sorted(platform.value for platform in rule.fix),
                "digest": rule.digest,
                "file": rule.place.file,
            }
            for rule in rules
        ],
    }


def rule_text(rule: Rule, signal: Signal, settings: Sequence[Setting]) -> list[RenderableType]:
    """Return a rule as a whole rule.yaml, with a comment on each value's origin; the signal is said in comments."""
    head = [
        f"{rule.place.file}, digest {rule.digest[:_DIGEST_SHOWN]}",
        *_signal(signal),
        *(f"{script.path} is SHA-256 {script.sha256[:_DIGEST_SHOWN]}" for script in rule.fix.values()),
    ]
    shown: list[RenderableType] = [Text(f"# {untrusted(text)}", "dim") for text in head]
    lines = yaml_lines(settings)
    column = min(_COMMENT_COLUMN_MAX, max((len(text) for text, _ in lines), default=0)) + 2
    for text, comment in lines:
        gap = " " * max(2, column - len(text)) if comment else ""
        shown.append(Text.assemble(untrusted(text), (f"{gap}# {comment}" if comment else "", "dim")))
    return shown


def _signal(signal: Signal) -> list[str]:
    key = f"a row per {', '.join(signal.key)}" if signal.key else "one row per host"
    columns = (f"{name} ({column.unit or column.type.value})" for name, column in signal.columns.items())
    return [
        f"signal {signal.name}: {signal.title}; {key}, at most {duration_text(signal.max_age_s)} old",
        f"  columns {', '.join(columns)}",
    ]


def yaml_lines(settings: Iterable[Setting]) -> list[tuple[str, str]]:
    """
    Return settings as lines of block YAML, each with a comment on where its value came from.

    What has no value is a comment alone.
    """
    lines: list[tuple[str, str]] = []
    open_keys: list[str] = []
    for setting in settings:
        *above, last = setting.key.replace("[", ".[").split(".")
        while above[: len(open_keys)] != open_keys:
            open_keys.pop()
        for key in above[len(open_keys) :]:
            lines.append((f"{'  ' * len(open_keys)}{key}:", ""))
            open_keys.append(key)
        indent = "  " * len(above)
        if setting.value is None:
            lines.append((f"{indent}# {last}: {_SAID_ELSEWHERE.get(last, 'none')}", ""))
            continue
        label = "- " if last.startswith("[") else f"{scalar_text(last, in_flow=True)}: "
        lines.append((f"{indent}{label}{flow_text(setting.value)}", _origin_text(setting)))
    return lines


def _origin_text(setting: Setting) -> str:
    place = setting.origin.place
    if setting.origin.kind is OriginKind.FILE and place is not None:
        return f"line {place.line}"
    return str(setting.origin)


def rule_json(rule: Rule, settings: Sequence[Setting]) -> dict[str, Any]:
    """Return a rule as JSON: its values as a rule.yaml would hold them, and the origin of each by its dotted key."""
    return {
        "rules_show": 1,
        "file": rule.place.file,
        "digest": rule.digest,
        "scripts": {platform.value: script.sha256 for platform, script in rule.fix.items()},
        "rule": _nested(settings),
        "origins": {setting.key: origin_json(setting.origin) for setting in settings},
    }


def _nested(settings: Iterable[Setting]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for setting in settings:
        *above, last = setting.key.split(".")
        name, bracket, _ = last.partition("[")
        at = values
        for key in above:
            at = at.setdefault(key, {})
        if bracket:
            at.setdefault(name, []).append(plain(setting.value))
        else:
            at[last] = plain(setting.value)
    return values
