"""known_hosts: what is read, what is skipped, and who is whom. ssh-keygen is the judge where it can be."""

import base64
import subprocess
import threading
from pathlib import Path

import pytest

from remedy.errors import Refused
from remedy_runners.hostkeys import HostKey, KnownHosts, fingerprint, known_hosts_name


def _blob(kind: str, *fields: bytes) -> bytes:
    return b"".join(len(field).to_bytes(4, "big") + field for field in (kind.encode(), *fields))


ED = HostKey(kind="ssh-ed25519", blob=_blob("ssh-ed25519", bytes(range(32))))
RSA = HostKey(kind="ssh-rsa", blob=_blob("ssh-rsa", b"\1\0\1", b"\0" + b"\xff" * 256))


def _text(key: HostKey) -> str:
    return f"{key.kind} {base64.b64encode(key.blob).decode()}"


def _known(tmp_path: Path, text: str | bytes, name: str) -> tuple[tuple[HostKey, ...], tuple[str, ...]]:
    path = tmp_path / "known_hosts"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    known_hosts = KnownHosts()
    return known_hosts.known(name, [path]), known_hosts.warnings


@pytest.mark.parametrize(
    ("names", "name", "found"),
    [
        ("web-1", "web-1", True),
        ("web-1", "web-10", False),
        ("Web-1.Example.COM", "web-1.example.com", True),
        ("web-1,192.0.2.7", "192.0.2.7", True),
        ("web-1", "[web-1]:2222", False),
        ("[web-1]:2222", "[web-1]:2222", True),
        ("[web-1]:2222", "web-1", False),
        ("[web-1]:2222", "[web-1]:2223", False),
        ("*.example.com", "web-1.example.com", True),
        ("*.example.com", "example.com", False),
        ("web-?", "web-1", True),
        ("web-?", "web-12", False),
        ("*.example.com,!bad.example.com", "bad.example.com", False),
        ("!bad.example.com,*.example.com", "bad.example.com", False),
        ("!bad.example.com,*.example.com", "good.example.com", True),
        ("!web-1", "web-2", False),
        ("web-[12]", "web-1", False),
        ("[*]:2222", "[web-1]:2222", True),
        ("2001:db8::1", "2001:db8::1", True),
    ],
)
def test_names_match_as_openssh_says(tmp_path: Path, names: str, name: str, found: bool) -> None:
    """Plain names, lists, ports, wildcards and negation lead to the host they name, and to no other."""
    path = tmp_path / "known_hosts"
    path.write_text(f"{names} {_text(ED)} a comment\n")

    keys = KnownHosts().known(name, [path])

    assert bool(keys) is found
    if "[12]" not in names:
        judged = subprocess.run(["ssh-keygen", "-F", name, "-f", path], capture_output=True, check=False)
        assert (judged.returncode == 0) is found


