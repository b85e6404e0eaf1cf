"""What `why` explains of a host that was read: each rule with what is in the way of its matches."""

from collections.abc import Iterable, Mapping

from remedy.cli.composition import Loaded
from remedy.cli.proposing import ledger_copy
from remedy.cli.surroundings import Brakes, brakes_now, frozen_now, rule_plan_of, surroundings_of
from remedy.holds import Held
from remedy.model import Finding, Host, Key, Mode, Reading, Rule, Scope
from remedy.next_run import way_ahead
from remedy.plan import HeldFinding, RulePlan
from remedy.render.why import ExplainedRule, ParamOrigin, RowsWay
from remedy.run.collect import Collection
from remedy.run.scopes import choose_scopes
from remedy.state.readings_store import StoredHosts, stored_hosts
from remedy.verdicts import Judgement, by_host, changed_signals, needed_signals, only_fresh

__all__ = ["explain_host", "fresh_readings"]


def fresh_readings(loaded: Loaded, collection: Collection, host: str) -> Mapping[str, Reading]:
    """Return the readings of a host by signal, as they were judged."""
    fresh = only_fresh(collection.readings, loaded.repository.signals, now=collection.collected_at)
    return by_host(fresh).get(host, {})


def explain_host(
    loaded: Loaded,
    host: Host,
    collection: Collection,
    judgements: Iterable[Judgement],
    *,
    held: Iterable[HeldFinding],
    origins: Mapping[str, Mapping[str, ParamOrigin]],
) -> tuple[ExplainedRule, ...]:
    """
    Return every selected rule with its judgement of the host, and what is in the way of each match.

    `held` is what the plan holds back; `origins` say where the rules' parameters are from.

    Raises:
        StateError: ledger or stored readings are there and cannot be read.
    """
    of_host = {judgement.rule: judgement for judgement in judgements if judgement.host == host.name}
    findings = [finding for judgement in of_host.values() for finding in judgement.findings]
    holds = {(item.finding.rule, item.finding.key): item.held for item in held}
    explaining = _Explaining(loaded, host, collection, findings)
    explained = []
    for scope in loaded.selection.scopes:
        judgement = of_host[scope.rule.name]
        fleet = explaining.fleet(scope.rule) if judgement.findings and scope.rule.mode is Mode.FIX else None
        ways: dict[Key, RowsWay] = {}
        for finding in judgement.findings:
            hold = holds.get((finding.rule, finding.key))
            ways[finding.key] = explaining.way(scope, finding, rows=len(judgement.findings), hold=hold, fleet=fleet)
        explained.append(
            ExplainedRule(
                rule=scope.rule,
                signal=loaded.repository.signals[scope.rule.signal],
                judgement=judgement,
                origins=origins.get(scope.rule.name, {}),
                ways=ways,
                fleet=fleet,
            )
        )
    return tuple(explained)


class _Explaining:
    """What is known around the findings of one host, read once."""

    def __init__(self, loaded: Loaded, host: Host, collection: Collection, findings: Iterable[Finding]) -> None:
        self._loaded = loaded
        self._host = host
        self._now = collection.collected_at
        self._collection = collection
        self._readings = fresh_readings(loaded, collection, host.name)
        self._stored: StoredHosts | None = None
        self._was_read = False
        self._brakes = self._brakes_of(findings)

    def _brakes_of(self, findings: Iterable[Finding]) -> Brakes:
        loaded = self._loaded
        with ledger_copy(loaded) as ledger:
            return brakes_now(
                loaded.state,
                ledger,
                findings,
                host=self._host.name,
                rules=[scope.rule.name for scope in loaded.selection.scopes],
                precautions=loaded.precautions,
                frozen=frozen_now(loaded.freezes),
                now=self._now,
            )

    def way(self, scope: Scope, finding: Finding, *, rows: int, hold: Held | None, fleet: RulePlan | None) -> RowsWay:
        """Return what is in the way of a match, and when it could next run."""
        fuse = f"{fleet.fuse} (by the readings that are fresh)" if fleet is not None and fleet.fuse else ""
        around = surroundings_of(
            scope,
            finding,
            brakes=self._brakes,
            precautions=self._loaded.precautions,
            rows=rows,
            readings=self._readings,
            fuse=fuse,
        )
        obstacles, ahead = way_ahead(scope, self._host, finding, around=around, now=self._now)
        return RowsWay(held=hold, in_the_way=obstacles, next_run=ahead)

    def fleet(self, rule: Rule) -> RulePlan:
        """Return what a plan of a rule over all its hosts would count: this host as it is now, the others as stored."""
        loaded = self._loaded
        (scope,) = choose_scopes([rule], loaded.inventory, limit=None).scopes
        return rule_plan_of(
            scope,
            (*self._stored_others(rule), *self._collection.readings),
            signals=loaded.repository.signals,
            brakes=self._brakes,
            precautions=loaded.precautions,
            now=self._now,
        )

    def _stored_others(self, rule: Rule) -> tuple[Reading, ...]:
        """Return what is stored of the other hosts, in the signals that a rule needs."""
        if not self._was_read:
            self._stored, self._was_read = stored_hosts(self._loaded.state.readings), True
        if self._stored is None:
            return ()
        known = self._loaded.repository.signals
        signals = {name: known[name] for name in needed_signals([rule])}
        names = (set(self._loaded.inventory.hosts) & self._stored.names) - {self._host.name}
        kept = self._stored.of(names, signals)
        return tuple(changed_signals((*kept.said, *kept.tried), kept.digests, signals))
