"""known_hosts: what is read, what is skipped, and who is whom. ssh-keygen is the judge where it can be."""

import base64
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.errors import Refused
from remedy_runners.hostkeys import HostKey, KnownHosts, fingerprint, known_hosts_name
from remedy_runners.hostkeys.line import read_line


def _blob(kind: str, *fields: bytes) -> bytes:
    return b"".join(len(field).to_bytes(4, "big") + field for field in (kind.encode(), *fields))


ED = HostKey(kind="ssh-ed25519", blob=_blob("ssh-ed25519", bytes(range(32))))
RSA = HostKey(kind="ssh-rsa", blob=_blob("ssh-rsa", b"\1\0\1", b"\0" + b"\xff" * 256))


def _keys(known_hosts: KnownHosts, name: str, files: Sequence[Path]) -> tuple[HostKey, ...]:
    """The keys of a host on port 22."""
    return tuple(line.key for line in known_hosts.trust(name, 22, files).keys)


def _written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "known_hosts"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


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
    path.write_text(f"{names} {ED.text} a comment\n")

    lines = KnownHosts().lines(name, [path])

    assert bool(lines) is found
    if "[12]" not in names:
        judged = subprocess.run(["ssh-keygen", "-F", name, "-f", path], capture_output=True, check=False)
        assert (judged.returncode == 0) is found


