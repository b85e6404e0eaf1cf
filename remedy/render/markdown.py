"""A dry run as the comment on a pull request: short, bounded, and nothing when there is nothing to tell."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from remedy.model import Execution, key_text
from remedy.plan import HeldFinding, RulePlan
from remedy.readings import time_text
from remedy.render.dry_run import DryRun, NotJudged
from remedy.render.markdown_text import MARKER, code, prose
from remedy.render.words import held_text, merged, row_text
from remedy.text import counted, duration_text

__all__ = ["COMMENT_BYTES_MAX", "comment"]

COMMENT_BYTES_MAX = 60_000
"""GitHub takes 65,536 characters; in bytes it also fits where a line of the environment may have 128 KiB."""

_CUTS = ((None, None), (200, None), (50, None), (20, None), (10, 500), (5, 100), (2, 50), (0, 20), (0, 5), (0, 1))
"""How many hosts of a list, and then how many rules, holds and reasons are shown, until all of it fits."""

_ROWS_SHOWN = 3

_Part = TypeVar("_Part")


@dataclass(frozen=True, slots=True)
class _Cut:
    """How many hosts of a list and how many parts are shown; None is all."""

    hosts: int | None
    parts: int | None


def comment(dry: DryRun, *, bytes_max: int = COMMENT_BYTES_MAX) -> str:
    """
    Return the comment, '' when there is nothing to tell.

    What does not fit is left out by whole hosts, then by whole rules and reasons,
    and counted where it is left out.
    """
    if dry.is_nothing:
        return ""
    text = ""
    for hosts, parts in _CUTS:
        text = "\n".join(_lines(dry, _Cut(hosts, parts))) + "\n"
        if len(text.encode("utf-8")) <= bytes_max:
            break
    return text


def _lines(dry: DryRun, cut: _Cut) -> Iterator[str]:
    yield MARKER
    yield f"### remedy: {_headline(dry)}"
    yield ""
    yield from (f"{said}  " for said in _circumstances(dry))
    rules = [each for each in dry.plan.rules if each.executions or each.fuse]
    yield from _some(rules, cut, "rule", lambda each: _rule(each, cut))
    if dry.plan.held:
        yield from ("", "#### Held back")
        yield from _some(_held(dry.plan.held), cut, "hold", lambda each: _folded(*each, cut=cut))
    if dry.not_judged:
        yield from ("", "#### Not judged")
        yield from _some(dry.not_judged, cut, "reason", lambda each: _not_judged(each, cut))
    yield from ("", prose(dry.summary.coverage.sentence()))


def _headline(dry: DryRun) -> str:
    count = dry.summary.pending
    if not count:
        return "nothing would be started"
    hosts = {execution.host for each in dry.plan.rules if not each.fuse for execution in each.executions}
    fixes = "1 fix" if count == 1 else f"{count} fixes"
    return f"{fixes} on {counted(len(hosts), 'host')} would be started"


def _circumstances(dry: DryRun) -> Iterator[str]:
    if dry.as_of is not None:
        yield f"Judged by readings of {code(time_text(dry.as_of.replace(microsecond=0)))}; nobody was contacted."
    if dry.since:
        yield prose(f"{dry.since[0].upper()}{dry.since[1:]}", characters_max=1_000)
    if dry.no_ledger:
        yield "Cooldowns, attempts and budgets are not considered: there is no ledger here."
    if dry.summary.stopped:
        yield f"**Stopped:** {prose(dry.summary.stopped)}"
    if dry.summary.interrupted:
        yield "**Interrupted:** not every host was read."


def _some(parts: Sequence[_Part], cut: _Cut, noun: str, lines_of: Callable[[_Part], Iterator[str]]) -> Iterator[str]:
    shown = parts if cut.parts is None else parts[: cut.parts]
    for part in shown:
        yield from lines_of(part)
    left = len(parts) - len(shown)
    if left:
        yield from ("", f"… and {counted(left, f'more {noun}')}")


def _rule(rule_plan: RulePlan, cut: _Cut) -> Iterator[str]:
    rule, spec = rule_plan.rule, rule_plan.spec
    fixes = len(rule_plan.executions)
    yield ""
    yield f"**{code(rule.name)}** {prose(rule.title)} (risk {rule.risk.value})  "
    if rule_plan.fuse:
        yield f"**Blocked by the fuse:** {prose(rule_plan.fuse)}  "
    elif rule_plan.budget_left is not None and rule_plan.budget_left < len(spec.order):
        yield f"**Budget:** room for {counted(rule_plan.budget_left, 'more host')}  "
    waves = "+".join(str(len(wave)) for wave in rule_plan.waves) or "none"
    yield (
        f"{'1 fix' if fixes == 1 else f'{fixes} fixes'} on {counted(len(spec.order), 'host')}; waves {waves}; "
        f"soak {duration_text(spec.soak_s)}; halts at more than {spec.max_bad} bad or {spec.max_unreachable} "
        f"unreachable; worst case {counted(rule_plan.worst_case, 'bad host')}  "
    )
    for script in dict.fromkeys(_script(each) for each in rule_plan.executions):
        yield f"{script}  "
    by_host = rule_plan.by_host()
    for number, wave in enumerate(rule_plan.waves, start=1):
        hosts = [(name, _rows(by_host.get(name, ()))) for name in wave]
        yield from _details(f"wave {number}: {counted(len(wave), 'host')}", hosts, cut)


def _script(execution: Execution) -> str:
    root = " as root" if execution.become_root else ""
    return f"{code(f'{execution.script}@{execution.script_sha256[:12]}')}{root}"


def _rows(executions: Sequence[Execution]) -> str:
    rows = [
        f"{key_text(each.key)}  {row_text(each.row, without=each.key)}".strip() for each in executions[:_ROWS_SHOWN]
    ]
    more = len(executions) - len(rows)
    shown = " ".join(code(row) for row in rows if row)
    return f"{shown} and {counted(more, 'more row')}" if more else shown


def _held(held: Sequence[HeldFinding]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return each hold, rule and reason as a line, with the hosts that it is about."""
    pairs = []
    for item in held:
        about = f"{item.held.hold.value}\0{item.finding.rule}\0{held_text(item.held)}"
        pairs.append((f"{item.finding.host}\0{key_text(item.finding.key)}", about))
    found = []
    for about, hosts in merged(pairs):
        hold, rule, why = about.split("\0")
        keys: dict[str, list[str]] = {}
        for host in hosts:
            name, _, key = host.partition("\0")
            keys.setdefault(name, []).append(key)
        listed = [(name, " ".join(code(key) for key in some if key)) for name, some in keys.items()]
        found.append((f"{code(hold)} {code(rule)}: {prose(why)}", listed))
    return found


def _folded(said: str, hosts: Sequence[tuple[str, str]], *, cut: _Cut) -> Iterator[str]:
    yield ""
    yield f"{said}"
    yield from _details(counted(len(hosts), "host"), hosts, cut)


def _not_judged(each: NotJudged, cut: _Cut) -> Iterator[str]:
    which = f"{code(each.rule)}: " if each.rule else "every rule: "
    yield from _folded(f"{which}{prose(each.reason)}", [(name, "") for name in each.hosts], cut=cut)


def _details(summary: str, hosts: Sequence[tuple[str, str]], cut: _Cut) -> Iterator[str]:
    """Yield hosts, folded; `summary` is of our own words alone, for it stands in HTML."""
    yield from (f"<details><summary>{summary}</summary>", "")
    shown = hosts if cut.hosts is None else hosts[: cut.hosts]
    yield from (f"- {code(name)}{f': {said}' if said else ''}" for name, said in shown)
    left = len(hosts) - len(shown)
    if left:
        yield f"- … and {counted(left, 'more host')}"
    yield from ("", "</details>")
