r"""
The same facts on a Windows host that somebody names: REMEDY_TEST_WINRM_URL, and the variables of docs/windows.md.

Nothing here was ever run by the authors: they had no Windows. What it does on the
host is harmless: it prints, sleeps, and makes a folder beside %ProgramData%\remedy
that it removes again. The login must be an administrator there.
"""

import hashlib
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from remedy.errors import Refused
from remedy.load import starter_rules
from remedy.port import (
    _SEAL,
    Captured,
    CollectJob,
    CollectorEnding,
    CollectorOutput,
    FixEnding,
    FixJob,
    FixResult,
    MarkerState,
    Permit,
    Shell,
    Target,
    WinRM,
    WinRMAuth,
)
from remedy_runners.winrm.adapter import Link
from remedy_runners.winrm.runner import WinRMRunner
from remedy_runners.winrm.session import WinRMSession, proves_the_host
from tests.winrm.processes import wait_until

_URL = os.environ.get("REMEDY_TEST_WINRM_URL", "")
_SID_ADMINISTRATORS, _SID_SYSTEM = "S-1-5-32-544", "S-1-5-18"
_COLLECTORS = sorted(path.parent.name for path in starter_rules().glob("signals/*/windows.ps1"))

if not _URL:
    pytest.skip("REMEDY_TEST_WINRM_URL names no Windows host (docs/windows.md)", allow_module_level=True)

pytestmark = pytest.mark.timeout(300)


def _setting(name: str) -> str | None:
    return os.environ.get(f"REMEDY_TEST_WINRM_{name}") or None


@dataclass(frozen=True)
class Real:
    r"""The host: how it is reached, and the folder there that takes the place of %ProgramData%\remedy."""

    target: Target
    runner: WinRMRunner
    root: str

    def session(self) -> WinRMSession:
        session = self.runner.connect(self.target)
        assert isinstance(session, WinRMSession)
        return session

    def collect(self, *jobs: CollectJob) -> Mapping[str, CollectorOutput]:
        session = self.session()
        try:
            return session.collect(jobs).outputs
        finally:
            session.close()

    def run(self, script: str, *, timeout_s: int = 60, **more: Any) -> CollectorOutput:
        """Run one collector and return what came of it."""
        return self.collect(_collector(script, timeout_s=timeout_s, **more))["s"]

    def fix(self, script: str, *, execution: str, timeout_s: int = 60) -> FixResult:
        digest = hashlib.sha256(script.encode()).hexdigest()
        permit = Permit(execution_id=execution, host=self.target.name, script_sha256=digest, seal=_SEAL)
        job = FixJob(
            execution_id=execution, script=script.encode(), script_sha256=digest, environment={}, timeout_s=timeout_s
        )
        session = self.session()
        try:
            return session.fix(permit, job)
        finally:
            session.close()

    def marker_state(self, execution: str) -> tuple[MarkerState, bool | None]:
        session = self.session()
        try:
            marker = session.read_markers([execution], become_root=True).markers[execution]
        finally:
            session.close()
        return marker.state, marker.is_alive


def _collector(script: str, *, timeout_s: int = 60, signal: str = "s", **more: Any) -> CollectJob:
    job = CollectJob(signal=signal, script=script.encode(), environment={}, columns={}, timeout_s=timeout_s)
    return replace(job, **more)


def _target() -> Target:
    """Return where the variables lead, by the settings that an inventory would give."""
    url = urlsplit(_URL)
    auth = WinRMAuth(_setting("AUTH") or "ntlm")
    return Target(
        name="real",
        address=url.hostname,
        port=url.port,
        user=_setting("USER"),
        password=_setting("PASSWORD"),
        shell=Shell.POWERSHELL,
        winrm=WinRM(
            scheme="http" if url.scheme == "http" else "https",
            auth=auth,
            path=url.path or "/wsman",
            ca_file=_setting("CA"),
            fingerprint=_setting("FINGERPRINT"),
            certificate=_setting("CERTIFICATE"),
            certificate_key=_setting("CERTIFICATE_KEY"),
            machine_id=_setting("MACHINE_ID"),
            computer_name=_setting("COMPUTER_NAME"),
        ),
    )


def _runner(root: str | None = None) -> WinRMRunner:
    return WinRMRunner(home=Path.home(), environment=os.environ, root=root)


