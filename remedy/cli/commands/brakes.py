"""`remedy stop`, `start` and `release`: what a person holds, and lets go; each leaves evidence."""

from remedy.cli.caller import caller_now, utc_now
from remedy.cli.composition import Options, state_of
from remedy.cli.console import Talk
from remedy.cli.ledgers import copied_ledger, refuse_no_ledger
from remedy.cli.recorded import recorded_action
from remedy.errors import NothingNamed, StateError, UsageError
from remedy.state.audit_format import AuditType
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger

__all__ = ["run_release", "run_start", "run_stop"]


def _state(options: Options) -> StateDirectory:
    return state_of(options, caller_now())[0]


def _needs_reason(reason: str) -> None:
    if not reason.strip():
        raise UsageError("a reason is needed; it is what the next person reads")


def run_stop(options: Options, reason: str) -> int:
    """Stop everything; works although ledger or audit log are broken, and says so."""
    _needs_reason(reason)
    caller, talk = caller_now(), Talk(as_json=False)
    state, named_by = state_of(options, caller)
    talk.say(f"state {state.path} ({named_by})")
    before, is_used = state.stop_reason(), state.exists()
    state.write_stop(reason, caller.actor, utc_now())
    talk.result([f"stopped ({reason}): {state.stop} exists; `remedy start` lifts it"])
    if before:
        talk.say(f"it was stopped already: {before}")
    if not is_used:
        talk.say(f"WARNING: nothing had used {state.path} yet; only runs that use this state directory are stopped")
    try:
        state.prepare()
        with recorded_action(state, caller) as audit:
            audit.append(AuditType.STOP_SET, {"actor": caller.actor, "reason": reason}, sync=True)
    except StateError as exc:
        talk.say(f"the stop holds, but it is not in the audit log: {exc}")
    return 0


def run_start(options: Options) -> int:
    """Lift a stop; what stopped it stands in the audit log."""
    caller, talk = caller_now(), Talk(as_json=False)
    state, named_by = state_of(options, caller)
    talk.say(f"state {state.path} ({named_by})")
    reason = state.stop_reason()
    if not reason:
        talk.result([f"nothing is stopped in {state.path}"])
        return 0
    state.prepare()
    with recorded_action(state, caller) as audit:
        audit.append(AuditType.STOP_CLEARED, {"actor": caller.actor, "reason": reason}, sync=True)
        state.clear_stop()
    talk.result([f"started: {state.stop} is gone (it said: {reason})"])
    return 0


def run_release(options: Options, rule: str, reason: str) -> int:
    """
    End a quarantine (with a host) or close a breaker (without).

    Raises:
        NothingNamed: there is nothing to release.
    """
    _needs_reason(reason)
    state, caller, talk = _state(options), caller_now(), Talk(as_json=False)
    refuse_no_ledger(state)
    state.prepare()
    ledger = Ledger.open(state.ledger)
    try:
        _refuse_nothing(state, ledger, rule, options.limit)
        with recorded_action(state, caller) as audit:
            kind = AuditType.BREAKER_CLOSED if options.limit is None else AuditType.QUARANTINE_RELEASED
            facts = {"actor": caller.actor, "rule": rule, "host": options.limit, "reason": reason}
            audit.append(kind, facts, sync=True)
            ledger.release(rule, options.limit, utc_now(), reason, caller.actor)
    finally:
        ledger.close()
    talk.result([f"released: {rule}{f' on {options.limit}' if options.limit is not None else ''}"])
    return 0


def _refuse_nothing(state: StateDirectory, ledger: Ledger, rule: str, host: str | None) -> None:
    """Refuse a release of nothing, before the audit log says that there was one."""
    breakers = ledger.breakers()
    if host is None and rule in breakers:
        return
    if host is not None and _has_attempts(state, rule, host):
        return
    where = f" on {host}" if host is not None else ""
    what = "no ended attempts to forget" if host is not None else "no open breaker"
    there = f"open breakers: {', '.join(breakers)}" if breakers else "no breaker is open"
    raise NothingNamed(f"{rule}{where} has {what} in {state.path}; {there}; nothing was done")


def _has_attempts(state: StateDirectory, rule: str, host: str) -> bool:
    """Say whether a release would forget any attempts, by doing it in a copy of the ledger."""
    with copied_ledger(state) as copy:
        return copy.release(rule, host, utc_now(), "tried in a copy", "nobody") > 0
