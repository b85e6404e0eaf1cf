"""
What a rule says of the hosts of a case: its verdicts, holds, waves, and the rows that would prove a fix. Pure.

Nothing is decided here. The pattern, the verdicts, the plan and the proof of a fix
come from what `scan` and `apply` ask.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from remedy.load.cases import Case
from remedy.load.inventory import Inventory
from remedy.load.inventory.patterns import select
from remedy.model import Hold, Host, Key, Reading, ReadingStatus, Rule, Scope, Signal, VerifyUntil
from remedy.outcomes import FreshRow, is_proved
from remedy.plan import NO_HISTORY
from remedy.planning import build_plan
from remedy.readings import row_key
from remedy.verdicts import Judgement, ReadingsByHost, by_host, judge, only_fresh, other_rows

__all__ = ["Judged", "judge_case"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """
    What the rule says: a judgement of each selected host, and what the case asks for beyond that.

    `readings` are those that were judged: stale ones are failed. `held` has the held
    rows of each host, `waves` the hosts of each wave (none when the fuse holds all
    back, and then `fuse` says why), `fixed` the rows that would prove a fix.
    """

    rule: Rule
    signal: Signal
    hosts: Mapping[str, Host]
    readings: ReadingsByHost
    judgements: Mapping[str, Judgement]
    held: Mapping[str, Mapping[Key, Hold]]
    waves: tuple[frozenset[str], ...]
    fuse: str
    fixed: Mapping[str, frozenset[Key]]


def judge_case(case: Case, rule: Rule, signals: Mapping[str, Signal]) -> Judged:
    """Return what the rule says of a case at the case's clock, without a history and without a remedy.yaml."""
    if case.mode is not None and case.mode is not rule.mode:
        rule = replace(rule, mode=case.mode)
    scope = _scope(case, rule)
    readings = by_host(only_fresh(case.readings, signals, now=case.now))
    judgements = tuple(judge([scope], readings, signals))
    held: dict[str, dict[Key, Hold]] = {}
    waves: tuple[frozenset[str], ...] = ()
    fuse = ""
    if case.held is not None or case.waves is not None:
        plan = build_plan(
            [scope],
            judgements,
            readings,
            history=NO_HISTORY,
            endpoints={},
            accept_matched=None,
            created_at=case.now,
        )
        for item in plan.held:
            held.setdefault(item.finding.host, {})[item.finding.key] = item.held.hold
        [rule_plan] = plan.rules
        fuse = rule_plan.fuse
        waves = () if fuse else tuple(frozenset(wave) for wave in rule_plan.waves)
    signal = signals[rule.signal]
    return Judged(
        rule=rule,
        signal=signal,
        hosts={host.name: host for host in case.hosts},
        readings=readings,
        judgements={judgement.host: judgement for judgement in judgements},
        held=held,
        waves=waves,
        fuse=fuse,
        fixed=_fixed(scope, signal, readings) if case.fixed is not None else {},
    )


def _scope(case: Case, rule: Rule) -> Scope:
    """Return the hosts of a case that the rule's pattern selects; terms that name none of them are none."""
    groups: dict[str, set[str]] = {"all": set(), "ungrouped": set()}
    for host in case.hosts:
        for group in ("all", *(host.groups or ("ungrouped",))):
            groups.setdefault(group, set()).add(host.name)
    inventory = Inventory(
        hosts={host.name: host for host in case.hosts},
        groups={name: tuple(sorted(names)) for name, names in groups.items()},
        source="case",
    )
    selected = frozenset(select(rule.hosts, inventory, what="hosts", must_exist=False))
    exempt = tuple(
        frozenset(select(exemption.hosts, inventory, what="exempt", must_exist=False)) for exemption in rule.exempt
    )
    return Scope(rule=rule, hosts=tuple(host for host in case.hosts if host.name in selected), exempt_names=exempt)


def _fixed(scope: Scope, signal: Signal, readings: ReadingsByHost) -> dict[str, frozenset[Key]]:
    """Return the rows of each host that would prove a fix, were they what a fresh reading says after it."""
    rule = scope.rule
    verify = rule.verify
    if not isinstance(verify, VerifyUntil):
        return {}
    names = tuple(sorted({*rule.when.other_signals, *verify.until.other_signals}))
    fixed: dict[str, frozenset[Key]] = {}
    for host in scope.hosts:
        of_host: Mapping[str, Reading] = readings.get(host.name, {})
        reading = of_host.get(signal.name)
        if reading is None or reading.status is not ReadingStatus.OK:
            continue
        params, others = rule.params_for(host), other_rows(names, of_host)
        when, until = rule.when.bind(params), verify.until.bind(params)
        fixed[host.name] = frozenset(
            row_key(signal, row)
            for row in reading.rows
            if is_proved(FreshRow(present=True, when=when(row, others), until=until(row, others)), rows=signal.rows)
        )
    return {host: rows for host, rows in fixed.items() if rows}
