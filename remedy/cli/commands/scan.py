"""`remedy scan`: judge hosts, change nothing."""

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from remedy.cli.caller import caller_now, utc_now
from remedy.cli.composition import Loaded, Options, load, make_runners, parse_max_unseen, secrets_of
from remedy.cli.console import Talk
from remedy.cli.readings_kept import keep_readings
from remedy.cli.stopping import NOTHING_CHANGED, Stopping, stopping
from remedy.errors import StateError, UsageError
from remedy.model import Reading
from remedy.readings import dump_readings
from remedy.render.scan import coverage_text, scan_json, scan_text
from remedy.run.collect import Collection, Runners, collect
from remedy.summary import HostEnd, HostEnding, Summary, coverage, exit_code
from remedy.text import counted, untrusted
from remedy.verdicts import Judgement, by_host, judge, only_fresh

__all__ = ["collect_now", "judge_all", "run_scan"]


def collect_now(
    loaded: Loaded,
    runners: Runners,
    talk: Talk,
    stop: Stopping,
    *,
    tell: Callable[[HostEnd], None] | None = None,
) -> Collection:
    """
    Collect from every selected host, showing how far it is, and what was odd in files the runners read.

    `tell` is told of each host's end as it comes, instead of a line on standard error.
    """
    total = len(loaded.selection.hosts)
    seen = 0

    def on_end(end: HostEnd) -> None:
        nonlocal seen
        seen += 1
        if tell is not None:
            tell(end)
        elif end.ending is not HostEnding.COLLECTED and talk.as_json:
            talk.say(f"{end.host}: {end.ending.value}: {end.reason}")
        talk.progress(f"collecting: {seen} of {counted(total, 'host')}")

    collection = collect(
        loaded.selection.scopes,
        loaded.repository.signals,
        runners,
        clock=utc_now,
        on_end=on_end,
        asked_to_stop=stop.asked,
    )
    for warning in (warning for runner in runners.values() for warning in runner.warnings):
        talk.say(f"warning: {untrusted(warning)}")
    return collection


def judge_all(loaded: Loaded, readings: Sequence[Reading], *, now: datetime) -> tuple[Judgement, ...]:
    """Return the judgement of every rule on every selected host."""
    fresh = by_host(only_fresh(readings, loaded.repository.signals, now=now))
    return tuple(judge(loaded.selection.scopes, fresh, loaded.repository.signals))


def run_scan(options: Options, *, save: str | None, max_unseen: str) -> int:
    """Scan and return the exit code."""
    limit = parse_max_unseen(max_unseen)
    if save is not None:
        _check_can_save(save)
    talk = Talk(as_json=options.output == "json")
    caller = caller_now()
    loaded = load(options, caller, talk, guess=True)
    talk.say(*loaded.header)
    runners = make_runners(options, caller, loaded.inventory, secrets=secrets_of(loaded, caller))
    with stopping(ended=NOTHING_CHANGED) as stop:
        collection = collect_now(loaded, runners, talk, stop)
    judgements = judge_all(loaded, collection.readings, now=collection.collected_at)
    seen = coverage(collection.host_ends, judgements)
    summary = Summary(coverage=seen, host_ends=collection.host_ends, interrupted=collection.interrupted)
    if talk.as_json:
        talk.result_json(
            scan_json(
                judgements,
                seen,
                collection.host_ends,
                collected_at=collection.collected_at,
                readings=collection.readings,
            )
        )
    else:
        rules = [scope.rule for scope in loaded.selection.scopes]
        found = by_host(collection.readings)
        named = loaded.selection.named
        talk.result(scan_text(rules, judgements, found, signals=loaded.repository.signals, named=named))
        talk.result(coverage_text(seen, collection.host_ends))
    if save is not None:
        _save(Path(save), loaded, collection, talk)
    keep_readings(loaded, collection, talk)
    return int(exit_code(summary, max_unseen=limit, detailed=False))


def _check_can_save(save: str) -> None:
    """Refuse, before anybody is read, a place where nothing can be kept."""
    folder = Path(save).parent
    if not save.strip() or save == "-" or Path(save).is_dir():
        raise UsageError(f"--save {save!r}: name a file; nobody was contacted")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--save {save}: {folder} cannot be written; nobody was contacted")


def _save(path: Path, loaded: Loaded, collection: Collection, talk: Talk) -> None:
    digests = {name: signal.digest for name, signal in loaded.repository.signals.items()}
    lines = dump_readings(collection.readings, collected_at=collection.collected_at, digests=digests)
    try:
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as exc:
        raise StateError(f"--save {path}: {exc.strerror}") from exc
    talk.say(f"readings saved in {path}")
