"""What only SSH can get wrong once a host is known: links that break, logins that may not, shells that say too much."""

import logging
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from remedy.errors import Refused, Unreachable
from remedy.port import CollectorEnding, FixEnding, FixResult, Target
from tests.behaviour.waiting import wait_until
from tests.runners.machines import Daemon, Host, Machine, MakeRunner, NewId, output_of, start_daemon

pytestmark = pytest.mark.sshd


@pytest.fixture(params=["root", "sudo"])
def to_be_cut(
    request: pytest.FixtureRequest, machine: Machine, make_runner: MakeRunner, target: Target
) -> Iterator[Host]:
    """A session that works as root, by login and by sudo (which keeps a terminal of its own)."""
    sudo = request.param == "sudo"
    if sudo and shutil.which("sudo") is None:
        pytest.skip("needs sudo")
    session = make_runner().connect(replace(target, user="worker") if sudo else target)
    yield Host(kind="ssh", session=session, machine=machine, become_root=sudo, markers=machine.path("/run/remedy"))
    session.close()


def test_endpoint_names_address_port_and_user_without_contact(make_runner: MakeRunner) -> None:
    """Where a target leads is known without a connection; the target wins over ssh_config."""
    runner = make_runner(config="Host web-*\n HostName 127.0.7.99\n Port 4242\n User deploy\n")

    found = [
        runner.endpoint(Target(name="web-1")),
        runner.endpoint(Target(name="db", address="web-1", port=22, user="admin")),
    ]

    assert [str(endpoint) for endpoint in found] == ["deploy@127.0.7.99:4242", "admin@127.0.7.99:22"]


def test_endpoint_of_a_name_that_does_not_resolve_is_unreachable(make_runner: MakeRunner) -> None:
    """A name that leads nowhere is unreachable, with its name."""
    with pytest.raises(Unreachable, match=r"^root@no-such-host.invalid:22: its name does not resolve: [^\[]+$"):
        make_runner().endpoint(Target(name="web-1", address="no-such-host.invalid"))


