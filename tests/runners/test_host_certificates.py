"""Host certificates, against real daemons that show them, and ssh as the judge where it can be."""

import base64
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remedy.errors import Refused
from remedy.port import Target
from remedy_runners.hostkeys import HostKey, HostTrust, KnownHosts, Shown
from remedy_runners.hostkeys.certificate import HostCertificate, read_certificate
from tests.runners.machines import PORT, Daemon, Machine, MakeRunner, make_key, output_of, start_daemon

_SSHD_ONLY = pytest.mark.sshd
_addresses = (f"127.0.8.{number}" for number in range(1, 250))


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A host's key with a certificate: the key's file, its public text, and the certificate's."""

    path: Path
    public: str
    certificate: str

    @property
    def blob(self) -> bytes:
        return base64.b64decode(self.certificate.split()[1])


Sign = Callable[..., Signed]


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with keys of authorities."""
    directory = tmp_path_factory.mktemp("authorities")
    for kind in ("ed25519", "ecdsa", "rsa"):
        make_key(directory / kind, kind)
    make_key(directory / "stranger")
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "1024", "-N", "", "-f", directory / "weak"], check=True)
    return directory


@pytest.fixture
def sign(authorities: Path, tmp_path: Path) -> Sign:
    """Make a key of a host and have it signed."""
    made = iter(range(100))

    def signed(*more: str, by: str = "ed25519", kind: str = "ed25519", names: str = "", of_host: bool = True) -> Signed:
        path = make_key(tmp_path / f"signed-{next(made)}", kind)
        words = ["ssh-keygen", "-q", "-s", str(authorities / by), "-I", "an id", *(["-h"] if of_host else [])]
        subprocess.run([*words, *(["-n", names] if names else []), *more, f"{path}.pub"], check=True)
        public = " ".join(Path(f"{path}.pub").read_text().split()[:2])
        return Signed(path=path, public=public, certificate=Path(f"{path}-cert.pub").read_text())

    return signed


Serve = Callable[[Signed, str], Daemon]


@pytest.fixture
def serve(machine: Machine, keys: Path, tmp_path: Path) -> Iterator[Serve]:
    """Start daemons that show a certificate."""
    started: list[Daemon] = []

    def serving(signed: Signed, address: str) -> Daemon:
        shutil.copy(keys / "user.pub", tmp_path)
        certificate = machine.directory / "etc" / f"{signed.path.name}-{address}-cert.pub"
        certificate.write_text(signed.certificate)
        daemon = start_daemon(
            machine,
            signed.path.parent,
            address=address,
            host_key=signed.path.name,
            more=f"HostCertificate /etc/{certificate.name}\n",
        )
        started.append(daemon)
        return daemon

    yield serving
    for daemon in started:
        daemon.process.kill()
        daemon.process.wait()


@pytest.fixture
def address() -> str:
    """An address that no other daemon has."""
    return next(_addresses)


def _authority(authorities: Path, name: str) -> str:
    return " ".join((authorities / f"{name}.pub").read_text().split()[:2])


def _target(daemon: Daemon, keys: Path) -> Target:
    return Target(name="web-1", address=daemon.address, port=daemon.port, identity_file=str(keys / "user"))


def _ssh_connects(daemon: Daemon, keys: Path, known: Path, *more: str) -> bool:
    words = ("BatchMode=yes", "StrictHostKeyChecking=yes", "GlobalKnownHostsFile=none", f"UserKnownHostsFile={known}")
    options = [word for option in (*words, "UpdateHostKeys=no", *more) for word in ("-o", option)]
    login = ["-i", str(keys / "user"), "-p", str(daemon.port), f"root@{daemon.address}", "true"]
    return subprocess.run(["ssh", "-F", "none", *options, *login], capture_output=True, check=False).returncode == 0


@_SSHD_ONLY
@pytest.mark.parametrize(
    ("by", "kind"),
    [
        ("ed25519", "ed25519"),
        ("ecdsa", "rsa"),
        ("rsa", "ecdsa"),
        *(
            pytest.param(by, kind, marks=pytest.mark.slow)
            for by, kind in (("ed25519", "rsa"), ("ed25519", "ecdsa"), ("ecdsa", "ecdsa"), ("rsa", "rsa"))
        ),
    ],
)
def test_host_with_a_certificate_is_let_in(
    sign: Sign, serve: Serve, authorities: Path, keys: Path, address: str, tmp_path: Path, make_runner: MakeRunner,
    kind: str, by: str,
) -> None:  # fmt: skip
    """A host of which only the authority is known proves itself by its certificate, with keys of all kinds."""
    daemon = serve(sign(by=by, kind=kind, names=f"web-1,{address}"), address)
    known = tmp_path / "known"
    known.write_text(f"@cert-authority 127.0.8.* {_authority(authorities, by)}\n")

    assert output_of(make_runner(known=known).connect(_target(daemon, keys))) == b"root"
    assert _ssh_connects(daemon, keys, known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A certificate that does not count: how it is made, what is known, what we say, whether some ssh lets it in."""

    made: tuple[str, ...] = ()
    names: str | None = None
    by: str = "ed25519"
    known: str = "@cert-authority * {ed25519}\n"
    said: str
    ssh_may: bool = False


