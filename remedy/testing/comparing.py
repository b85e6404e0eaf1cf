"""
What a case expects against what the rule says: each difference with the conjuncts that decided. Pure.

A case passes when nothing differs. Everything that it says is complete: a row
more is as wrong as a row less.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from remedy.errors import Place
from remedy.load.cases import Case, Expected, ExpectedVerdict
from remedy.model import Clause, Hold, Key, ReadingStatus, Row, VerifyUntil, key_text, value_text
from remedy.readings import row_key
from remedy.testing.judging import Judged
from remedy.text import untrusted
from remedy.verdicts import Judgement, other_rows

__all__ = ["Difference", "differences", "judgement_reason"]

_ROWS_EXPLAINED_MAX = 3
_TRUTH: Mapping[bool | None, str] = {True: "true", False: "false", None: "unknown"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    Where a case and the rule differ: about what, at which place, what was expected, what is, and what decided it.

    `why` are lines: a row, and the conjuncts that decided it with the values they read.
    """

    about: str
    place: Place
    expected: str
    actual: str
    why: tuple[str, ...] = ()


def differences(case: Case, judged: Judged) -> tuple[Difference, ...]:
    """Return all in which a case and the rule differ, in the order of the file."""
    found = [
        *(each for host, expected in case.expect.items() for each in _of_host(host, expected, judged)),
        *_of_held(case, judged),
        *_of_waves(case, judged),
        *_of_fixed(case, judged),
    ]
    return tuple(sorted(found, key=lambda each: each.place))


def judgement_reason(judgement: Judgement, judged: Judged) -> str:
    """Return why a judgement is what it is: its own reason, or the columns for want of which it is unknown."""
    if judgement.reason or not judgement.unknown_rows:
        return judgement.reason
    missing: dict[str, None] = {}
    for unknown in judgement.unknown_rows:
        for clause in _clauses(judgement.host, unknown.row, judged):
            if clause.verdict is None:
                missing.update({name: None for name, value in clause.values if value is None})
    return f"not read: {', '.join(missing)}" if missing else "the condition is unknown"


def _of_host(host: str, expected: Expected, judged: Judged) -> Iterator[Difference]:
    judgement = judged.judgements.get(host)
    if judgement is None:
        if expected.verdict is not ExpectedVerdict.NOT_SELECTED:
            actual = f"not_selected: the rule's hosts are `{untrusted(judged.rule.hosts)}`"
            yield Difference(about=host, place=expected.place, expected=_expected_text(expected), actual=actual)
        return
    match = tuple(sorted((finding.key for finding in judgement.findings), key=str))
    unknown = tuple(sorted((row_key(judged.signal, each.row) for each in judgement.unknown_rows), key=str))
    reason = judgement_reason(judgement, judged)
    same = (
        expected.verdict.value == judgement.verdict.value
        and expected.match == match
        and (expected.unknown is None or expected.unknown == unknown)
        and _stands_in(expected.reason, reason)
    )
    if same:
        return
    rows = _differing(expected, match, unknown)
    yield Difference(
        about=host,
        place=expected.place,
        expected=_expected_text(expected),
        actual=_actual_text(judgement, match, unknown, reason),
        why=tuple(_explained(host, rows, judged)),
    )


def _stands_in(part: str, reason: str) -> bool:
    """Say whether a text stands in a reason, as whole words: no part of a word says why."""
    before = r"(?<!\w)" if part[:1].isalnum() else ""
    after = r"(?!\w)" if part[-1:].isalnum() else ""
    return not part or re.search(before + re.escape(part) + after, reason) is not None


def _differing(expected: Expected, match: tuple[Key, ...], unknown: tuple[Key, ...]) -> list[Key]:
    """Return the keys that are worth an explanation: those of which expectation and rule say different things."""
    wanted: dict[Key, str] = {
        **dict.fromkeys(expected.match, "match"),
        **dict.fromkeys(expected.unknown or (), "unknown"),
    }
    said = {**dict.fromkeys(match, "match"), **dict.fromkeys(unknown, "unknown")}
    return [key for key in dict.fromkeys((*wanted, *said)) if wanted.get(key) != said.get(key)]


def _expected_text(expected: Expected) -> str:
    parts = [expected.verdict.value]
    if any(expected.match):
        parts.append(f"of {_keys_text(expected.match)}")
    if expected.unknown and expected.verdict is ExpectedVerdict.UNKNOWN:
        parts.append(f"of {_keys_text(expected.unknown)}")
    elif expected.unknown:
        parts.append(f"and unknown of {_keys_text(expected.unknown)}")
    if expected.reason:
        parts.append(f"with `{untrusted(expected.reason)}` in the reason")
    return " ".join(parts)


