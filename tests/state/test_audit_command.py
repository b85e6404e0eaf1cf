"""What `remedy audit verify` asks of the ledger beside the log."""

import json

import pytest

from remedy.cli.commands.audit import run_audit_verify
from remedy.cli.composition import Options
from remedy.state.directory import StateDirectory
from remedy.state.ledger import Ledger
from tests.state.builders import run_row


@pytest.fixture
def state(tmp_path):
    """Give a prepared state directory."""
    made = StateDirectory(tmp_path / "state")
    made.prepare()
    return made


def test_log_without_evidence_says_so(state, capsys):
    """No file and no run in the ledger is no evidence yet, and not an evidence that is whole."""
    code = run_audit_verify(Options(state=str(state.path)))

    assert (code, capsys.readouterr().out) == (0, "there is no evidence here yet\n")


@pytest.mark.parametrize("folder", ["empty", "gone"])
def test_log_that_was_emptied_is_exit_3(state, capsys, folder):
    """An audit folder without files, or none at all, beside a ledger that knows a run is a finding."""
    ledger = Ledger.open(state.ledger)
    ledger.begin_run(run_row())
    ledger.close()
    if folder == "gone":
        state.audit.rmdir()

    code = run_audit_verify(Options(state=str(state.path), output="json"))

    said = json.loads(capsys.readouterr().out)
    assert (code, said["intact"]) == (3, False)
    assert said["findings"][0].startswith("run-1.jsonl: the file is missing, though the ledger knows this run")


def test_log_beside_a_ledger_that_was_emptied_is_exit_3(state, capsys):
    """Without a ledger that can be read the check is not whole, and says why."""
    state.ledger.touch()

    code = run_audit_verify(Options(state=str(state.path)))

    out = " ".join(capsys.readouterr().out.split())
    assert code == 3
    assert "is empty: it was cut off or replaced" in out
    assert "NOT whole" in out