def test_hashed_names_match(tmp_path: Path) -> None:
    """Names hashed by ssh-keygen are found, with and without a port, and no others."""
    path = tmp_path / "known_hosts"
    path.write_text(f"web-1 {ED.text}\n[web-2]:2222 {RSA.text}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True, capture_output=True)
    known_hosts = KnownHosts()

    found = [known_hosts.lines(name, [path]) for name in ("web-1", "[web-2]:2222", "web-2", "web-3")]

    assert "web" not in path.read_text()
    assert [[line.key for line in lines] for lines in found] == [[ED], [RSA], [], []]


def test_unreadable_lines_are_skipped_each_with_one_warning(tmp_path: Path) -> None:
    """Whatever stands in a broken line costs that line only, and is said once however often the file is used."""
    bad = [
        b"web-1 ssh-ed25519",
        b"web-1 ssh-ed25519 not/base64!!",
        b"web-1 ssh-ed25519 " + base64.b64encode(ED.blob[:-5]),
        b"web-1 ssh-rsa " + base64.b64encode(ED.blob),
        b"@unheard-of web-1 " + ED.text.encode(),
        b"@revoked @cert-authority web-1 " + ED.text.encode(),
        b"|1|x|y " + ED.text.encode(),
        b"|2|" + base64.b64encode(b"x") + b"|" + base64.b64encode(b"y") + b" " + ED.text.encode(),
        b"\x00\x01\x02",
        b"1024 35 123456789",
    ]
    good = b"web-1  " + ED.text.encode().replace(b" ", b"\t") + b"  caf\xe9 comment\r"
    path = tmp_path / "known_hosts"
    path.write_bytes(b"\n".join([b"# comment", b"", *bad[:5], good, *bad[5:]]))
    known_hosts = KnownHosts()

    found = [_keys(known_hosts, "web-1", [path]) for _ in range(3)]

    assert found == [(ED,)] * 3
    assert len(known_hosts.warnings) == len(bad)
    assert f"{path}:3: skipped" in known_hosts.warnings[0]


def test_markers_are_told_apart(tmp_path: Path) -> None:
    """Authorities and revoked keys are never taken for keys of the host, and count for the names they are for."""
    path = _written(
        tmp_path,
        f"@cert-authority *.example.com {ED.text}\n@revoked\t* {RSA.text}\nweb-1.example.com {RSA.text}\n",
    )

    here = KnownHosts().trust("web-1.example.com", 22, [path])
    elsewhere = KnownHosts().trust("web-1.example.org", 22, [path])

    assert [[line.key for line in lines] for lines in (here.keys, here.authorities, here.revoked)] == [
        [RSA],
        [ED],
        [RSA],
    ]
    assert (elsewhere.keys, elsewhere.authorities, [line.key for line in elsewhere.revoked]) == ((), (), [RSA])
    assert not elsewhere.is_known


def test_markers_count_without_the_port(tmp_path: Path) -> None:
    """Off port 22 a marker for the bare name counts, as with ssh; a key of the bare name is another daemon's."""
    path = _written(tmp_path, f"@cert-authority web-1 {ED.text}\n@revoked web-1 {RSA.text}\nweb-1 {RSA.text}\n")

    trust = KnownHosts().trust("web-1", 2222, [path])

    assert (trust.name, trust.principal, trust.keys) == ("[web-1]:2222", "web-1", ())
    assert [line.place for line in (*trust.authorities, *trust.revoked)] == [f"{path}:1", f"{path}:2"]


def test_alias_stands_for_name_and_port(tmp_path: Path) -> None:
    """With a HostKeyAlias nothing else is looked up, on whichever port."""
    path = _written(tmp_path, f"Cluster {ED.text}\nweb-1 {RSA.text}\n[web-1]:2222 {RSA.text}\n")

    trust = KnownHosts().trust("web-1", 2222, [path], alias="CLUSTER")

    assert (trust.name, trust.principal, [line.key for line in trust.keys]) == ("cluster", "cluster", [ED])


def test_revoked_line_that_cannot_be_read_is_warned_about(tmp_path: Path) -> None:
    """A broken line is skipped also when it has a marker; the warning names the place."""
    path = _written(tmp_path, f"@revoked web-1 ssh-rsa xx\nweb-1 {ED.text}\n")
    known_hosts = KnownHosts()

    assert _keys(known_hosts, "web-1", [path]) == (ED,)
    assert known_hosts.warnings == (f"{path}:1: skipped: the key is not base64",)


def test_missing_files_know_nobody(tmp_path: Path) -> None:
    """A file that is not there, and /dev/null, are empty without a word."""
    known_hosts = KnownHosts()

    found = _keys(known_hosts, "web-1", [tmp_path / "none", tmp_path / "none" / "inside", Path("/dev/null")])

    assert (found, known_hosts.warnings) == ((), ())


@pytest.mark.parametrize("kind", ["directory", "pipe", "device"])
def test_unreadable_file_refuses_whom_it_concerns(tmp_path: Path, kind: str) -> None:
    """A file that is there and cannot be read may hold what is revoked: it is no empty one, and nobody waits for it."""
    path = Path("/dev/zero") if kind == "device" else tmp_path / "odd"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    good = _written(tmp_path, f"web-1 {ED.text}\n")

    with pytest.raises(Refused, match=f"{path}: cannot be read: it is no regular file") as caught:
        KnownHosts().trust("web-1", 22, [good, path])

    assert not caught.value.identity


def test_lines_of_windows_are_read(tmp_path: Path) -> None:
    """A file with CRLF is read without a warning, with and without comments, and so are its empty lines."""
    known_hosts = KnownHosts()
    path = _written(tmp_path, f"# head\r\n\r\nweb-1 {ED.text}\r\nweb-1 {RSA.text} a comment\r\n")

    assert (_keys(known_hosts, "web-1", [path]), known_hosts.warnings) == ((ED, RSA), ())


def test_kinds_that_are_not_supported_are_skipped_with_a_warning(tmp_path: Path) -> None:
    """A security key, DSA, a certificate and what nobody knows are skipped, each named; other keys stay known."""
    kinds = ("sk-ssh-ed25519@openssh.com", "ssh-dss", "ssh-ed25519-cert-v01@openssh.com", "x\x1b[31m")
    known_hosts = KnownHosts()
    path = _written(tmp_path, "".join(f"web-1 {kind} AAAA\n" for kind in kinds) + f"web-1 {ED.text}\n")

    assert _keys(known_hosts, "web-1", [path]) == (ED,)
    assert [warning.split("skipped: ")[1] for warning in known_hosts.warnings] == [
        f"keys of the type {shown} are not supported" for shown in (*kinds[:3], "x\\x1b[31m")
    ]


def test_many_broken_lines_are_counted(tmp_path: Path) -> None:
    """Of a file that is no known_hosts file, a hundred lines are named and the others counted."""
    known_hosts = KnownHosts()
    _keys(known_hosts, "web-1", [_written(tmp_path, "rubbish\n" * 1_234)])

    assert len(known_hosts.warnings) == 101
    assert known_hosts.warnings[-1].endswith("known_hosts: 1134 lines more skipped")


def test_same_key_written_in_two_ways_is_one(tmp_path: Path) -> None:
    """Leading zeros in a number of an RSA key change nothing: it equals what the host shows."""
    odd = _blob("ssh-rsa", b"\0\0\1\0\1", b"\0\0\0" + b"\xff" * 256)
    path = _written(tmp_path, f"web-1 rsa-sha2-512 {base64.b64encode(odd).decode()}\nweb-1 {RSA.text}\n")

    assert {line.key for line in KnownHosts().trust("web-1", 22, [path]).keys} == {RSA}


def test_point_off_its_curve_is_skipped(tmp_path: Path) -> None:
    """An ECDSA key that cannot be one is skipped with a warning when a host asks for it, as ssh does."""
    blob = _blob("ecdsa-sha2-nistp256", b"nistp256", b"\4" + b"\1" * 64)
    known_hosts = KnownHosts()
    path = _written(tmp_path, f"web-1 ecdsa-sha2-nistp256 {base64.b64encode(blob).decode()}\n")

    assert _keys(known_hosts, "web-1", [path]) == ()
    assert known_hosts.warnings == (f"{path}:1: skipped: the key is no point of its curve",)


@given(raw=st.binary(max_size=400))
def test_rubbish_is_never_more_than_a_warning(raw: bytes) -> None:
    """Whatever bytes a file has, reading and looking up raise nothing; a warning is one line with the file's name."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "known_hosts"
        path.write_bytes(raw)
        known_hosts = KnownHosts()
        known_hosts.trust("web-1", 2222, [path])

    assert all(warning.startswith(f"{path}:") and warning.isprintable() for warning in known_hosts.warnings)


def test_pattern_with_many_stars_is_quick() -> None:
    """Matching takes a time that the length bounds: a thousand stars against a long name are no work."""
    line = read_line(b"*a" * 500 + b"b " + ED.text.encode(), "x:1")
    assert line is not None

    started = time.monotonic()
    found = [line.matches(b"a" * 250), line.matches(b"a" * 600 + b"b")]

    assert found == [False, True]
    assert time.monotonic() - started < 2


def test_ten_thousand_hosts_are_looked_up_at_once(tmp_path: Path) -> None:
    """Plain names cost a look into a dictionary each: 10,000 hosts of 10,000 lines are found within seconds."""
    path = _written(tmp_path, "".join(f"host-{number},192.0.2.{number % 256} {ED.text}\n" for number in range(10_000)))
    known_hosts = KnownHosts()

    started = time.process_time()
    found = [known_hosts.trust(f"host-{number}", 22, [path]).is_known for number in range(10_000)]

    assert all(found)
    assert time.process_time() - started < 5


def test_files_are_read_once_by_many_threads(tmp_path: Path) -> None:
    """A file removed after the first look-up is still known: nothing is read per host."""
    path = tmp_path / "known_hosts"
    path.write_text("".join(f"host-{number} {ED.text}\n" for number in range(2_000)))
    known_hosts = KnownHosts()
    _keys(known_hosts, "host-1", [path])
    path.unlink()
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(len(_keys(known_hosts, "host-1999", [path])))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [1] * 8


def test_several_files_and_kinds_are_all_known(tmp_path: Path) -> None:
    """Keys of several kinds and files are collected in their order, each once."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text(f"web-1 {RSA.text}\nweb-1 {ED.text}\n")
    two.write_text(f"web-* {ED.text}\n")

    keys = _keys(KnownHosts(), "web-1", [one, two])

    assert tuple(dict.fromkeys(keys)) == (RSA, ED)


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