def _lines(stream: Captured) -> list[str]:
    return stream.kept.decode("utf-8").splitlines()


@pytest.fixture(scope="module")
def real() -> Iterator[Real]:
    """The host; the folder that the tests made there is removed at the end."""
    target = _target()
    there = Real(target=target, runner=_runner(), root="")
    (data,) = _lines(there.run("[Environment]::GetFolderPath('CommonApplicationData')").stdout)
    root = f"{data}\\remedy-test-{secrets.token_hex(6)}"
    there = replace(there, runner=_runner(root), root=root)
    try:
        yield there
    finally:
        removed = there.run(
            f"if (Test-Path -LiteralPath '{root}') {{ Remove-Item -LiteralPath '{root}' -Recurse -Force }}"
        )
        assert (removed.ending, removed.exit_code) == (CollectorEnding.EXITED, 0), removed


@pytest.fixture
def execution() -> str:
    """An execution id that nobody had before."""
    return f"real-{secrets.token_hex(8)}"


def test_machine_says_which_one_it_is(real: Real) -> None:
    """The machine reports MachineGuid, computer name and version, as its own tools show them."""
    session = real.session()
    try:
        found = session.identity()
    finally:
        session.close()
    shown = _lines(
        real.run(
            "(Get-ItemProperty -LiteralPath 'HKLM:\\SOFTWARE\\Microsoft\\Cryptography').MachineGuid\n"
            "$env:COMPUTERNAME\n[string]$PSVersionTable.PSVersion"
        ).stdout
    )

    assert found.machine_id == shown[0].lower()
    assert (found.computer_name or "").casefold() == shown[1].casefold()
    assert (found.version or "").split()[0] == shown[2]


def test_another_machine_is_refused(real: Real) -> None:
    """A machine that reports another id than the inventory's gets nothing of a rule."""
    assert real.target.winrm is not None
    other = replace(real.target.winrm, machine_id="00000000-0000-0000-0000-000000000000")

    with pytest.raises(Refused, match="ANOTHER MACHINE ANSWERS") as caught:
        real.runner.connect(replace(real.target, winrm=other))

    assert caught.value.identity


def test_another_name_is_refused_where_nothing_else_proves_the_host(real: Real) -> None:
    """Over NTLM and http, a machine of another name is refused."""
    assert real.target.winrm is not None
    if proves_the_host(real.target.winrm):
        pytest.skip("this way proves the host by itself")
    other = replace(real.target.winrm, machine_id=None, computer_name="no-such-name")

    with pytest.raises(Refused, match="ANOTHER MACHINE ANSWERS"):
        real.runner.connect(replace(real.target, winrm=other))


def test_streams_are_apart_and_in_utf8(real: Real) -> None:
    """Both streams come as UTF-8 without a byte order mark, and apart."""
    script = (
        "[Console]::Out.Write('out ' + [char]0xE4 + [char]0x20AC)\n"
        "[Console]::Error.Write('err ' + [char]0xE4 + [char]0x20AC)"
    )

    output = real.run(script)

    assert (output.ending, output.exit_code) == (CollectorEnding.EXITED, 0)
    assert output.stdout.kept == "out ä€".encode()
    assert output.stderr.kept == "err ä€".encode()


@pytest.mark.parametrize("code", [0, 1, 7, 255, 256, 3010, -1, -2147024891])
def test_exit_code_is_exact(real: Real, code: int) -> None:
    """`exit N` arrives with all of its 32 bits and its sign."""
    output = real.run(f"exit {code}")

    assert (output.ending, output.exit_code) == (CollectorEnding.EXITED, code)


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        ("throw 'no'", 1, "throw: "),
        ("Write-Error 'no'; 'went on'", 1, "throw: "),
        ("no-such-command", 1, "throw: "),
        ("if (", 1, "parse: "),
        ('cmd /c "exit 5"', 5, "its last native command ended with 5"),
        ('cmd /c "exit 5"; exit 0', 0, ""),
    ],
)
def test_error_is_never_success(real: Real, script: str, code: int, reason: str) -> None:
    """An error ends the script, and a native command that failed last is a failure."""
    output = real.run(script)

    assert (output.ending, output.exit_code) == (CollectorEnding.EXITED, code)
    assert output.reason.startswith(reason)
    assert "went on" not in _lines(output.stdout)


