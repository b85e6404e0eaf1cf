"""What only SSH can get wrong: keys, identities, links that break, hosts that misbehave."""

import base64
import logging
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from remedy.errors import Refused, Unreachable
from remedy.port import CollectorEnding, FixEnding, FixResult, Session, Target
from remedy_runners import connection as connection_module
from remedy_runners import session as session_module
from remedy_runners.connection import translate
from remedy_runners.ssh import SSHRunner
from tests.runners.conftest import ADDRESS, PASSWORD, PORT, Daemon, Host, Machine, start_daemon, wait_until

pytestmark = pytest.mark.sshd

MakeRunner = Callable[..., SSHRunner]
NewId = Callable[[], str]


@pytest.fixture
def root(machine: Machine, make_runner: MakeRunner, target: Target) -> Iterator[Host]:
    """A session as root over SSH."""
    session = make_runner().connect(target)
    yield Host(kind="ssh", session=session, machine=machine, become_root=False, markers=machine.path("/run/remedy"))
    session.close()


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


def _runs(session: Session, script: bytes = b"id -un") -> bytes:
    job = Host("ssh", session, None, False, Path()).collect_job(script)  # type: ignore[arg-type]
    try:
        return session.collect([job]).outputs["s"].stdout.head.strip()
    finally:
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


def test_barred_target_is_refused_before_any_contact(make_runner: MakeRunner, target: Target) -> None:
    """A target the inventory bars (a literal password) is refused with its reason, by endpoint and connect."""
    barred = replace(target, barred="ansible_password is a literal; use env:NAME")

    for ask in (make_runner().endpoint, make_runner().connect):
        with pytest.raises(Refused, match=r"^ansible_password is a literal"):
            ask(barred)


def test_unknown_key_is_refused_with_the_line_to_type(make_runner: MakeRunner, target: Target, tmp_path: Path) -> None:
    """A host that is not enrolled is refused; the message has the ssh-keyscan line and the file."""
    empty = tmp_path / "empty"
    empty.touch()

    with pytest.raises(Refused) as caught:
        make_runner(known=empty).connect(target)

    assert f"ssh-keyscan -p {PORT} {ADDRESS} >> {empty}" in str(caught.value)
    assert not caught.value.identity


def test_line_to_type_enrols_the_host(make_runner: MakeRunner, target: Target, tmp_path: Path) -> None:
    """The line of the message above really makes the host known."""
    known = tmp_path / "enrolled"
    known.touch()
    with pytest.raises(Refused) as caught:
        make_runner(known=known).connect(target)

    line = str(caught.value).rpartition("then: ")[2]
    subprocess.run(["sh", "-c", line], check=True, capture_output=True)

    assert _runs(make_runner(known=known).connect(target)) == b"root"


def test_changed_key_is_refused_loudly(make_runner: MakeRunner, target: Target, keys: Path, tmp_path: Path) -> None:
    """Another key than the known one is a wrong identity: both fingerprints shown, nothing sent."""
    known = tmp_path / "other"
    known.write_text(f"[{ADDRESS}]:{PORT} " + (keys / "other-host.pub").read_text())
    prints = [
        subprocess.run(["ssh-keygen", "-lf", keys / name], check=True, capture_output=True, text=True).stdout.split()[1]
        for name in ("host.pub", "other-host.pub")
    ]

    with pytest.raises(Refused, match="HOST KEY HAS CHANGED") as caught:
        make_runner(known=known).connect(target)

    assert caught.value.identity
    assert all(fingerprint in str(caught.value) for fingerprint in prints)


