"""The ledger as several commands need it: that there is one, a copy to read, a run in it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remedy.errors import NothingNamed, StateError
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger
from remedy.state.ledger_rows import RunRecord
from remedy.text import nearest, untrusted

__all__ = ["copied_ledger", "found_run", "refuse_no_ledger"]

_RUNS_SEARCHED_MAX = 1_000


def refuse_no_ledger(state: StateDirectory) -> None:
    """
    Refuse a state directory in which nothing was ever recorded.

    Raises:
        StateError: there is no ledger.
    """
    if not state.has_ledger():
        raise StateError(f"there is no ledger in {state.path}; name the state directory with --state DIR")


@contextmanager
def copied_ledger(state: StateDirectory) -> Iterator[Ledger]:
    """
    Yield a copy of the ledger, so that reading disturbs nobody; it is gone when the block ends.

    Raises:
        StateError: there is none, or it cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="remedy-") as aside:
        ledger = Ledger.open_copy(state.ledger, Path(aside))
        try:
            yield ledger
        finally:
            ledger.close()


def found_run(ledger: Ledger, run_id: str, *, having: str = "") -> RunRecord:
    """
    Return what the ledger knows of a run; `having` are words for what makes a run one that it knows.

    Raises:
        NothingNamed: it knows none of that id; the nearest one is in the message.
    """
    record = ledger.run(run_id)
    if record is None:
        near = nearest(run_id, (each.run.id for each in ledger.runs(_RUNS_SEARCHED_MAX)))
        raise NothingNamed(f"there is no run {untrusted(run_id)}{having}{f'; {near[0]}?' if near else ''}")
    return record
