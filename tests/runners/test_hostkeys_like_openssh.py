"""known_hosts files with odd lines: what we take from them is what ssh-keygen and ssh take, or less."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remedy.errors import Refused
from remedy.port import Target
from remedy_runners.hostkeys import KnownHosts
from remedy_runners.hostkeys.line import hashed_name
from tests.runners.machines import ADDRESS, PORT, Daemon, MakeRunner

NAMES = ("web-1", "[web-1]:2222", "web-1.example.com", "db.example.com", "192.0.2.7", "[2001:db8::1]:2222", "w")
PATTERNS = (
    *NAMES,
    "WEB-1",
    "web-?",
    "*",
    "*.example.com",
    "!web-1",
    "!*.example.com",
    "[*]:2222",
    "[web-1]:*",
    "192.0.2.*",
    "web-[1]",
    "*-*.*",
    "",
    "!",
    "|1|",
    "w\xe4b",
)
MARKERS = ("", "", "", "@revoked ", "@cert-authority ", "@revoked\t", "@cert-authority\t", "@revoked  ", "@x ", "@")
BLANKS = (" ", " ", " ", "\t", "  ", " \t ")
COMMENTS = ("", " a comment", " # no comment", "\tx", "  ", " \xfc")
ENDS = ("", "", "\r", " ", "\t\r")
ODD_BYTES = b" \t\r\v\f#@!*?|,=+/AZaz019-[]:.\x7f\xff\xc3"
_KINDS = {"ED25519", "ECDSA", "RSA"}
_FOUND = re.compile(r"^# Host .* found: line (\d+) (CA|REVOKED)?\s*$")
_MARKS = {"": "", "CA": "@cert-authority", "REVOKED": "@revoked"}
Found = set[tuple[int, str, str]]


def _public(kind: str, *more: str) -> str:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", kind, *more, "-N", "", "-f", path], check=True)
        return " ".join(path.with_suffix(".pub").read_text().split()[:2])


@pytest.fixture(scope="module")
def publics() -> tuple[str, ...]:
    """Keys of all kinds, and texts that are nearly keys."""
    ed, rsa = _public("ed25519"), _public("rsa", "-b", "1024")
    return (
        ed,
        rsa,
        _public("ecdsa", "-b", "256"),
        _public("ecdsa", "-b", "521"),
        rsa.replace("ssh-rsa", "rsa-sha2-512"),
        ed.replace("ssh-ed25519", "ssh-rsa"),
        ed[:-4],
        ed.replace("ssh-ed25519", "ssh-ed448"),
        "ssh-dss AAAA",
        "",
    )


def _mutated(draw: st.DrawFn, line: bytes) -> bytes:
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(0, len(line) - 1)))
        to = draw(st.integers(at, min(len(line), at + 12)))
        odd = bytes([draw(st.sampled_from(ODD_BYTES))])
        line = draw(
            st.sampled_from(
                (
                    line[:at] + line[to:],
                    line[:at] + odd + line[at:],
                    line[:at] + odd + line[at + 1 :],
                    line[:to] + line[at:],
                    line[:at],
                    line[at:],
                    line[:at] + line[at:to].swapcase() + line[to:],
                )
            )
        )
    return line


@st.composite
def files(draw: st.DrawFn, publics: tuple[str, ...]) -> bytes:
    """Files of a few lines, most of them nearly right."""
    lines = []
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.integers(0, 3)) == 0:
            names = hashed_name(draw(st.sampled_from(NAMES)), draw(st.binary(min_size=20, max_size=20)))
        else:
            names = ",".join(draw(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=4)))
        parts = (
            draw(st.sampled_from(("", "", "", " ", "\t"))),
            draw(st.sampled_from(MARKERS)),
            names,
            draw(st.sampled_from(BLANKS)),
            draw(st.sampled_from(publics)).replace(" ", draw(st.sampled_from(BLANKS))),
            draw(st.sampled_from(COMMENTS)),
            draw(st.sampled_from(ENDS)),
        )
        line = "".join(parts).encode("latin-1")
        lines.append(_mutated(draw, line) if draw(st.booleans()) else line)
    return b"\n".join(lines) + b"\n"


def _ours(path: Path, name: str) -> Found:
    lines = KnownHosts().lines(name, [path])
    return {(int(line.place.rpartition(":")[2]), str(line.marker), str(line.key).split()[1]) for line in lines}


def _theirs(path: Path, name: str) -> Found:
    asked = subprocess.run(["ssh-keygen", "-l", "-F", name, "-f", path], capture_output=True, check=False)
    found: Found = set()
    place: tuple[int, str] | None = None
    for line in asked.stdout.decode("latin-1").split("\n"):
        head = _FOUND.match(line)
        if head is not None:
            place = int(head[1]), _MARKS[head[2] or ""]
            continue
        words = line.split(" ")
        if place is not None and len(words) > 2 and words[1] in _KINDS:
            found.add((*place, words[2]))
        place = None
    return found


def _agree(text: bytes, name: str) -> None:
    """What ssh-keygen finds is what we find; but for a tab behind a marker, where we revoke more and trust less."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "known_hosts"
        path.write_bytes(text)
        ours, theirs = _ours(path, name), _theirs(path, name)
    tabbed = {number for number, line in enumerate(text.split(b"\n"), 1) if re.match(rb"[ \t]*@[a-z-]+\t", line)}

    def of(found: Found, mark: str) -> Found:
        return {each for each in found if each[1] == mark}

    assert of(ours, "") == of(theirs, "")
    assert of(ours, "@cert-authority") <= of(theirs, "@cert-authority")
    assert of(ours, "@revoked") >= of(theirs, "@revoked")
    assert {number for number, _, _ in ours ^ theirs} <= tabbed


