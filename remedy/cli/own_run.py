"""A run of its own for a command that comes after another run, and closes or explains it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from platform import node

from remedy import __version__
from remedy.cli.caller import Caller, caller_now, new_run_id, utc_now
from remedy.cli.composition import Options, state_of
from remedy.cli.console import Talk
from remedy.cli.ledgers import refuse_no_ledger
from remedy.run.evidence import Evidence
from remedy.state.audit import AuditLog
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger
from remedy.state.locks import Locks

__all__ = ["OwnRun", "own_run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRun:
    """What a `resume` or `reconcile` works with, and the id under which it records what it does."""

    id: str
    caller: Caller
    talk: Talk
    state: StateDirectory
    ledger: Ledger
    locks: Locks

    @contextmanager
    def recorded(self) -> Iterator[tuple[AuditLog, Evidence]]:
        """
        Yield its audit file, begun, and its evidence; whoever ends the run says so there.

        Raises:
            StateError: the file cannot be made or written; nothing was done.
        """
        with AuditLog.create(self.state.audit, self.id, utc_now) as audit:
            evidence = Evidence(self.ledger, audit, run_id=self.id, clock=utc_now)
            facts = {"version": __version__, "controller": node(), "state": str(self.state.path)}
            evidence.open(actor=self.caller.identity, command=self.caller.command, facts=facts)
            yield audit, evidence


@contextmanager
def own_run(options: Options) -> Iterator[OwnRun]:
    """
    Say where state lies, open the ledger, and close it when the block ends; nothing is recorded yet.

    Raises:
        StateError: there is no ledger, or it cannot be used.
    """
    caller = caller_now()
    state, named_by = state_of(options, caller)
    talk = Talk(as_json=options.output == "json")
    talk.say(f"state {state.path} ({named_by})")
    refuse_no_ledger(state)
    state.prepare()
    ledger = Ledger.open(state.ledger)
    try:
        own_id = new_run_id(utc_now())
        locks = Locks(
            state.locks, run_id=own_id, what=caller.command, pid=os.getpid(), controller=node(), clock=utc_now
        )
        yield OwnRun(id=own_id, caller=caller, talk=talk, state=state, ledger=ledger, locks=locks)
    finally:
        ledger.close()
