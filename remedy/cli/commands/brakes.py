"""`remedy stop`, `start` and `release`: what a person holds, and lets go; each leaves evidence."""

from collections.abc import Iterator
from contextlib import contextmanager
from platform import node

from remedy import __version__
from remedy.cli.caller import caller_now, new_run_id, utc_now
from remedy.cli.composition import Options, state_of
from remedy.cli.console import Talk
from remedy.errors import NothingNamed, StateError, UsageError
from remedy.state.audit import AuditLog
from remedy.state.audit_format import AuditType
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger

__all__ = ["run_release", "run_start", "run_stop"]


def _state(options: Options) -> StateDirectory:
    return state_of(options, caller_now())[0]


@contextmanager
def _recorded(state: StateDirectory) -> Iterator[AuditLog]:
    """Yield an audit file of its own for one action of a person."""
    caller = caller_now()
    audit = AuditLog.create(state.audit, new_run_id(utc_now()), utc_now)
    try:
        facts = {"actor": caller.actor, "command": caller.command, "version": __version__, "controller": node()}
        audit.append(AuditType.RUN_STARTED, facts)
        yield audit
        audit.append(AuditType.RUN_ENDED, {"exit_code": 0}, sync=True)
    finally:
        audit.close()


def _needs_reason(reason: str) -> None:
    if not reason.strip():
        raise UsageError("a reason is needed; it is what the next person reads")


def run_stop(options: Options, reason: str) -> int:
    """Stop everything; works although ledger or audit log are broken, and says so."""
    _needs_reason(reason)
    state, caller, talk = _state(options), caller_now(), Talk(as_json=False)
    before = state.stop_reason()
    state.write_stop(reason, caller.actor, utc_now())
    talk.result([f"stopped ({reason}): {state.stop} exists; `remedy start` lifts it"])
    if before:
        talk.say(f"it was stopped already: {before}")
    try:
        state.prepare()
        with _recorded(state) as audit:
            audit.append(AuditType.STOP_SET, {"actor": caller.actor, "reason": reason}, sync=True)
    except StateError as exc:
        talk.say(f"the stop holds, but it is not in the audit log: {exc}")
    return 0


def run_start(options: Options) -> int:
    """Lift a stop; what stopped it stands in the audit log."""
    state, caller, talk = _state(options), caller_now(), Talk(as_json=False)
    reason = state.stop_reason()
    if not reason:
        talk.result([f"nothing is stopped in {state.path}"])
        return 0
    state.prepare()
    with _recorded(state) as audit:
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
    if not state.has_ledger():
        raise StateError(f"there is no ledger in {state.path}; name the state directory with --state DIR")
    state.prepare()
    ledger = Ledger.open(state.ledger)
    try:
        with _recorded(state) as audit:
            kind = AuditType.BREAKER_CLOSED if options.limit is None else AuditType.QUARANTINE_RELEASED
            facts = {"actor": caller.actor, "rule": rule, "host": options.limit, "reason": reason}
            audit.append(kind, facts, sync=True)
            released = ledger.release(rule, options.limit, utc_now(), reason, caller.actor)
            breakers = ledger.breakers()
    finally:
        ledger.close()
    where = f" on {options.limit}" if options.limit is not None else ""
    if not released:
        what = "no ended attempts to forget" if options.limit is not None else "no open breaker"
        there = f"open breakers: {', '.join(breakers)}" if breakers else "no breaker is open"
        raise NothingNamed(f"{rule}{where} has {what} in {state.path}; {there}")
    talk.result([f"released: {rule}{where}"])
    return 0