def test_native_standard_error_is_no_error(real: Real) -> None:
    """A native command that writes to stderr and ends well stops nothing; 5.1 is where that is in doubt."""
    output = real.run('cmd /c "echo problem 1>&2"\n"went on"')

    assert (output.ending, output.exit_code) == (CollectorEnding.EXITED, 0)
    assert _lines(output.stdout) == ["went on"]
    assert "problem" in output.stderr.kept.decode("utf-8")


def test_silence_longer_than_an_operation_is_no_end(real: Real) -> None:
    """A script that prints nothing for longer than one Receive waits is waited for."""
    output = real.run("Start-Sleep -Seconds 30; 'done'")

    assert (output.exit_code, _lines(output.stdout)) == (0, ["done"])


def test_deadline_ends_the_process_tree(real: Real) -> None:
    """At the deadline the script and what it started are ended, and the host says so."""
    script = (
        "$child = Start-Process -FilePath ping.exe -ArgumentList '-n 200 127.0.0.1' -WindowStyle Hidden -PassThru\n"
        "[string]$child.Id\nwhile ($true) { Start-Sleep -Milliseconds 100 }"
    )

    output = real.run(script, timeout_s=8)
    (child,) = _lines(output.stdout)
    left = real.run(f"@(Get-Process -Id {int(child)} -ErrorAction SilentlyContinue).Count")

    assert output.ending is CollectorEnding.TIMED_OUT
    assert _lines(left.stdout) == ["0"]


def test_large_script_arrives_whole(real: Real) -> None:
    """A script of 200 kB runs to its end."""
    output = real.run("# filler\n" * 22_000 + "'whole'; exit 9")

    assert (output.exit_code, _lines(output.stdout)) == (9, ["whole"])


def test_values_are_exact(real: Real) -> None:
    """Quotes, dates and other writing systems reach $Remedy and the environment as they are."""
    value = "O'Brien ‘a’ ‚b‛ $x `n 2024-01-02T03:04:05Z 一"
    script = "[Console]::Out.Write($Remedy.params.said + [char]10 + $env:REMEDY_PARAM_SAID)"

    output = real.run(script, environment={"REMEDY_PARAM_SAID": value})

    assert output.stdout.kept.decode("utf-8").split("\n") == [value, value]


def test_emit_prints_rows(real: Real) -> None:
    """`emit` prints one JSON object a row, typed by the signal's columns."""
    columns = {"name": "text", "size": "number", "ok": "boolean"}

    output = real.run("emit name 'C:\\' size 1.5 ok $true; emit name 'ä' size x ok $null", columns=columns)

    assert [json.loads(line) for line in _lines(output.stdout)] == [
        {"name": "C:\\", "size": 1.5, "ok": True},
        {"name": "ä", "size": None, "ok": None},
    ]


@pytest.mark.parametrize("signal", _COLLECTORS)
def test_starter_collector_gives_rows(real: Real, signal: str) -> None:
    """Each collector of the starter rules ends with 0 and prints rows, or why there are none."""
    script = (starter_rules() / "signals" / signal / "windows.ps1").read_text(encoding="utf-8")

    output = real.run(script, timeout_s=120)

    assert (output.ending, output.exit_code) == (CollectorEnding.EXITED, 0), output
    rows = [json.loads(line) for line in _lines(output.stdout) if line]
    assert rows
    assert all(isinstance(row, dict) for row in rows)


def test_fix_runs_once(real: Real, execution: str) -> None:
    """A fix ends with its code; the same execution is not started again, and its marker says how it ended."""
    first = real.fix("'ran'; exit 4", execution=execution)
    second = real.fix("'ran'; exit 4", execution=execution)
    session = real.session()
    try:
        read = session.read_markers([execution, "real-never-sent"], become_root=True)
    finally:
        session.close()

    assert (first.ending, first.exit_code, _lines(first.stdout)) == (FixEnding.FINISHED, 4, ["ran"])
    assert (second.ending, _lines(second.stdout)) == (FixEnding.ALREADY_STARTED, [])
    assert read.markers["real-never-sent"].state is MarkerState.ABSENT
    marker = read.markers[execution]
    assert (marker.state, marker.exit_code, marker.over) == (MarkerState.ENDED, 4, False)
    assert read.as_root
    assert read.up_s
    assert read.boot_id is not None, "BootId of KUSER_SHARED_DATA is 0: Windows 10 or Server 2016 is needed"
    assert read.boot_id == marker.boot_id