BAD = {
    "expired": Bad(made=("-V", "-2h:-1h"), said="NOT TRUSTED: it expired at 20"),
    "not yet": Bad(made=("-V", "+1h:+2h"), said="NOT TRUSTED: it counts only from 20"),
    "other name": Bad(
        names="web-1.example.com,x", said="NOT TRUSTED: it is for web-1.example.com, x, not for 127.0.8."
    ),
    "longer name": Bad(names="{address}.example.com", said="NOT TRUSTED: it is for 127"),
    "no name": Bad(names="", said="NOT TRUSTED: it names no host", ssh_may=True),
    "critical option": Bad(made=("-O", "critical:no-such@example.com"), said="critical option no-such@example.com"),
    "other authority": Bad(by="stranger", said="NOT TRUSTED: its authority ssh-ed25519 SHA256:"),
    "SHA-1": Bad(by="rsa", made=("-t", "ssh-rsa"), known="@cert-authority * {rsa}\n", said="it is signed with ssh-rsa"),
    "weak authority": Bad(by="weak", known="@cert-authority * {weak}\n", said="less than 2048 bits", ssh_may=True),
    "revoked authority": Bad(
        known="@cert-authority * {ed25519}\n@revoked * {ed25519}\n", said="THE AUTHORITY OF ITS CERTIFICATE IS REVOKED"
    ),
    "revoked authority, known key": Bad(
        known="@cert-authority * {ed25519}\n@revoked * {ed25519}\n{here} {key}\n",
        said="THE AUTHORITY OF ITS CERTIFICATE IS REVOKED",
    ),
    "revoked key": Bad(
        known="@revoked * {key}\n@cert-authority * {ed25519}\n{here} {key}\n", said="THE HOST KEY IS REVOKED"
    ),
    "expired, other key known": Bad(
        made=("-V", "-2h:-1h"),
        known="@cert-authority * {ed25519}\n{here} {stranger}\n",
        said="HAS CHANGED.* Its certificate does not help: it expired",
    ),
}


@_SSHD_ONLY
@pytest.mark.parametrize("case", BAD)
def test_certificate_that_does_not_count_is_refused(
    sign: Sign, serve: Serve, authorities: Path, keys: Path, address: str, tmp_path: Path, make_runner: MakeRunner,
    case: str,
) -> None:  # fmt: skip
    """Time, name, type, authority, algorithm, options and revocation are looked at; ssh agrees, or is less strict."""
    bad = BAD[case]
    names = address if bad.names is None else bad.names.format(address=address)
    signed = sign(*bad.made, by=bad.by, names=names)
    daemon = serve(signed, address)
    known = tmp_path / "known"
    texts = {name: _authority(authorities, name) for name in ("ed25519", "rsa", "weak", "stranger")}
    known.write_text(bad.known.format(here=f"[{address}]:{PORT}", key=signed.public, **texts))

    with pytest.raises(Refused, match=bad.said) as caught:
        make_runner(known=known).connect(_target(daemon, keys))

    assert caught.value.identity
    assert "Nothing was sent" in str(caught.value)
    assert bad.ssh_may or not _ssh_connects(daemon, keys, known)


