"""`remedy audit verify`: is the evidence whole? `remedy audit show`: what does it say?"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from rich.text import Text

from remedy.cli.caller import caller_now, utc_now
from remedy.cli.composition import Options, state_of
from remedy.cli.console import Talk
from remedy.cli.ledgers import copied_ledger
from remedy.errors import NothingNamed, StateError, UsageError
from remedy.limits import parse_duration
from remedy.render.audit import actor_names, damaged_text, record_text
from remedy.state.audit_format import Lines, parse_object
from remedy.state.audit_verify import AuditFinding, AuditReport, verify
from remedy.state.directory import StateDirectory
from remedy.state.values import utc_text
from remedy.summary import ExitCode
from remedy.text import counted, nearest, untrusted

__all__ = ["AuditAsked", "run_audit_show", "run_audit_verify"]

_HEAD = re.compile(r"[0-9a-f]{64}")
_NAMES_KEPT_MAX = 10_000
"""Of names in the log, to suggest the nearest one from."""

_LINES_AT_ONCE = 500


def run_audit_verify(options: Options, heads: Sequence[str] = ()) -> int:
    """
    Check all files; return 0 when they are whole, 3 when something is wrong.

    Raises:
        UsageError: one of the heads noted elsewhere has not the form of one.
    """
    noted = [_noted_head(head) for head in heads]
    state, talk = _opened(options)
    try:
        # Asked first: what the ledger knows by now has its audit file by now.
        report = verify(state.audit, _known_runs(state), noted=noted)
    except StateError as exc:
        report = verify(state.audit, noted=noted)
        message = f"{exc}; whether a run's audit file is missing could not be asked"
        odd_ledger = AuditFinding(file=state.ledger.name, line=0, message=message)
        report = replace(report, findings=(*report.findings, odd_ledger))
    if talk.as_json:
        talk.result_json(_report_json(report))
    else:
        talk.result(_report_lines(report))
    return int(ExitCode.DONE if report.intact else ExitCode.BAD)


def _opened(options: Options) -> tuple[StateDirectory, Talk]:
    state, named_by = state_of(options, caller_now())
    talk = Talk(as_json=options.output == "json")
    talk.say(f"state {state.path} ({named_by})")
    if not state.audit.is_dir() and not state.has_ledger():
        raise StateError(f"there is no audit log in {state.path}; name the state directory with --state DIR")
    return state, talk


def _noted_head(text: str) -> str:
    head = text.strip().lower()
    if not _HEAD.fullmatch(head):
        raise UsageError(
            f"--head {untrusted(text)}: a head is 64 hex digits, as a run's summary and `audit verify` say"
        )
    return head


def _report_json(report: AuditReport) -> dict[str, Any]:
    return {
        "audit": 1,
        "intact": report.intact,
        "findings": [str(finding) for finding in report.findings],
        "files": [
            {"run": file.run_id, "records": file.records, "status": file.status.value, "head": file.head}
            for file in report.files
        ],
        "heads": [{"head": head.head, "run": head.run, "record": head.seq} for head in report.proved],
    }


def _report_lines(report: AuditReport) -> Iterator[str]:
    yield from (str(finding) for finding in report.findings)
    yield from (f"{file.run_id}: {file.status.value}" for file in report.files if file.status.value != "ended")
    yield from (f"head {head.head} is record {head.seq} of run {untrusted(head.run)}" for head in report.proved)
    if not report.files and report.intact:
        yield "there is no evidence here yet"
        return
    records = sum(file.records for file in report.files)
    word = "whole" if report.intact else "NOT whole"
    yield f"audit log {word}: {counted(len(report.files), 'file')}, {counted(records, 'record')}"


def _known_runs(state: StateDirectory) -> frozenset[str]:
    """Return the runs that the ledger knows, from a copy; none when there is no ledger."""
    if not state.has_ledger():
        return frozenset()
    with copied_ledger(state) as ledger:
        return ledger.run_ids()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditAsked:
    """
    Which records to show; where nothing is named, all of them.

    Of several names any will do. An actor is a part of a name, in any case; a time
    is ISO 8601 (UTC unless it has a zone) or how long ago, such as 2h or 7d.
    """

    hosts: Sequence[str] = ()
    rules: Sequence[str] = ()
    actors: Sequence[str] = ()
    runs: Sequence[str] = ()
    since: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A record, or the bytes of a line that is none and why; `order` is its time, later than all before it."""

    order: str
    file: str
    number: int
    record: Mapping[str, Any] | None = None
    why: str = ""
    raw: bytes = b""


def run_audit_show(options: Options, asked: AuditAsked) -> int:
    """
    Show records in the order of their times; check nothing, and hide no damaged line.

    Raises:
        UsageError: a time that is none.
        NothingNamed: the log knows nothing of a name that was given.
    """
    since = _since_text(asked.since, utc_now()) if asked.since is not None else ""
    state, talk = _opened(options)
    reading = _Reading(asked, since)
    shown = sorted(reading.read(state.audit), key=lambda each: (each.order, each.file, each.number))
    damaged = [each for each in shown if each.record is None]
    if not damaged:
        reading.refuse_unknown()
    talk.say("not verified; remedy audit verify checks")
    if talk.as_json:
        talk.result_json(_shown_json(shown, damaged))
    else:
        lines = (_shown_line(each) for each in shown)
        while batch := list(islice(lines, _LINES_AT_ONCE)):
            talk.result([Text("\n").join(batch)])
    if damaged:
        talk.say(f"{counted(len(damaged), 'damaged line')} shown, whatever was asked for")
        reading.refuse_unknown()
    elif not shown:
        talk.say("no record is like that")
    return int(ExitCode.DONE)


