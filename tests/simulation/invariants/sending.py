"""What is sent: what was reviewed, recorded first, matched just before, to a host that may have it."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from tests.simulation.history import History

__all__ = [
    "intent_is_durable_first",
    "one_disruptive_fix_per_host_and_run",
    "one_fix_at_a_time_on_a_host",
    "only_what_was_reviewed",
    "protected_hosts_are_left_alone",
    "sent_only_on_a_fresh_match",
]


def only_what_was_reviewed(history: History) -> Iterator[str]:
    """What is sent is in the run's reviewed plan: execution, host and where it leads, row, the script's bytes."""
    for sent in history.world.sent:
        planned = history.world.planned.get(sent.execution_id)
        plan = sent.run.plan
        if planned is None or plan is None or sent.execution_id not in sent.run.planned_ids:
            yield f"{sent.execution_id} on {sent.host} is not in the plan of run {sent.run.id}"
            continue
        if (planned.host, planned.script_sha256, dict(planned.key)["name"]) != (sent.host, sent.sha256, sent.row):
            yield f"{sent.execution_id} is planned for {planned.host}, and was sent to {sent.host} otherwise"
        if plan.endpoints.get(sent.host, sent.address) != sent.address:
            yield f"{sent.execution_id} is planned for {plan.endpoints[sent.host]}, and was sent to {sent.address}"


def intent_is_durable_first(history: History) -> Iterator[str]:
    """When a fix is handed to a runner its intent would survive a power cut, in the audit log and in the ledger."""
    for sent in history.world.sent:
        if not sent.in_audit:
            yield f"{sent.execution_id} was sent before its intent was durable in the audit log"
        if not sent.in_ledger:
            yield f"{sent.execution_id} was sent before its intent was durable in the ledger"


def one_fix_at_a_time_on_a_host(history: History) -> Iterator[str]:
    """No host works on two fixes at once; and from one store none is sent to a host that works for another run."""
    for host, starts in history.starts_by_host.items():
        for first, second in pairwise(starts):
            if first.ended_at is None or second.at < first.ended_at:
                yield f"{host} started {second.execution_id} while {first.execution_id} was running"
    for sent in history.world.sent:
        if sent.arrived != "host_busy":
            continue
        for start in history.starts_by_host[sent.host]:
            was_running = start.at <= sent.at and (start.ended_at is None or sent.at < start.ended_at)
            if not was_running or start.run.machine is not sent.run.machine:
                continue
            end = history.end_of(start)
            # Of one that was recorded as lost or so, nobody knows that it is still running.
            if end is None or end.at >= sent.at:
                yield f"{sent.execution_id} was sent to {sent.host} while {start.execution_id} was running there"


def sent_only_on_a_fresh_match(history: History) -> Iterator[str]:
    """What is sent mends a row that the same session has just read, and the collector printed it as in trouble."""
    for sent in history.world.sent:
        if not sent.read_match:
            yield f"{sent.execution_id} was sent to {sent.host}, and its re-check printed no trouble"
        if not 0 <= sent.read_age_s <= 900:
            yield f"{sent.execution_id} was sent to {sent.host} {sent.read_age_s:.0f}s after its re-check"


def protected_hosts_are_left_alone(history: History) -> Iterator[str]:
    """A protected host gets a permit only when it was named, and after all others of its rollout had theirs."""
    names = list(history.world.hosts)
    for run, permit in history.permits:
        planned = history.world.planned[permit.execution_id]
        if planned.host in history.protected and planned.host not in {names[number] for number in run.order.hosts}:
            yield f"{run.id} permitted {permit.execution_id} on {planned.host}, which is protected and was not named"


def one_disruptive_fix_per_host_and_run(history: History) -> Iterator[str]:
    """A run sends at most one disruptive fix to a host."""
    sent: dict[tuple[str, str], int] = defaultdict(int)
    for each in history.world.sent:
        if history.rule_of(each.execution_id) and history.options_of(each.execution_id).risk != "safe":
            sent[each.run.id, each.host] += 1
    for (run_id, host), number in sent.items():
        if number > 1:
            yield f"{run_id} sent {number} disruptive fixes to {host}"