def test_folder_is_for_administrators_only(real: Real, execution: str) -> None:
    """The folder that the first fix makes belongs to the administrators, and only they and the system get in."""
    real.fix("exit 0", execution=execution)
    kind = "[Security.Principal.SecurityIdentifier]"
    output = real.run(
        f"$acl = Get-Acl -LiteralPath '{real.root}'\n$acl.GetOwner({kind}).Value\n"
        f"$acl.GetAccessRules($true, $true, {kind}) | ForEach-Object {{ $_.IdentityReference.Value }}"
    )

    owner, *others = _lines(output.stdout)
    assert owner == _SID_ADMINISTRATORS
    assert set(others) == {_SID_ADMINISTRATORS, _SID_SYSTEM}


def test_hold_file_turns_fixes_away(real: Real, execution: str) -> None:
    """While the hold file is there, nothing is started, and its first line is the reason."""
    real.fix("exit 0", execution=f"{execution}-before")
    made = real.run(f"[IO.File]::WriteAllText('{real.root}\\hold', \"disk swap until noon`r`nalice`r`n\")")
    try:
        result = real.fix("'ran'", execution=execution)
    finally:
        removed = real.run(f"Remove-Item -LiteralPath '{real.root}\\hold'")

    assert (made.exit_code, removed.exit_code) == (0, 0)
    assert (result.ending, result.reason, _lines(result.stdout)) == (FixEnding.HOST_HOLD, "disk swap until noon", [])
    assert real.marker_state(execution)[0] is MarkerState.ABSENT


def test_two_fixes_are_not_at_work_at_once(real: Real, execution: str) -> None:
    """While one fix runs, its marker says so and another one is `busy`; afterwards that one may start."""
    other = f"{execution}-other"
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(real.fix, "Start-Sleep -Seconds 40; exit 0", execution=execution, timeout_s=120)
        wait_until(lambda: real.marker_state(execution) == (MarkerState.STARTED, True), within_s=30)
        second = real.fix("'ran'", execution=other)
        ended = first.result()

    assert second.ending is FixEnding.HOST_BUSY
    assert (ended.ending, ended.exit_code) == (FixEnding.FINISHED, 0)
    assert real.fix("'ran'", execution=other).ending is FixEnding.FINISHED


def test_fix_whose_link_breaks_goes_on_to_its_end(real: Real, execution: str) -> None:
    """A fix whose connection broke is `lost`, and runs to its end all the same, which its marker tells."""
    session = real.session()
    script = b"Start-Sleep -Seconds 20; exit 3"
    digest = hashlib.sha256(script).hexdigest()
    permit = Permit(execution_id=execution, host=real.target.name, script_sha256=digest, seal=_SEAL)
    job = FixJob(
        execution_id=execution,
        script=script,
        script_sha256=digest,
        environment={},
        timeout_s=60,
    )

    def cut() -> None:
        wait_until(lambda: real.marker_state(execution) == (MarkerState.STARTED, True), within_s=60)
        exchange = session._exchange
        assert exchange is not None
        assert exchange._protocol is not None
        link: Link = exchange._protocol.transport.__dict__["_link"]
        link.shut()

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        result = session.fix(permit, job)
        marker = session.read_markers([execution], become_root=True).markers[execution]
    finally:
        cutter.join()
        session.close()

    assert result.ending is FixEnding.LOST
    assert "has ended since" in result.reason
    assert (marker.state, marker.exit_code) == (MarkerState.ENDED, 3)


def test_no_shell_is_left(real: Real, execution: str) -> None:
    """After a deadline, an error, a fix and a question, the host has no more shells than before."""

    def shells() -> int:
        output = real.run("@(Get-CimInstance -ClassName Win32_Process -Filter \"Name='winrshost.exe'\").Count")
        return int(_lines(output.stdout)[0])

    before = shells()
    real.run("Start-Sleep -Seconds 60", timeout_s=2)
    real.run("throw 'no'")
    real.fix("exit 1", execution=execution)
    real.marker_state(execution)

    assert before >= 1  # The shell that counts is one.
    wait_until(lambda: shells() <= before, within_s=60)