_FILES = {"suppress_health_check": list(HealthCheck), "deadline": None}


@settings(max_examples=200, **_FILES)  # type: ignore[arg-type]
@given(data=st.data())
def test_odd_files_are_read_as_ssh_keygen_reads_them(publics: tuple[str, ...], data: st.DataObject) -> None:
    """Of 200 files of odd lines, `ssh-keygen -l -F` finds the same lines, markers and keys as we do."""
    _agree(data.draw(files(publics)), data.draw(st.sampled_from(NAMES)))


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(max_examples=2_500, **_FILES)  # type: ignore[arg-type]
@given(data=st.data())
def test_many_odd_files_are_read_as_ssh_keygen_reads_them(publics: tuple[str, ...], data: st.DataObject) -> None:
    """The same of 2,500 files."""
    _agree(data.draw(files(publics)), data.draw(st.sampled_from(NAMES)))


def test_generated_files_hold_what_they_should(publics: tuple[str, ...], tmp_path: Path) -> None:
    """The comparison is not of nothing: one file in which each marker, kind and way to name a host is found by both."""
    salt = bytes(range(20))
    path = tmp_path / "known_hosts"
    path.write_text(
        f"{hashed_name('web-1', salt)} {publics[0]}\nweb-?,!web-2 {publics[1]}\n@revoked * {publics[2]}\n"
        f"@cert-authority WEB-1 {publics[3]}\n!web-1,* {publics[3]}\n@revoked\tweb-1 {publics[0]}\n"
    )

    ours, theirs = _ours(path, "web-1"), _theirs(path, "web-1")

    assert [(line, mark) for line, mark, _ in sorted(theirs)] == [
        (1, ""),
        (2, ""),
        (3, "@revoked"),
        (4, "@cert-authority"),
    ]
    assert ours - theirs == {(6, "@revoked", next(key for line, _, key in ours if line == 1))}
    assert theirs <= ours


def _with_odd_bits(text: str) -> str:
    """Turn a bit of base64 that belongs to no byte: the last one before `=`."""
    at = text.index("=") - 1
    signs = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return text[:at] + signs[signs.index(text[at]) ^ 1] + text[at + 1 :]