class _Recorder(logging.Handler):
    """Keeps every record it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def test_paramiko_logs_nothing_to_the_root_logger(make_runner: MakeRunner, target: Target) -> None:
    """The library's chatter, which holds what hosts say, stays out of the operators' log."""
    handler = _Recorder()
    root = logging.getLogger()
    root.addHandler(handler)
    before, paramikos = root.level, logging.getLogger("paramiko")
    root.setLevel(logging.DEBUG)
    try:
        runners = [make_runner() for _ in range(3)]
        output_of(runners[0].connect(target))
    finally:
        root.setLevel(before)
        root.removeHandler(handler)

    assert [record for record in handler.records if record.name.startswith("paramiko")] == []
    assert len([each for each in paramikos.handlers if isinstance(each, logging.NullHandler)]) == 1


def test_algorithms_are_the_safe_ones(make_runner: MakeRunner, target: Target) -> None:
    """No CBC, no MD5, no SHA-1, no host certificates are even offered; strict key exchange is agreed on."""
    session = make_runner().connect(target)
    transport = session._connection.transport  # type: ignore[attr-defined]
    offered = [
        *transport.preferred_ciphers,
        *transport.preferred_macs,
        *transport.preferred_kex,
        *transport.preferred_keys,
        *transport.preferred_pubkeys,
    ]
    strict = transport.agreed_on_strict_kex
    session.close()

    assert not [name for name in offered if any(bad in name for bad in ("cbc", "md5", "sha1", "3des", "cert", "dss"))]
    assert "ssh-rsa" not in offered
    assert strict
    assert transport.remote_cipher == transport.preferred_ciphers[0]


def test_closed_session_is_unreachable_and_closes_again(make_runner: MakeRunner, target: Target, root: Host) -> None:
    """After close nothing is started, a second close is fine, and no thread is left."""
    session = make_runner().connect(target)
    session.close()
    session.close()
    permit, job = root.fix_job(b"echo ran", execution_id="f" * 16)

    with pytest.raises(Unreachable):
        session.collect([root.collect_job(b":")])
    with pytest.raises(Unreachable):
        session.fix(permit, job)
    assert not root.machine.path("/run/remedy/" + "f" * 16).exists()
    assert not [t for t in threading.enumerate() if t is session._connection.transport]  # type: ignore[attr-defined]


def test_link_cut_during_a_fix_is_lost_and_the_fix_runs_to_its_end(
    to_be_cut: Host, daemon: Daemon, new_id: NewId
) -> None:
    """A dropped link stops no fix half-way: it goes on printing, finishes, and the marker has its exit code."""
    execution_id = new_id()
    # printf is the shell's own: a broken pipe would end the script itself.
    script = (
        b"x=$(head -c 20000 /dev/zero | tr '\\0' x); i=0; while [ $i -lt 60 ]; do i=$((i + 1)); "
        b'printf %s "$x"; printf %s "$x" >&2; sleep 0.02; done; echo $i > /tmp/finished-$REMEDY_EXECUTION; exit 5'
    )
    results: list[FixResult] = []
    permit, job = to_be_cut.fix_job(script, execution_id=execution_id, environment={"REMEDY_EXECUTION": execution_id})
    thread = threading.Thread(target=lambda: results.append(to_be_cut.session.fix(permit, job)), daemon=True)
    thread.start()
    wait_until((to_be_cut.markers / execution_id / "start").exists)

    daemon.cut_links()
    thread.join(5)

    assert results[0].ending is FixEnding.LOST
    assert results[0].exit_code is None
    wait_until((to_be_cut.markers / execution_id / "rc").exists)
    assert (to_be_cut.markers / execution_id / "rc").read_text() == "5 0\n"
    assert to_be_cut.machine.path(f"/tmp/finished-{execution_id}").read_text() == "60\n"


def test_link_cut_during_a_fix_still_ends_at_its_deadline(to_be_cut: Host, daemon: Daemon, new_id: NewId) -> None:
    """Without a controller the deadline on the host still holds, and the marker says that it did."""
    execution_id = new_id()
    permit, job = to_be_cut.fix_job(b"sleep 600", execution_id=execution_id, timeout_s=1)
    results: list[FixResult] = []
    thread = threading.Thread(target=lambda: results.append(to_be_cut.session.fix(permit, job)), daemon=True)
    thread.start()
    wait_until((to_be_cut.markers / execution_id / "start").exists)

    daemon.cut_links()
    thread.join(5)

    assert results[0].ending is FixEnding.LOST
    wait_until((to_be_cut.markers / execution_id / "rc").exists)
    assert (to_be_cut.markers / execution_id / "rc").read_text() == "124 1\n"


def test_sudo_that_says_no_is_refused_with_the_cure(make_runner: MakeRunner, target: Target, root: Host) -> None:
    """A login that may not sudo: its own collectors are heard, those as root are not, a fix as root is refused."""
    if shutil.which("sudo") is None:
        pytest.skip("needs sudo")
    session = make_runner().connect(replace(target, user="outsider"))
    plain = root.collect_job(b"id -un", signal="plain")
    as_root = replace(root.collect_job(b"id -un", signal="root"), become_root=True)
    permit, job = root.fix_job(b"echo ran", execution_id="e" * 16)

    outputs = session.collect([plain, as_root]).outputs
    result = session.fix(permit, replace(job, become_root=True))
    with pytest.raises(Refused, match=r"nothing ran on the host: sudo: .*log in as root"):
        session.collect([as_root])
    session.close()

    assert outputs["plain"].stdout.head == b"outsider\n"
    assert outputs["root"].ending is CollectorEnding.LOST
    assert "sudo" in outputs["root"].reason
    assert result.ending is FixEnding.REFUSED
    assert "sudo -n" in result.reason


def test_login_shell_that_runs_nothing_is_refused(
    machine: Machine, keys: Path, target: Target, make_runner: MakeRunner, tmp_path: Path, root: Host
) -> None:
    """A host that answers every command with its own (a menu, a mirror) ran nothing: refused, not lost."""
    other = start_daemon(machine, keys, address="127.0.7.2", more="ForceCommand echo only backups here; exit 4\n")
    known = tmp_path / "known"
    known.write_text(other.known_hosts_line + "\n")
    session = make_runner(known=known).connect(replace(target, address=other.address))
    try:
        with pytest.raises(Refused, match="ended with 4: only backups here"):
            session.collect([root.collect_job(b"echo ran")])
        result = session.fix(*root.fix_job(b"echo ran", execution_id="d" * 16))
    finally:
        session.close()
        other.process.kill()
        other.process.wait()

    assert (result.ending, result.exit_code) == (FixEnding.REFUSED, None)


def test_host_that_swallows_all_answers_is_lost(
    machine: Machine, keys: Path, target: Target, make_runner: MakeRunner, tmp_path: Path, root: Host, new_id: NewId
) -> None:
    """A host that runs the command and keeps what it says to itself may have run the fix: lost, not refused."""
    swallow = 'ForceCommand sh -c "$SSH_ORIGINAL_COMMAND" >/dev/null 2>&1\n'
    other = start_daemon(machine, keys, address="127.0.7.4", more=swallow)
    known = tmp_path / "known"
    known.write_text(other.known_hosts_line + "\n")
    session = make_runner(known=known).connect(replace(target, address=other.address))
    try:
        result = session.fix(*root.fix_job(b"touch /tmp/swallowed", execution_id=new_id()))
    finally:
        session.close()
        other.process.kill()
        other.process.wait()

    assert (result.ending, result.exit_code) == (FixEnding.LOST, None)
    assert root.machine.path("/tmp/swallowed").exists()


def test_noise_of_a_login_shell_does_no_harm(root: Host) -> None:
    """What a host prints before the payload speaks is no output of a collector."""
    profile = root.machine.path("/home/root/.bashrc")
    profile.write_text("echo 'welcome, no newline here' | tr -d '\\n'; echo noise >&2\n")
    try:
        output = root.session.collect([root.collect_job(b"echo fine; echo err >&2")]).outputs["s"]
    finally:
        profile.unlink()

    assert (output.stdout.head, output.stderr.head) == (b"fine\n", b"err\n")