def test_hashed_names_match(tmp_path: Path) -> None:
    """Names hashed by ssh-keygen are found, with and without a port, and no others."""
    path = tmp_path / "known_hosts"
    path.write_text(f"web-1 {_text(ED)}\n[web-2]:2222 {_text(RSA)}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True, capture_output=True)
    known_hosts = KnownHosts()

    found = [known_hosts.known(name, [path]) for name in ("web-1", "[web-2]:2222", "web-2", "web-3")]

    assert "web" not in path.read_text()
    assert found == [(ED,), (RSA,), (), ()]


def test_unreadable_lines_are_skipped_each_with_one_warning(tmp_path: Path) -> None:
    """Whatever stands in a broken line costs that line only, and is said once however often the file is used."""
    bad = [
        b"web-1 ssh-ed25519",
        b"web-1 ssh-ed25519 not/base64!!",
        b"web-1 ssh-ed25519 " + base64.b64encode(ED.blob[:-5]),
        b"web-1 ssh-rsa " + base64.b64encode(ED.blob),
        b"@unheard-of web-1 " + _text(ED).encode(),
        b"w\xc3\xa4b-1 " + _text(ED).encode(),
        b"|1|x|y " + _text(ED).encode(),
        b"|2|" + base64.b64encode(b"x") + b"|" + base64.b64encode(b"y") + b" " + _text(ED).encode(),
        b"\x00\x01\x02",
        b"1024 35 123456789",
    ]
    good = b"web-1  " + _text(ED).encode().replace(b" ", b"\t") + b"  caf\xe9 comment\r"
    path = tmp_path / "known_hosts"
    path.write_bytes(b"\n".join([b"# comment", b"", *bad[:5], good, *bad[5:]]))
    known_hosts = KnownHosts()

    found = [known_hosts.known("web-1", [path]) for _ in range(3)]

    assert found == [(ED,)] * 3
    assert len(known_hosts.warnings) == len(bad)
    assert f"{path}:3: skipped" in known_hosts.warnings[0]


@pytest.mark.parametrize("marker", ["@cert-authority", "@revoked"])
def test_marker_that_touches_the_host_refuses_it(tmp_path: Path, marker: str) -> None:
    """A marker we do not carry out is not passed over: the host is refused, others are not."""
    text = f"{marker} *.example.com {_text(RSA)}\nweb-1.example.com {_text(ED)}\nweb-2 {_text(ED)}\n"

    with pytest.raises(Refused, match=f"known_hosts:1 has a line with {marker}"):
        _known(tmp_path, text, "web-1.example.com")

    assert _known(tmp_path, text, "web-2")[0] == (ED,)


def test_revoked_line_that_cannot_be_read_is_warned_about(tmp_path: Path) -> None:
    """A broken line is skipped also when it has a marker; the warning names the place."""
    found, warnings = _known(tmp_path, f"@revoked web-1 ssh-rsa xx\nweb-1 {_text(ED)}\n", "web-1")

    assert found == (ED,)
    assert "known_hosts:1: skipped" in warnings[0]


def test_missing_and_unreadable_files_know_nobody(tmp_path: Path) -> None:
    """A file that is not there is empty; one that cannot be read is empty and warned about."""
    known_hosts = KnownHosts()

    found = known_hosts.known("web-1", [tmp_path / "none", tmp_path])

    assert found == ()
    assert [warning.split(":")[0] for warning in known_hosts.warnings] == [str(tmp_path)]


def test_files_are_read_once_by_many_threads(tmp_path: Path) -> None:
    """A file removed after the first look-up is still known: nothing is read per host."""
    path = tmp_path / "known_hosts"
    path.write_text("".join(f"host-{number} {_text(ED)}\n" for number in range(2_000)))
    known_hosts = KnownHosts()
    known_hosts.known("host-1", [path])
    path.unlink()
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(len(known_hosts.known("host-1999", [path])))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [1] * 8


def test_several_files_and_kinds_are_all_known(tmp_path: Path) -> None:
    """Keys of several kinds and files are collected in their order, each once."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text(f"web-1 {_text(RSA)}\nweb-1 {_text(ED)}\n")
    two.write_text(f"web-* {_text(ED)}\n")

    assert KnownHosts().known("web-1", [one, two]) == (RSA, ED)


def test_fingerprint_is_what_ssh_keygen_prints(tmp_path: Path) -> None:
    """People compare fingerprints by eye: ours has the form they know."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    kind, key, *_ = (tmp_path / "key.pub").read_text().split()

    printed = subprocess.run(
        ["ssh-keygen", "-l", "-f", tmp_path / "key.pub"], check=True, capture_output=True, text=True
    )

    assert fingerprint(base64.b64decode(key)) == printed.stdout.split()[1]
    assert str(HostKey(kind=kind, blob=base64.b64decode(key))) == f"{kind} {printed.stdout.split()[1]}"


def test_name_has_its_port_off_22() -> None:
    """Names are looked up in lower case, with the port when it is not 22."""
    assert known_hosts_name("Web-1", 22) == "web-1"
    assert known_hosts_name("2001:DB8::1", 2222) == "[2001:db8::1]:2222"