def test_base64_has_one_form_only(publics: tuple[str, ...]) -> None:
    """A key or a hashed name whose base64 has bits of no byte is skipped by both, and found without them."""
    hashed = hashed_name("web-1", bytes(range(20)))
    good, odd_key = f"web-1 {publics[2]}\n", f"web-1 {_with_odd_bits(publics[2])}\n"

    for text, is_found in (
        (good, True),
        (odd_key, False),
        (f"{hashed} {publics[0]}\n", True),
        (f"{_with_odd_bits(hashed)} {publics[0]}\n", False),
    ):
        _agree(text.encode(), "web-1")
        assert bool(_found_by_us(text.encode(), "web-1")) is is_found


def _found_by_us(text: bytes, name: str) -> Found:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "known_hosts"
        path.write_bytes(text)
        return _ours(path, name)


@pytest.mark.parametrize("text", ["web-1\0 {key}\n", "zzzzz {key}\nweb-1", "@cert-authority\tweb-1\t{tabs}\n"])
def test_lines_that_ssh_reads_by_chance_are_skipped(publics: tuple[str, ...], text: str) -> None:
    """A zero byte, a last line that is cut off behind the name, and tabs alone trust nobody here."""
    raw = text.format(key=publics[0], tabs=publics[0].replace(" ", "\t")).encode()

    assert _found_by_us(raw, "web-1") == set()


@pytest.fixture
def lines(daemon: Daemon, keys: Path) -> list[tuple[str, str]]:
    """Lines around the key of the daemon, by what they are."""
    key = " ".join(daemon.host_key.split()[:2])
    other = " ".join((keys / "other-host.pub").read_text().split()[:2])
    here, bare = f"[{ADDRESS}]:{PORT}", ADDRESS
    return [
        ("here", f"{here} {key}"),
        ("hashed", f"{hashed_name(here, bytes(20))} {key}"),
        ("wild", f"[127.*]:22?? {key}"),
        ("negated", f"[127.*]:*,!{here} {key}"),
        ("other", f"{here} {other}"),
        ("bare", f"{bare} {key}"),
        ("revoked", f"@revoked * {key}"),
        ("revoked-bare", f"@revoked {bare} {key}"),
        ("revoked-other", f"@revoked * {other}"),
        ("authority", f"@cert-authority * {key}"),
        ("broken", f"{here} {key[:-3]}"),
        ("case", f"{here.upper()} {key} comment"),
    ]


@pytest.mark.sshd
def test_ssh_lets_nobody_less_in_than_we_do(
    daemon: Daemon,
    lines: list[tuple[str, str]],
    make_runner: MakeRunner,
    target: Target,
    keys: Path,
    tmp_path: Path,
) -> None:
    """Of every line, alone and beside the good one, we connect where ssh does; but not where we refuse on purpose."""
    differ = set()
    path = tmp_path / "known"
    for names, text in _pairs(lines):
        path.write_text(text)
        ours, theirs = _we_connect(make_runner, target, path), _ssh_connects(daemon, keys, path)
        assert theirs or not ours, names
        if theirs and not ours:
            differ.add(names)

    assert differ == {("bare",), ("here", "revoked-bare")}


def _pairs(lines: list[tuple[str, str]]) -> Iterator[tuple[tuple[str, ...], str]]:
    good_name, good = lines[0]
    for name, line in lines:
        yield (name,), f"{line}\n"
        yield (good_name, name), f"{good}\n{line}\n"


def _we_connect(make_runner: MakeRunner, target: Target, path: Path) -> bool:
    try:
        make_runner(known=path).connect(replace(target, known_hosts=str(path))).close()
    except Refused:
        return False
    return True


def _ssh_connects(daemon: Daemon, keys: Path, path: Path) -> bool:
    words = ("BatchMode=yes", "StrictHostKeyChecking=yes", "GlobalKnownHostsFile=none", f"UserKnownHostsFile={path}")
    options = [word for option in (*words, "UpdateHostKeys=no") for word in ("-o", option)]
    login = ["-i", str(keys / "user"), "-p", str(daemon.port), f"root@{daemon.address}", "true"]
    return subprocess.run(["ssh", "-F", "none", *options, *login], capture_output=True, check=False).returncode == 0
