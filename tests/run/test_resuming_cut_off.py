"""Runs and resumes that are cut off at every transaction and every write: the next resume ends well."""

import pytest

from remedy.errors import StateError
from remedy.summary import ExitCode
from tests.run.bench import Bench
from tests.run.dead_runs import AGAIN, EXPECTED, NAMES, check_closed, die, half_done, outcomes_by_host, resume, rows_of
from tests.run.fleet import trouble
from tests.run.rules import rule


def said_before(bench):
    """Return what the dead run's audit file, or (when that one failed) its ledger, says of outcomes."""
    record = rows_of(bench)
    rows = record.executions if record is not None else ()
    in_ledger = {row.execution_id: row.outcome.value for row in rows if row.outcome is not None}
    return {**in_ledger, **{each["execution"]: each["outcome"] for each in bench.recorded("execution.outcome")}}


def _resume_until_it_ends(tmp_path, **fault):
    """Resume a half done run with a fault, then once more without; return whether the fault was met."""
    bench = Bench(tmp_path, trouble(*EXPECTED))
    half_done(bench)
    said = said_before(bench)
    first, disk, ledger, _ = resume(bench, **fault)
    if first is None:
        second, _, _, _ = resume(bench, own=AGAIN)
        assert second is not None
        assert second.exit_code is ExitCode.BAD
    check_closed(bench, said)
    assert outcomes_by_host(bench) == EXPECTED
    return first is None, disk.calls, ledger.transactions


@pytest.mark.parametrize("when", ["begin", "commit", "after"])
def test_resume_is_cut_off_at_every_transaction_and_done_again(tmp_path, when):
    """The N-th ledger transaction of a resume fails, N = 1, 2, …: a second resume ends well, with the same outcomes."""
    number, transactions = 0, 0
    while transactions >= number:
        number += 1
        failed, _, transactions = _resume_until_it_ends(tmp_path / f"{number}", ledger_fails_at=number, when=when)
        assert failed or transactions < number

    assert number > 6


def test_resume_is_cut_off_at_every_write_and_done_again(tmp_path):
    """The N-th write or sync of an audit file fails, N = 1, 2, …: a second resume ends well, with the same outcomes."""
    number, calls = 0, 0
    while calls >= number:
        number += 1
        _, calls, _ = _resume_until_it_ends(tmp_path / f"{number}", disk_fails_at=number)

    assert number > 15


def broken_run(bench):
    """Apply a rule in two waves; whatever fails, the process is gone afterwards. Return whether something failed."""
    scope = bench.scope(rule(waves=(1,), max_bad=100, concurrency=1))
    bench.close = lambda: None
    try:
        bench.apply(scope)
    except StateError:
        return True
    finally:
        die(bench)
    return False


def check_resumed(bench):
    """Resume a run that died, if it had begun, and check it."""
    sent = list(bench.fleet.sent)
    said = said_before(bench)
    resumed, _, _, _ = resume(bench)
    assert resumed is not None
    assert bench.fleet.sent == sent
    if rows_of(bench) is None:
        assert sent == []
        assert resumed.exit_code is ExitCode.INCOMPLETE
        return
    check_closed(bench, said)
    started = {row.execution_id for row in rows_of(bench).executions if row.started_at}
    assert set(sent) <= started


@pytest.mark.parametrize("when", ["begin", "commit", "after"])
def test_run_that_died_at_any_transaction_is_closed(tmp_path, when):
    """A run dies at its N-th ledger transaction, N = 1, 2, …: resume gives every execution its one outcome."""
    number, failed = 0, True
    while failed:
        number += 1
        bench = Bench(tmp_path / f"{number}", trouble(*NAMES))
        bench.ledger.fail_at, bench.ledger.fail_when = number, when
        failed = broken_run(bench)
        if failed:
            check_resumed(bench)

    assert number > 10


def test_run_that_died_at_any_write_of_its_audit_file_is_closed(tmp_path):
    """A run dies at its N-th write or sync of the audit file: resume gives every execution its one outcome."""
    number, failed = 0, True
    while failed:
        number += 1
        bench = Bench(tmp_path / f"{number}", trouble(*NAMES), disk_fails_at=number)
        failed = broken_run(bench)
        if failed and bench.records():
            check_resumed(bench)

    assert number > 20
