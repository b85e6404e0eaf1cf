"""The check of an audit log against what others remember of it: the ledger's runs, recorded heads, noted heads."""

from hashlib import sha256

import pytest

from remedy.state.audit import AuditLog, AuditType
from remedy.state.audit_verify import AuditStatus, verify
from tests.state.audit_logs import write_log
from tests.state.builders import ticking


def test_run_of_the_ledger_without_a_file_is_found(tmp_path):
    """An emptied folder, a removed file and an emptied one are found when the ledger knows their runs."""
    write_log(tmp_path, "run-1")
    write_log(tmp_path, "run-2")
    known = ("run-1", "run-2")
    whole = verify(tmp_path, known).findings
    for path in tmp_path.iterdir():
        path.unlink()
    emptied = verify(tmp_path, known).findings
    (tmp_path / "run-1.jsonl").touch()

    missing = "the file is missing, though the ledger knows this run; restore it from a backup"
    assert whole == ()
    assert [str(finding) for finding in emptied] == [f"run-1.jsonl: {missing}", f"run-2.jsonl: {missing}"]
    assert [str(finding) for finding in verify(tmp_path, known).findings] == [
        f"run-1.jsonl: {missing.replace('missing', 'empty')}",
        f"run-2.jsonl: {missing}",
    ]


def test_run_of_the_ledger_whose_head_is_recorded_is_found_once(tmp_path):
    """A missing file that the heads and the ledger know is one finding."""
    write_log(tmp_path).path.unlink()

    assert len(verify(tmp_path, ["run-1"]).findings) == 1


def test_many_runs_without_files_are_capped(tmp_path):
    """Of a thousand missing files twenty are named, and the others counted."""
    findings = verify(tmp_path, [f"run-{number:04}" for number in range(1_000)]).findings

    assert len(findings) == 21
    assert str(findings[-1]) == "audit: the files of 980 runs more are missing or empty"


@pytest.mark.parametrize("runs", [1, 3])
def test_missing_heads_are_one_finding(tmp_path, runs):
    """When the heads are deleted beside files of runs that ended, that is one finding, not one a file."""
    for number in range(runs):
        write_log(tmp_path, f"run-{number}")
    (tmp_path / "heads").unlink()

    (finding,) = verify(tmp_path).findings
    assert str(finding).startswith("heads: audit/heads is missing, ")


def test_emptied_heads_are_one_finding(tmp_path):
    """Heads that were emptied are one finding when a file follows one of them."""
    for number in range(3):
        write_log(tmp_path, f"run-{number}")
    (tmp_path / "heads").write_bytes(b"")

    (finding,) = verify(tmp_path).findings
    assert str(finding).startswith("heads: audit/heads is empty, ")


def test_heads_taken_away_are_not_made_again_by_the_next_run(tmp_path):
    """A run that begins after the heads were deleted does not hide that."""
    write_log(tmp_path)
    (tmp_path / "heads").unlink()
    log = AuditLog.create(tmp_path, "run-2", ticking())
    log.append(AuditType.RUN_STARTED, {})

    (finding,) = verify(tmp_path).findings
    log.close()
    assert "audit/heads is missing" in str(finding)


def test_noted_head_of_every_record_is_proved(tmp_path):
    """The hash of any record of any file, noted elsewhere, is found at its place; the whole log stays intact."""
    hashes = []
    for run_id in ("run-1", "run-2"):
        log = write_log(tmp_path, run_id)
        lines = log.path.read_bytes().splitlines()
        hashes += [(run_id, number, sha256(line).hexdigest()) for number, line in enumerate(lines, 1)]

    report = verify(tmp_path, noted=[head for _run, _seq, head in hashes])

    assert report.intact
    assert [(each.run, each.seq, each.head) for each in report.proved] == hashes


def test_noted_head_of_an_ended_and_of_a_dead_run_is_missed_when_cut(tmp_path):
    """A head noted elsewhere shows a cut that nothing in the log does: of a dead run, and of the newest one."""
    log = write_log(tmp_path)
    noted = log.head
    (tmp_path / "heads").write_bytes(b"")
    kept = log.path.read_bytes().splitlines(keepends=True)[:-1]
    whole = verify(tmp_path, noted=[noted]).findings
    log.path.write_bytes(b"".join(kept))

    assert (whole, verify(tmp_path).findings) == ((), ())
    (finding,) = verify(tmp_path, noted=[noted, noted]).findings
    assert str(finding).startswith(f"audit: no record has the head {noted}: since it was noted, its file was cut")


def test_noted_head_of_a_log_written_anew_is_missed(tmp_path):
    """A whole log that was written anew, its heads too, verifies; only the head noted elsewhere shows it."""
    noted = write_log(tmp_path).head
    for path in tmp_path.iterdir():
        path.unlink()
    write_log(tmp_path, records=7)

    assert verify(tmp_path).intact
    assert not verify(tmp_path, noted=[noted]).intact


def test_file_that_was_closed_without_its_end_says_closed(tmp_path):
    """A file whose head is recorded, but that does not say run.ended, is no finding, and is called closed."""
    log = AuditLog.create(tmp_path, "run-1", ticking())
    log.append(AuditType.RUN_STARTED, {})
    log.close()

    report = verify(tmp_path)
    assert (report.findings, report.files[0].status) == ((), AuditStatus.CLOSED)


def test_torn_files_are_no_strangers(tmp_path):
    """What a recovery moved aside is not checked and is no finding."""
    write_log(tmp_path)
    (tmp_path / "run-1.torn").write_bytes(b"{")
    (tmp_path / "run-1.torn.2").write_bytes(b"{")

    assert (verify(tmp_path).findings, len(verify(tmp_path).files)) == ((), 1)