def _actual_text(judgement: Judgement, match: tuple[Key, ...], unknown: tuple[Key, ...], reason: str) -> str:
    parts = [judgement.verdict.value]
    if any(match):
        parts.append(f"of {_keys_text(match)}")
    if match and unknown:
        parts.append("and unknown")
    if any(unknown):
        parts.append(f"of {_keys_text(unknown)}")
    text = " ".join(parts)
    return f"{text}: {untrusted(reason)}" if reason else text


def _keys_text(keys: Iterable[Key]) -> str:
    return ", ".join(untrusted(key_text(key)) for key in keys)


def _clauses(host: str, row: Row, judged: Judged) -> tuple[Clause, ...]:
    when = judged.rule.when
    others = other_rows(when.other_signals, judged.readings.get(host, {}))
    return when.explain(judged.rule.params_for(judged.hosts[host]), row, others)


def _explained(host: str, keys: Iterable[Key], judged: Judged) -> Iterator[str]:
    """Yield the rows with these keys, each with the conjuncts that decided it; of a host without rows, nothing."""
    reading = judged.readings.get(host, {}).get(judged.signal.name)
    if reading is None or reading.status is not ReadingStatus.OK:
        return
    rows = {row_key(judged.signal, row): row for row in reading.rows}
    wanted = list(keys) or list(rows)
    for key in wanted[:_ROWS_EXPLAINED_MAX]:
        shown = f"{untrusted(key_text(key))}: " if key else ""
        if key not in rows:
            yield f"{shown}there is no such row"
            continue
        clauses = _clauses(host, rows[key], judged)
        for clause in _deciding(clauses):
            yield f"{shown}{_clause_text(clause)}"
    if len(wanted) > _ROWS_EXPLAINED_MAX:
        yield f"and {len(wanted) - _ROWS_EXPLAINED_MAX} rows more"


def _deciding(clauses: tuple[Clause, ...]) -> tuple[Clause, ...]:
    """Return the conjuncts that decided: a false one, else the unknown ones, else all."""
    for verdict in (False, None):
        found = tuple(clause for clause in clauses if clause.verdict is verdict)
        if found:
            return found
    return clauses


def _clause_text(clause: Clause) -> str:
    values = ", ".join(
        f"{name}={'null' if value is None else untrusted(value_text(value))}" for name, value in clause.values
    )
    return f"`{' '.join(clause.text.split())}` is {_TRUTH[clause.verdict]}" + (f"  [{values}]" if values else "")


def _of_held(case: Case, judged: Judged) -> Iterator[Difference]:
    if case.held is None:
        return
    for host, judgement in judged.judgements.items():
        if host in case.ignored:
            continue
        found = {finding.key for finding in judgement.findings}
        said = judged.held.get(host, {})
        wanted = case.held.get(host, {})
        if isinstance(wanted, Hold):
            # A hold of all rows of a host without any is a mistake, not a truth about nothing.
            wanted = dict.fromkeys(found, wanted) or {(): wanted}
        if wanted != said:
            expected, actual = _held_text(wanted), _held_text(said)
            yield Difference(about=f"held on {host}", place=case.held_place, expected=expected, actual=actual)
    for host in case.held:
        if host not in judged.judgements:
            yield Difference(
                about=f"held on {host}", place=case.held_place, expected="a hold", actual="the host is not selected"
            )


def _held_text(held: Mapping[Key, Hold]) -> str:
    if not held:
        return "nothing is held"
    texts = sorted(f"{hold.value} {untrusted(key_text(key))}".rstrip() for key, hold in held.items())
    return ", ".join(texts)


def _of_waves(case: Case, judged: Judged) -> Iterator[Difference]:
    if case.waves is None or case.waves == judged.waves:
        return
    why = (f"the fuse holds everything back: {judged.fuse}",) if judged.fuse else ()
    yield Difference(
        about="waves",
        place=case.waves_place,
        expected=_waves_text(case.waves),
        actual=_waves_text(judged.waves),
        why=why,
    )


def _waves_text(waves: tuple[frozenset[str], ...]) -> str:
    shown = (f"[{', '.join(sorted(wave))}]" for wave in waves)
    return f"[{', '.join(shown)}]"


def _of_fixed(case: Case, judged: Judged) -> Iterator[Difference]:
    if case.fixed is None:
        return
    verify = judged.rule.verify
    for host in judged.hosts:
        wanted, said = case.fixed.get(host, frozenset()), judged.fixed.get(host, frozenset())
        if host in case.ignored or wanted == said:
            continue
        yield Difference(
            about=f"fixed on {host}",
            place=case.fixed_place,
            expected=_fixed_text(wanted),
            actual=_fixed_text(said),
            why=(f"`until` is `{untrusted(verify.until.text)}`",)
            if isinstance(verify, VerifyUntil)
            else ("the rule has no `verify.until`",),
        )


def _fixed_text(keys: frozenset[Key]) -> str:
    if not keys:
        return "no row"
    return _keys_text(sorted(keys, key=str)) if any(keys) else "its row"
