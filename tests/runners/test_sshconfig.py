"""ssh_config: what is followed, and what is refused by name rather than passed over."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from remedy.errors import Refused, UsageError
from remedy.port import Target
from remedy_runners.ssh import SSHRunner
from remedy_runners.sshconfig import HostSettings, SSHConfigFiles

Settings = Callable[..., HostSettings]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Read the settings of a host from the text of a file in ~/.ssh."""

    def read(text: str, host: str = "web-1") -> HostSettings:
        (tmp_path / ".ssh").mkdir(exist_ok=True)
        path = tmp_path / ".ssh" / "config"
        path.write_text(text)
        return SSHConfigFiles([path, tmp_path / "absent"], home=tmp_path).settings(host)

    return read


def test_settings_follow_the_blocks(settings: Settings, tmp_path: Path) -> None:
    """The first value wins, patterns choose, ~ is the home that was given."""
    found = settings(
        "Host web-1\n HostName 192.0.2.7\n Port 2222\n IdentityFile ~/.ssh/web\n"
        "Host web-*\n Port 22\n User deploy\n UserKnownHostsFile ~/.ssh/kh1 ~/.ssh/kh2\n ConnectTimeout=4\n"
        "Host *\n IdentitiesOnly yes\n IdentityFile %d/.ssh/all\n"
    )

    assert (found.hostname, found.port, found.user, found.connect_timeout_s) == ("192.0.2.7", 2222, "deploy", 4)
    assert found.identity_files == (tmp_path / ".ssh/web", tmp_path / ".ssh/all")
    assert found.user_known_hosts == (tmp_path / ".ssh/kh1", tmp_path / ".ssh/kh2")
    assert found.identities_only


def test_settings_without_files_say_nothing(tmp_path: Path) -> None:
    """A file that is not there changes nothing."""
    found = SSHConfigFiles([tmp_path / "none"], home=tmp_path).settings("web-1")

    assert (found.hostname, found.port, found.user, found.user_known_hosts) == ("web-1", None, None, None)


@pytest.mark.parametrize(
    "line",
    [
        "ProxyJump bastion",
        "proxyjump=bastion",
        "ProxyCommand nc %h %p",
        "CertificateFile ~/.ssh/id-cert.pub",
        "BindAddress 192.0.2.1",
        "BindInterface eth1",
        "CanonicalizeHostname yes",
        "KnownHostsCommand /bin/x",
        "PKCS11Provider /lib/x.so",
        "RevokedHostKeys /etc/ssh/revoked",
    ],
)
def test_directive_that_is_not_supported_refuses_its_hosts_only(settings: Settings, line: str) -> None:
    """A host whose settings would lead elsewhere, or trust otherwise, is refused by the directive's name."""
    name = line.replace("=", " ").split()[0]

    with pytest.raises(Refused, match=f"(?i)^ssh_config asks for {name} "):
        settings(f"Host web-1\n {line}\n")

    assert settings(f"Host web-2\n {line}\n").hostname == "web-1"


@pytest.mark.parametrize("line", ["ProxyJump none", "ProxyCommand none", "CanonicalizeHostname no"])
def test_directive_that_asks_for_nothing_is_fine(settings: Settings, line: str) -> None:
    """A value that switches the thing off is supported."""
    assert settings(f"Host *\n {line}\n").hostname == "web-1"


def test_host_key_alias_is_followed(settings: Settings) -> None:
    """The name under which a host's key is looked up comes from the first block that has one; else there is none."""
    text = "Host web-*\n HostKeyAlias cluster\nHost *\n HostKeyAlias other\n"

    assert settings(text).host_key_alias == "cluster"
    assert settings("Host web-2\n HostKeyAlias x\n").host_key_alias is None


def test_several_known_hosts_files_may_have_blanks(settings: Settings, tmp_path: Path) -> None:
    """Quotes keep a path with blanks together, one among several as well; `none` names no file."""
    found = settings(
        'UserKnownHostsFile ~/.ssh/one "~/.ssh/with two blanks"\t"%d/.ssh/three"\nGlobalKnownHostsFile "none"\n'
    )

    assert found.user_known_hosts == tuple(tmp_path / ".ssh" / name for name in ("one", "with two blanks", "three"))
    assert found.global_known_hosts == ()


