"""An audit file for one action of a person, such as a pause: who did it, with which command, and that it ended."""

from collections.abc import Iterator
from contextlib import contextmanager
from platform import node

from remedy import __version__
from remedy.cli.caller import Caller, new_run_id, utc_now
from remedy.state.audit import AuditLog
from remedy.state.audit_format import AuditType
from remedy.state.directory import StateDirectory

__all__ = ["recorded_action"]


@contextmanager
def recorded_action(state: StateDirectory, caller: Caller) -> Iterator[AuditLog]:
    """
    Yield an audit file of its own for one action; it says `run.ended` when the block ends well.

    Raises:
        StateError: the file cannot be made or written; nothing was done.
    """
    audit = AuditLog.create(state.audit, new_run_id(utc_now()), utc_now)
    try:
        facts = {"actor": caller.identity, "command": caller.command, "version": __version__, "controller": node()}
        audit.append(AuditType.RUN_STARTED, facts)
        yield audit
        audit.append(AuditType.RUN_ENDED, {"exit_code": 0}, sync=True)
    finally:
        audit.close()