def _since_text(text: str, now: datetime) -> str:
    try:
        return utc_text(now - timedelta(seconds=parse_duration(text)))
    except ValueError as no_duration:
        try:
            time = datetime.fromisoformat(text)
            return utc_text(time if time.tzinfo else time.replace(tzinfo=UTC))
        except (ValueError, OverflowError):
            cure = "write a time such as 2026-11-22T08:00Z, or how long ago, such as 2h or 7d"
            raise UsageError(f"--since {untrusted(text)}: {cure}") from no_duration


def _shown_line(shown: _Shown) -> Text:
    if shown.record is None:
        return damaged_text(shown.file, shown.number, shown.why, shown.raw)
    return record_text(shown.record)


def _shown_json(shown: Sequence[_Shown], damaged: Sequence[_Shown]) -> dict[str, Any]:
    return {
        "audit_records": 1,
        "records": [each.record for each in shown if each.record is not None],
        "damaged": [
            {"file": each.file, "line": each.number, "why": each.why, "text": untrusted(each.raw)} for each in damaged
        ],
    }


@dataclass(slots=True, kw_only=True)
class _Names:
    """The names of one kind that were asked for, which of them the log has, and what others it has."""

    what: str
    asked: frozenset[str]
    missing: set[str]
    others: set[str] = field(default_factory=set)

    def see(self, name: Any) -> bool:
        """Take note of a name in the log; say whether it was asked for (anything is, when nothing was)."""
        if not self.asked:
            return True
        if not isinstance(name, str):
            return False
        self.missing.discard(name)
        if len(self.others) < _NAMES_KEPT_MAX:
            self.others.add(name)
        return name in self.asked

    def see_part(self, names: Sequence[str]) -> bool:
        """Do the same with names of which a part, in any case, was asked for."""
        found = [part for part in self.asked if any(part.casefold() in name.casefold() for name in names)]
        self.missing.difference_update(found)
        if self.asked and len(self.others) < _NAMES_KEPT_MAX:
            self.others.update(names)
        return bool(found) or not self.asked


def _names(what: str, asked: Sequence[str]) -> _Names:
    return _Names(what=what, asked=frozenset(asked), missing=set(asked))


class _Reading:
    """The records that were asked for, read file by file; only what is shown is kept."""

    def __init__(self, asked: AuditAsked, since: str) -> None:
        self._since = since
        self._hosts = _names("host", asked.hosts)
        self._rules = _names("rule", asked.rules)
        self._actors = _names("actor", asked.actors)
        self._runs = _names("run", asked.runs)

    def read(self, directory: Path) -> Iterator[_Shown]:
        """Yield what is to be shown, each file's in its order."""
        left_out = []
        for path in sorted(directory.glob("*.jsonl")):
            if self._runs.see(path.stem):
                yield from self._read_file(path)
            else:
                left_out.append(path)
        for path in left_out:
            # Only for the names: those that another run has are no mistakes.
            if not (self._hosts.missing or self._rules.missing or self._actors.missing):
                return
            for _shown in self._read_file(path):
                pass

    def refuse_unknown(self) -> None:
        """
        Refuse names that nothing in the log has.

        Raises:
            NothingNamed: with the nearest ones that it has.
        """
        for names in (self._runs, self._actors, self._rules, self._hosts):
            for name in sorted(names.missing):
                near = nearest(name, names.others)
                cure = f"; {', '.join(near)}?" if near else ""
                raise NothingNamed(f"the audit log has no {names.what} {untrusted(name)}{untrusted(cure)}")

    def _read_file(self, path: Path) -> Iterator[_Shown]:
        order, number, is_actors = "", 0, not self._actors.asked
        try:
            # O_NONBLOCK: a pipe of that name must not hang the command.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                lines = Lines(file)
                for number, line in enumerate(lines, 1):
                    try:
                        record = _parsed(line)
                    except ValueError as exc:
                        yield _Shown(order=order, file=path.name, number=number, why=str(exc), raw=line)
                        continue
                    order = max(order, record["ts"])
                    if number == 1:
                        is_actors = self._actors.see_part(actor_names(record["data"].get("actor", "")))
                    if self._is_asked(record) and is_actors:
                        yield _Shown(order=order, file=path.name, number=number, record=record)
                if lines.tail_bytes:
                    why = f"{counted(lines.tail_bytes, 'byte')} without an end: being written, or cut by a crash"
                    yield _Shown(order=order, file=path.name, number=number + 1, why=why)
        except OSError as exc:
            yield _Shown(order=order, file=path.name, number=0, why=f"it cannot be read: {exc.strerror}")

    def _is_asked(self, record: Mapping[str, Any]) -> bool:
        data = record["data"]
        of_host = self._hosts.see(data.get("host"))
        of_rule = self._rules.see(data.get("rule"))
        return of_host and of_rule and record["ts"] >= self._since


def _parsed(line: bytes) -> dict[str, Any]:
    """
    Return a record as far as it must be one to be shown.

    Raises:
        ValueError: it is none.
    """
    record = parse_object(line)
    if not isinstance(record.get("data"), dict) or not isinstance(record.get("ts"), str):
        raise ValueError("the line has not the fields of a record")
    return record