def test_match_exec_is_refused_and_not_run(settings: Settings, tmp_path: Path) -> None:
    """No command of a settings file is ever run."""
    with pytest.raises(Refused, match="Match exec is not supported"):
        settings(f'Match exec "touch {tmp_path}/ran"\n Port 5\n')

    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "text", ["Port many\n", "Port 0\n", "Port 70000\n", "gibberish\n", "Match nonsense x\n", "IdentityFile ~/%k\n"]
)
def test_broken_settings_refuse_with_the_value(settings: Settings, text: str) -> None:
    """What cannot be read is refused, never guessed, and never another exception."""
    with pytest.raises(Refused, match=r"ssh_config|config:1: Match"):
        settings(text)


def test_include_is_followed(settings: Settings, tmp_path: Path) -> None:
    """Included files count where they stand, with globs and paths relative to ~/.ssh; the block around them goes on."""
    (tmp_path / ".ssh" / "d").mkdir(parents=True)
    (tmp_path / ".ssh" / "d" / "a.conf").write_text("Host web-1\n User from-a\n")
    (tmp_path / ".ssh" / "d" / "b.conf").write_text("User from-b\nPort 2200\n")

    top = settings("Include d/*.conf\nPort 2300\nUser last\nHost other\n Port 1\n")
    another = settings("Include d/*.conf\nPort 2300\nUser last\nHost other\n Port 1\n", "web-2")
    inside = settings(f"Host web-9\n Include {tmp_path}/.ssh/d/b.conf\n User nine\nHost *\n User all\n", "web-1")

    assert (top.user, top.port) == ("from-a", 2200)
    assert (another.user, another.port) == ("from-b", 2200)
    assert (inside.user, inside.port) == ("all", None)


def test_include_hides_no_jump_host(settings: Settings, tmp_path: Path) -> None:
    """A ProxyJump in an included file is seen."""
    (tmp_path / ".ssh").mkdir(exist_ok=True)
    (tmp_path / ".ssh" / "more").write_text("Host web-1\n ProxyJump bastion\n")

    with pytest.raises(Refused, match="ProxyJump bastion"):
        settings("Include more\n")


def test_include_without_end_is_refused(settings: Settings) -> None:
    """A file that includes itself is refused."""
    with pytest.raises(Refused, match="levels of Include"):
        settings("Include config\n")


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Settings that are there and cannot be read are not taken for absent ones."""
    (tmp_path / "config").mkdir()

    with pytest.raises(Refused, match="cannot be read"):
        SSHConfigFiles([tmp_path / "config"], home=tmp_path).settings("web-1")


def test_files_are_read_once(tmp_path: Path) -> None:
    """Ten thousand hosts read the files once: a file removed after the first host still counts."""
    path = tmp_path / "config"
    path.write_text("Port 2222\n")
    files = SSHConfigFiles([path], home=tmp_path)
    files.settings("web-1")
    path.unlink()

    assert files.settings("web-2").port == 2222


def test_line_that_cannot_be_read_is_named_with_its_number(settings: Settings, tmp_path: Path) -> None:
    """A line without a value is refused with the file it stands in and its number, also in an included file."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "more").write_text("# fine\n\ngib\x1bberish\n")

    with pytest.raises(Refused) as direct:
        settings("Port 22\n\ngibberish\n")
    with pytest.raises(Refused) as included:
        settings("Include more\n")

    assert str(direct.value).startswith(f"{tmp_path}/.ssh/config:3: ssh_config: 'gibberish' is no option")
    assert str(included.value).startswith(f"{tmp_path}/.ssh/more:3: ssh_config: 'gib\\x1bberish' is no option")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "it cannot be read: No such file or directory"),
        ("directory", "it is no regular file"),
        ("pipe", "it is no regular file"),
        ("binary", "it is no UTF-8 text"),
        ("zeros", "it is no UTF-8 text"),
    ],
)
def test_file_that_was_named_must_be_a_text(tmp_path: Path, kind: str, said: str) -> None:
    """A runner with a --ssh-config that is not there, no file or no text is not made; the message names the file."""
    path = tmp_path / "named"
    match kind:
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "binary":
            path.write_bytes(b"\x7fELF\xff\xfe")
        case "zeros":
            path.write_bytes(bytes(64))

    with pytest.raises(UsageError) as caught:
        SSHRunner(home=tmp_path, user="root", environment={}, ssh_config_files=[path])

    assert str(caught.value) == f"--ssh-config {path}: {said}; nobody was contacted"


def test_default_files_may_be_missing(tmp_path: Path) -> None:
    """Without --ssh-config a home without ~/.ssh/config is fine."""
    runner = SSHRunner(home=tmp_path, user="alice", environment={})

    assert runner.endpoint(Target(name="x", address="127.0.0.1", port=2201)).port == 2201