@_SSHD_ONLY
def test_certificate_that_does_not_count_leaves_the_known_key(
    sign: Sign, serve: Serve, authorities: Path, keys: Path, address: str, tmp_path: Path, make_runner: MakeRunner
) -> None:
    """A host whose certificate expired is let in by its own key, which somebody recorded; so does ssh."""
    signed = sign("-V", "-2h:-1h", names=address)
    daemon = serve(signed, address)
    known = tmp_path / "known"
    known.write_text(f"@cert-authority * {_authority(authorities, 'ed25519')}\n[{address}]:{PORT} {signed.public}\n")

    assert output_of(make_runner(known=known).connect(_target(daemon, keys))) == b"root"
    assert _ssh_connects(daemon, keys, known)


@_SSHD_ONLY
def test_host_without_a_certificate_is_not_known(
    daemon: Daemon, authorities: Path, keys: Path, tmp_path: Path, make_runner: MakeRunner
) -> None:
    """Where only an authority is known, a host that shows a bare key is refused as one that is not enrolled."""
    known = tmp_path / "known"
    known.write_text(f"@cert-authority * {_authority(authorities, 'ed25519')}\n")

    with pytest.raises(Refused, match=r"without a certificate, and .*known:1 knows only an authority") as caught:
        make_runner(known=known).connect(_target(daemon, keys))

    assert not caught.value.identity
    assert not _ssh_connects(daemon, keys, known)


@_SSHD_ONLY
def test_alias_is_the_name_a_certificate_must_have(
    sign: Sign, serve: Serve, authorities: Path, keys: Path, address: str, tmp_path: Path, make_runner: MakeRunner
) -> None:
    """With HostKeyAlias the certificate must name the alias, and neither address nor port; as with ssh."""
    daemon = serve(sign(names="web-1.example.com"), address)
    known = tmp_path / "known"
    known.write_text(f"@cert-authority *.example.com {_authority(authorities, 'ed25519')}\n")
    named, other = "HostKeyAlias Web-1.example.com\n", "HostKeyAlias web-2.example.com\n"

    assert output_of(make_runner(known=known, config=named).connect(_target(daemon, keys))) == b"root"
    with pytest.raises(Refused, match=r"it is for web-1\.example\.com, not for web-2\.example\.com"):
        make_runner(known=known, config=other).connect(_target(daemon, keys))
    assert _ssh_connects(daemon, keys, known, "HostKeyAlias=web-1.example.com")
    assert not _ssh_connects(daemon, keys, known, "HostKeyAlias=web-2.example.com")


def _trust(tmp_path: Path, text: str, host: str = "web-1") -> HostTrust:
    path = tmp_path / "known_hosts"
    path.write_text(text)
    return KnownHosts().trust(host, 22, [path])


def _check(trust: HostTrust, shown: Shown, now_s: int) -> None:
    trust.check(shown, where="root@web-1:22", key_files="known_hosts", forget="ssh-keygen -R web-1", now_s=now_s)


def _seconds(text: str) -> int:
    return int(datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp())


def test_certificate_of_a_user_is_none_of_a_host(sign: Sign, authorities: Path, tmp_path: Path) -> None:
    """A certificate that the same authority gave a user proves no host, whatever names it has."""
    signed = sign(names="web-1", of_host=False)
    certificate = read_certificate(signed.blob)

    with pytest.raises(Refused, match="it is a certificate of a user, not of a host") as caught:
        _check(
            _trust(tmp_path, f"@cert-authority * {_authority(authorities, 'ed25519')}\n"),
            Shown(key=certificate.key, certificate=signed.blob),
            0,
        )

    assert caught.value.identity


def test_clock_that_counts_is_the_one_given(sign: Sign, authorities: Path, tmp_path: Path) -> None:
    """A certificate counts from its first second to the one before its last, by the time that is passed in."""
    signed = sign("-V", "20270101000000Z:20270201000000Z", names="web-1")
    trust = _trust(tmp_path, f"@cert-authority * {_authority(authorities, 'ed25519')}\n")
    shown = Shown(key=read_certificate(signed.blob).key, certificate=signed.blob)
    first, behind = _seconds("20270101000000"), _seconds("20270201000000")

    _check(trust, shown, first)
    _check(trust, shown, behind - 1)
    with pytest.raises(Refused, match="it counts only from 2027-01-01 00:00:00 UTC on"):
        _check(trust, shown, first - 1)
    with pytest.raises(Refused, match="it expired at 2027-02-01 00:00:00 UTC"):
        _check(trust, shown, behind)


