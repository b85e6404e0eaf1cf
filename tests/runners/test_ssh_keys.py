"""Host keys and identities: who is let in, who is refused, and the line to type against it."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from remedy.errors import Refused, Unreachable
from remedy.port import Target
from tests.behaviour.waiting import wait_until
from tests.runners.machines import ADDRESS, PASSWORD, PORT, MakeRunner, output_of

pytestmark = pytest.mark.sshd


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

    assert output_of(make_runner(known=known).connect(target)) == b"root"


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

    assert output_of(runner.connect(target)) == b"root"
    assert len(runner.warnings) == 3


def test_known_hosts_of_the_target_wins(
    make_runner: MakeRunner, target: Target, tmp_path: Path, known_hosts: Path
) -> None:
    """remedy_known_hosts of a host is asked instead of every other file, then UserKnownHostsFile, then the default."""
    own, empty = tmp_path / "own", tmp_path / "empty"
    shutil.copy(known_hosts, own)
    empty.touch()
    settings = f"UserKnownHostsFile {empty}\nGlobalKnownHostsFile none\n"

    assert output_of(make_runner(known=empty).connect(replace(target, known_hosts=str(own)))) == b"root"
    assert output_of(make_runner(known=empty, config=f"UserKnownHostsFile {own}\n").connect(target)) == b"root"
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
    assert output_of(make_runner(config=f"IdentityFile {keys}/user\n").connect(bare)) == b"root"

    (tmp_path / ".ssh").mkdir()
    shutil.copy(keys / "user", tmp_path / ".ssh" / "id_ed25519")

    assert output_of(make_runner().connect(bare)) == b"root"


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

    assert output_of(make_runner(environment=environment).connect(other)) == b"root"
    assert output_of(make_runner(config=f"IdentityAgent {agent}\n").connect(other)) == b"root"
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

    assert output_of(make_runner(environment={"PW": PASSWORD}).connect(told)) == b"worker"


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