def test_changed_key_is_forgotten_by_the_line_to_type(
    make_runner: MakeRunner, target: Target, keys: Path, tmp_path: Path
) -> None:
    """The ssh-keygen line works on the file that has the key, and names no file when it is ~/.ssh/known_hosts."""
    wrong = f"[{ADDRESS}]:{PORT} " + (keys / "other-host.pub").read_text()
    own, usual = tmp_path / "my known hosts", tmp_path / ".ssh" / "known_hosts"
    usual.parent.mkdir()
    for path in (own, usual):
        path.write_text("# kept\n" + wrong)

    with pytest.raises(Refused) as of_own:
        make_runner().connect(replace(target, known_hosts=str(own)))
    with pytest.raises(Refused) as of_usual:
        make_runner(known=usual).connect(target)
    line = str(of_own.value).rpartition("if it is right: ")[2]
    subprocess.run(["sh", "-c", line], check=True, capture_output=True)

    assert line == f"ssh-keygen -R '[{ADDRESS}]:{PORT}' -f '{own}'"
    assert own.read_text() == "# kept\n"
    assert str(of_usual.value).endswith(f"if it is right: ssh-keygen -R '[{ADDRESS}]:{PORT}'")


def test_host_without_any_known_hosts_file_is_refused(make_runner: MakeRunner, target: Target) -> None:
    """Settings that name no known_hosts file at all leave the host unknown, with a cure."""
    with pytest.raises(Refused, match="ssh_config names no known_hosts file"):
        make_runner(config="UserKnownHostsFile none\nGlobalKnownHostsFile none\n").connect(target)


def test_refused_login_has_the_ssh_line_that_takes_the_same_way(
    make_runner: MakeRunner, target: Target, keys: Path, known_hosts: Path, tmp_path: Path
) -> None:
    """The line to try has the key and known_hosts file of the target, and only those that are not the usual ones."""
    told = replace(target, identity_file=str(keys / "stranger"), known_hosts=str(known_hosts))
    usual = tmp_path / ".ssh" / "known_hosts"
    usual.parent.mkdir()
    shutil.copy(known_hosts, usual)

    with pytest.raises(Refused) as with_own:
        make_runner().connect(told)
    with pytest.raises(Refused) as with_usual:
        make_runner(known=usual).connect(replace(target, identity_file=None))

    line = str(with_own.value).rpartition("Try: ")[2]
    assert line == f"ssh -p {PORT} -i {keys}/stranger -o UserKnownHostsFile={known_hosts} root@{ADDRESS}"
    assert str(with_usual.value) == (
        f"root@{ADDRESS}:{PORT}: the host does not accept root without a key; "
        f"tried: nothing, since there is no key, agent or password. Try: ssh -p {PORT} root@{ADDRESS}"
    )


def test_changed_key_of_another_kind_is_refused_loudly(make_runner: MakeRunner, target: Target, tmp_path: Path) -> None:
    """A host known by an RSA key that shows an Ed25519 one is no new host."""
    known = tmp_path / "rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", tmp_path / "key"], check=True)
    known.write_text(f"[{ADDRESS}]:{PORT} " + (tmp_path / "key.pub").read_text())

    with pytest.raises(Refused, match="HOST KEY HAS CHANGED") as caught:
        make_runner(known=known).connect(target)

    assert caught.value.identity


def test_broken_lines_do_not_lock_a_known_host_out(make_runner: MakeRunner, target: Target, known_hosts: Path) -> None:
    """Around the good line anything may stand; the runner says what it skipped."""
    known_hosts.write_bytes(b"\xff\xfe rubbish\nweb ssh-rsa AAAA\n" + known_hosts.read_bytes() + b"@bad x y z\n")
    runner = make_runner()

    assert _runs(runner.connect(target)) == b"root"
    assert len(runner.warnings) == 3


def test_known_hosts_of_the_target_wins(
    make_runner: MakeRunner, target: Target, tmp_path: Path, known_hosts: Path
) -> None:
    """remedy_known_hosts of a host is asked instead of every other file, then UserKnownHostsFile, then the default."""
    own, empty = tmp_path / "own", tmp_path / "empty"
    shutil.copy(known_hosts, own)
    empty.touch()
    settings = f"UserKnownHostsFile {empty}\nGlobalKnownHostsFile none\n"

    assert _runs(make_runner(known=empty).connect(replace(target, known_hosts=str(own)))) == b"root"
    assert _runs(make_runner(known=empty, config=f"UserKnownHostsFile {own}\n").connect(target)) == b"root"
    with pytest.raises(Refused, match="ssh-keyscan"):
        make_runner(config=settings).connect(target)