def test_certificate_says_what_ssh_keygen_says(sign: Sign, authorities: Path) -> None:
    """What is read from a certificate is what went into it; one without end has no last second."""
    signed = sign("-V", "always:forever", by="rsa", kind="ecdsa", names="web-1,web-2")
    authority = base64.b64decode(_authority(authorities, "rsa").split()[1])

    assert read_certificate(signed.blob) == HostCertificate(
        key=HostKey(kind="ecdsa-sha2-nistp256", blob=base64.b64decode(signed.public.split()[1])),
        authority=HostKey(kind="ssh-rsa", blob=authority),
        key_id="an id",
        is_of_host=True,
        principals=(b"web-1", b"web-2"),
        valid_after_s=0,
        valid_before_s=2**64 - 1,
        critical_options=(),
    )


@pytest.mark.parametrize(("by", "kind"), [("ed25519", "ed25519"), ("ecdsa", "ecdsa"), ("rsa", "ed25519")])
def test_certificate_with_one_bit_turned_is_refused(
    sign: Sign, authorities: Path, tmp_path: Path, by: str, kind: str
) -> None:
    """Whichever byte of a certificate is another one, no host is let in by it; nor is it by any part of it."""
    signed = sign(by=by, kind=kind, names="web-1")
    trust = _trust(tmp_path, f"@cert-authority * {_authority(authorities, by)}\n")
    key = read_certificate(signed.blob).key
    odd = [signed.blob[:at] + bytes([signed.blob[at] ^ 1]) + signed.blob[at + 1 :] for at in range(len(signed.blob))]
    cut = [signed.blob[:at] for at in range(len(signed.blob))]

    _check(trust, Shown(key=key, certificate=signed.blob), _seconds("20260101000000"))
    for blob in (*odd, *cut, signed.blob + b"\0"):
        with pytest.raises(Refused):
            _check(trust, Shown(key=key, certificate=blob), _seconds("20260101000000"))


def test_certificate_of_another_key_is_none(sign: Sign, authorities: Path, tmp_path: Path) -> None:
    """A good certificate beside a key that it is not for does not count."""
    signed, other = sign(names="web-1"), sign(names="web-1")
    trust = _trust(tmp_path, f"@cert-authority * {_authority(authorities, 'ed25519')}\n")
    shown = Shown(key=read_certificate(other.blob).key, certificate=signed.blob)

    with pytest.raises(Refused, match="it is for another key than the one shown"):
        _check(trust, shown, 0)


def test_authority_counts_for_its_names_only(sign: Sign, authorities: Path, tmp_path: Path) -> None:
    """An authority that is known for other hosts says nothing about this one, and certificates are not asked for."""
    signed = sign(names="web-1")
    text = f"@cert-authority *.example.com {_authority(authorities, 'ed25519')}\nweb-1 {signed.public}\n"
    trust = _trust(tmp_path, text)

    assert not any("cert" in name for name in trust.algorithms)
    assert trust.authorities == ()
    with pytest.raises(Refused, match=r"HAS CHANGED.*its authority .* is not known for this host"):
        _check(
            replace(trust, keys=_trust(tmp_path, f"web-1 {_authority(authorities, 'stranger')}\n").keys),
            Shown(key=read_certificate(signed.blob).key, certificate=signed.blob),
            0,
        )


def test_algorithms_ask_for_what_can_be_checked(authorities: Path, tmp_path: Path) -> None:
    """Certificates come first where an authority is known, then known kinds, then the rest; nothing with SHA-1 ever."""
    trust = _trust(
        tmp_path,
        f"@cert-authority * {_authority(authorities, 'ed25519')}\nweb-1 {_authority(authorities, 'rsa')}\n",
    )

    assert trust.algorithms[:3] == (
        "rsa-sha2-512-cert-v01@openssh.com",
        "rsa-sha2-256-cert-v01@openssh.com",
        "ssh-ed25519-cert-v01@openssh.com",
    )
    assert trust.algorithms[6:9] == ("rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519")
    assert len(set(trust.algorithms)) == len(trust.algorithms) == 12
    assert not {"ssh-rsa", "ssh-rsa-cert-v01@openssh.com"} & set(trust.algorithms)