def test_strict_checking_cannot_be_switched_off(make_runner: MakeRunner, target: Target, tmp_path: Path) -> None:
    """StrictHostKeyChecking no changes nothing, and nothing is written to known_hosts."""
    empty = tmp_path / "empty"
    empty.touch()

    with pytest.raises(Refused, match="not known"):
        make_runner(known=empty, config="Host *\n StrictHostKeyChecking no\n").connect(target)

    assert empty.read_bytes() == b""


def test_jump_host_is_refused_and_not_connected_past(make_runner: MakeRunner, target: Target) -> None:
    """A host behind a ProxyJump is refused although the direct way would work."""
    with pytest.raises(Refused, match="ProxyJump bastion"):
        make_runner(config=f"Host {ADDRESS}\n ProxyJump bastion\n").connect(target)


def test_nobody_listens_is_unreachable(make_runner: MakeRunner, target: Target, known_hosts: Path) -> None:
    """A refused connection is unreachable, and the message says where to and why."""
    known_hosts.write_text(known_hosts.read_text().replace(str(PORT), "2"))

    with pytest.raises(Unreachable, match=rf"^root@{ADDRESS}:2: Connection refused"):
        make_runner().connect(replace(target, port=2))


def test_keys_are_found_through_ssh_config_and_home(
    make_runner: MakeRunner, target: Target, keys: Path, tmp_path: Path
) -> None:
    """Without a key in the inventory, IdentityFile is used, then ~/.ssh/id_ed25519."""
    bare = replace(target, identity_file=None)
    assert _runs(make_runner(config=f"IdentityFile {keys}/user\n").connect(bare)) == b"root"

    (tmp_path / ".ssh").mkdir()
    shutil.copy(keys / "user", tmp_path / ".ssh" / "id_ed25519")

    assert _runs(make_runner().connect(bare)) == b"root"


def test_wrong_key_is_refused_with_what_was_tried(make_runner: MakeRunner, target: Target, keys: Path) -> None:
    """A host that lets nobody in is refused: user, key and the command to try are in the message."""
    with pytest.raises(Refused, match=rf"does not accept root's key; tried: {keys}/stranger"):
        make_runner().connect(replace(target, identity_file=str(keys / "stranger")))


@pytest.mark.parametrize("content", [None, b"", b"not a key", b"\xff\xfe"])
def test_key_file_that_is_none_is_refused_with_its_name(
    make_runner: MakeRunner, target: Target, tmp_path: Path, content: bytes | None
) -> None:
    """A missing or broken key file is named."""
    path = tmp_path / "my-key"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(Refused, match=r"my-key (does not exist|is no private key)"):
        make_runner().connect(replace(target, identity_file=str(path)))


def test_encrypted_key_needs_an_agent(make_runner: MakeRunner, target: Target, keys: Path) -> None:
    """An encrypted key is refused with the cure; nobody is asked for a passphrase."""
    with pytest.raises(Refused, match="locked is encrypted; add it to an agent with ssh-add"):
        make_runner().connect(replace(target, identity_file=str(keys / "locked")))


@pytest.fixture
def agent(keys: Path, tmp_path: Path) -> Iterator[str]:
    """An SSH agent that holds the key `user`."""
    path = str(tmp_path / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    wait_until(lambda: Path(path).exists())
    subprocess.run(
        ["ssh-add", "-q", str(keys / "user")],
        check=True,
        env={**os.environ, "SSH_AUTH_SOCK": path},
        capture_output=True,
    )
    yield path
    process.kill()
    process.wait()


def test_agent_is_asked_after_the_keys(make_runner: MakeRunner, target: Target, keys: Path, agent: str) -> None:
    """SSH_AUTH_SOCK or IdentityAgent leads to an agent; IdentitiesOnly and `none` keep it out."""
    other = replace(target, identity_file=str(keys / "locked"))
    environment = {"SSH_AUTH_SOCK": agent}

    assert _runs(make_runner(environment=environment).connect(other)) == b"root"
    assert _runs(make_runner(config=f"IdentityAgent {agent}\n").connect(other)) == b"root"
    for line in ("IdentitiesOnly yes", "IdentityAgent none"):
        with pytest.raises(Refused, match="does not accept root"):
            make_runner(environment=environment, config=f"{line}\n").connect(other)


def test_agent_that_does_not_answer_is_named(make_runner: MakeRunner, target: Target, keys: Path) -> None:
    """A dead agent is part of the message, not an exception."""
    with pytest.raises(Refused, match="the agent at /nonexistent does not answer"):
        make_runner(environment={"SSH_AUTH_SOCK": "/nonexistent"}).connect(
            replace(target, identity_file=str(keys / "stranger"))
        )


def test_password_comes_by_reference(make_runner: MakeRunner, target: Target, keys: Path) -> None:
    """A password behind a reference logs in after the key failed."""
    told = replace(target, user="worker", identity_file=str(keys / "stranger"), password="env:PW")

    assert _runs(make_runner(environment={"PW": PASSWORD}).connect(told)) == b"worker"


@pytest.mark.parametrize("reference", [PASSWORD, "env:UNSET", "file:/nonexistent"])
def test_password_that_is_no_reference_is_refused_before_contact(
    make_runner: MakeRunner, target: Target, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A literal password is not used and not repeated; nobody is contacted."""
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("contacted"))

    with pytest.raises(Refused) as caught:
        make_runner().connect(replace(target, password=reference))

    assert PASSWORD not in str(caught.value)


def test_wrong_password_is_tried_once(make_runner: MakeRunner, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong password is offered once, for accounts lock; it is not shown."""
    offered: list[str] = []
    real = paramiko.Transport.auth_password

    def counting(self: paramiko.Transport, username: str, password: str) -> list[str]:
        offered.append(password)
        return real(self, username, password)

    monkeypatch.setattr(paramiko.Transport, "auth_password", counting)
    told = replace(target, user="worker", identity_file=None, password="env:PW")

    with pytest.raises(Refused, match="tried: the password") as caught:
        make_runner(environment={"PW": "wr0ng-guess"}).connect(told)

    assert offered == ["wr0ng-guess"]
    assert "wr0ng-guess" not in str(caught.value)


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
        _runs(runners[0].connect(target))
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


def test_link_cut_before_a_fix_is_unreachable_and_starts_nothing(root: Host, daemon: Daemon, new_id: NewId) -> None:
    """A link that was gone before is told from one that was lost: nothing was started."""
    execution_id = new_id()
    daemon.cut_links()
    wait_until(lambda: not root.session._connection.transport.is_active())  # type: ignore[attr-defined]

    with pytest.raises(Unreachable):
        root.session.fix(*root.fix_job(b"echo ran", execution_id=execution_id))

    assert not (root.markers / execution_id).exists()


def test_link_cut_during_collection_keeps_what_was_heard(root: Host, daemon: Daemon) -> None:
    """Collectors that had ended keep their answer; the others are lost, each with an output."""
    jobs = [
        root.collect_job(b"echo done", signal="first"),
        root.collect_job(b"touch /tmp/second-began; sleep 30", signal="second", timeout_s=60),
        root.collect_job(b"echo never", signal="third"),
    ]
    began = root.machine.path("/tmp/second-began")

    def cut_then() -> None:
        wait_until(began.exists)
        daemon.cut_links()

    watcher = threading.Thread(target=cut_then, daemon=True)
    watcher.start()

    outputs = root.session.collect(jobs).outputs

    watcher.join()
    assert (outputs["first"].ending, outputs["first"].stdout.head) == (CollectorEnding.EXITED, b"done\n")
    assert outputs["second"].ending is CollectorEnding.LOST
    assert outputs["third"].ending is CollectorEnding.LOST


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


class _Impostor:
    """A server that accepts, says something, and then nothing more."""

    def __init__(self, address: str, says: bytes, *, endless: bool = False) -> None:
        self._listener = socket.create_server((address, 0))
        self.port = self._listener.getsockname()[1]
        self._says = says
        self._endless = endless
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        held = []
        while True:
            try:
                accepted, _ = self._listener.accept()
                held.append(accepted)
                accepted.sendall(self._says)
                while self._endless:
                    accepted.sendall(self._says)
            except OSError:
                if self._listener.fileno() < 0:
                    for each in held:
                        each.close()
                    return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.mark.parametrize(
    ("says", "endless"),
    [
        (b"", False),
        (b"SSH-2.0-tarpit\r\n", False),
        (b"SSH-2.0-x\r\n" + b"\xff" * 100, False),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"banner without end ", True),
        (b"line\r\n", True),
    ],
)
def test_host_that_is_no_ssh_server_is_unreachable_in_time(
    target: Target,
    make_runner: MakeRunner,
    tmp_path: Path,
    keys: Path,
    says: bytes,
    endless: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Silence, rubbish and endless banners end as unreachable, within the deadline, with bounded memory."""
    monkeypatch.setattr(connection_module, "_HANDSHAKE_S", 1)
    impostor = _Impostor("127.0.7.3", says, endless=endless)
    known = tmp_path / "known"
    known.write_text(f"[127.0.7.3]:{impostor.port} " + (keys / "host.pub").read_text())
    began = time.monotonic()
    try:
        with pytest.raises(Unreachable, match=r"^root@127.0.7.3"):
            make_runner(known=known).connect(replace(target, address="127.0.7.3", port=impostor.port))
    finally:
        impostor.close()

    assert time.monotonic() - began < 5


class _Server(paramiko.ServerInterface):
    """A server that lets everybody in, and then does as it was told."""

    def __init__(self, transport: paramiko.Transport, behaviour: str) -> None:
        self._transport = transport
        self._behaviour = behaviour

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if self._behaviour == "drops at login":
            self._transport.sock.shutdown(socket.SHUT_RDWR)
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if self._behaviour == "opens no channel":
            return paramiko.common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        if self._behaviour == "drops at exec":
            self._transport.sock.shutdown(socket.SHUT_RDWR)
        if self._behaviour == "says -1":
            threading.Thread(target=self._close, args=(channel,), daemon=True).start()
        return self._behaviour in ("says -1", "stalls")

    def _close(self, channel: paramiko.Channel) -> None:
        channel.shutdown_write()
        channel.close()


@pytest.fixture
def odd_host(
    request: pytest.FixtureRequest, make_runner: MakeRunner, target: Target, keys: Path, tmp_path: Path
) -> Iterator[Callable[[], Session]]:
    """Connect to a host with an odd behaviour, which speaks SSH otherwise."""
    listener = socket.create_server(("127.0.7.5", 0))
    port = listener.getsockname()[1]
    transports: list[paramiko.Transport] = []

    def serve() -> None:
        accepted, _ = listener.accept()
        transport = paramiko.Transport(accepted)
        transports.append(transport)
        transport.add_server_key(paramiko.PKey.from_path(keys / "host"))
        transport.start_server(event=threading.Event(), server=_Server(transport, request.param))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    known = tmp_path / "known"
    known.write_text(f"[127.0.7.5]:{port} " + (keys / "host.pub").read_text())
    yield lambda: make_runner(known=known).connect(replace(target, address="127.0.7.5", port=port))
    thread.join(5)
    for transport in transports:
        transport.close()
    listener.close()


@pytest.mark.parametrize("odd_host", ["drops at login"], indirect=True)
def test_link_lost_at_login_is_unreachable(odd_host: Callable[[], Session]) -> None:
    """A connection that breaks during the login is no wrong key."""
    with pytest.raises(Unreachable, match="ended the connection during the login"):
        odd_host()


@pytest.mark.parametrize("odd_host", ["refuses exec", "drops at exec", "says -1"], indirect=True)
def test_fix_is_lost_from_the_moment_it_was_asked_for(odd_host: Callable[[], Session], root: Host) -> None:
    """A link that breaks after the request, a host that does not say yes, an end without status: all lost."""
    session = odd_host()

    result = session.fix(*root.fix_job(b":", execution_id="c" * 16))
    session.close()

    assert (result.ending, result.exit_code) == (FixEnding.LOST, None)


@pytest.mark.parametrize("odd_host", ["stalls"], indirect=True)
def test_host_that_stalls_is_left_for_good(
    odd_host: Callable[[], Session], root: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that does not say that it began is lost in time, and the connection is reset: nothing can begin later."""
    monkeypatch.setattr(session_module, "START_GRACE_S", 1)
    session = odd_host()

    result = session.fix(*root.fix_job(b":", execution_id="a" * 16))

    assert result.ending is FixEnding.LOST
    assert not session._connection.transport.is_active()  # type: ignore[attr-defined]
    with pytest.raises(Unreachable):
        session.collect([root.collect_job(b":")])
    session.close()


@pytest.mark.parametrize("odd_host", ["opens no channel"], indirect=True)
def test_fix_without_a_channel_is_refused(odd_host: Callable[[], Session], root: Host) -> None:
    """Without a channel nothing was sent: refused, and never lost."""
    session = odd_host()

    result = session.fix(*root.fix_job(b":", execution_id="b" * 16))
    session.close()

    assert (result.ending, result.exit_code) == (FixEnding.REFUSED, None)
    assert "opens no session" in result.reason


def test_host_that_talks_too_much_before_it_is_known_is_cut_off() -> None:
    """Before the login is done a host can send a quarter of a megabyte, and afterwards what it likes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        guard = connection_module._GuardedSocket(ours)
        theirs.sendall(bytes(1_000))
        before = len(guard.recv(4_096))
        guard._left = 999
        theirs.sendall(bytes(1_000))
        with pytest.raises(OSError, match="too much"):
            guard.recv(4_096)
        guard.trust()
        theirs.sendall(bytes(1_000))
        after = len(guard.recv(4_096))

    assert (before, after) == (1_000, 1_000)


def _exceptions_of_paramiko() -> list[type[Exception]]:
    modules = (paramiko, paramiko.ssh_exception, paramiko.pkey, paramiko.agent, paramiko.transport, paramiko.config)
    found = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__.startswith("paramiko")
    }
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", _exceptions_of_paramiko(), ids=lambda kind: kind.__name__)
def test_every_exception_of_paramiko_is_translated(kind: type[Exception]) -> None:
    """Each class of the library has its own place in our tree; a new one must be given one."""
    exc = kind.__new__(kind)
    Exception.__init__(exc, "said")
    exc.__dict__.update(
        hostname="h", explanation="e", allowed_types=[], code=1, text="t", command="c", error="e", key_type="k",
        key_bytes=b"", errors={}, result=[],
        key=paramiko.Ed25519Key(data=_ed25519_blob()), expected_key=paramiko.Ed25519Key(data=_ed25519_blob()),
    )  # fmt: skip

    ours = translate(exc, "web-1")

    assert isinstance(ours, Refused | Unreachable)
    assert "unexpected" not in str(ours)


def _ed25519_blob() -> bytes:
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    line = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (EOFError(), Unreachable),
        (TimeoutError(), Unreachable),
        (ConnectionResetError(104, "reset"), Unreachable),
        (paramiko.AuthenticationException("no"), Refused),
        (ValueError("anything a host can make the library say"), Unreachable),
    ],
)
def test_other_exceptions_are_translated(exc: Exception, kind: type[Exception]) -> None:
    """Whatever a broken host makes Python raise leaves as one of ours."""
    assert type(translate(exc, "web-1")) is kind
