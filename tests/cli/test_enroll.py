"""`remedy enroll` against real OpenSSH daemons: what is shown, who may confirm it, and what is never written."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remedy.render.enroll import EnrollEnd
from tests.behaviour.waiting import wait_until
from tests.cli.command_line import CommandLine, Ran
from tests.runners.machines import PORT, SETUP, Daemon, Machine, make_etc, make_key, start_daemon, what_is_missing

pytestmark = pytest.mark.sshd

_ALL = ("ed25519", "ecdsa", "rsa")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of hosts, of an authority, and of a stranger."""
    directory = tmp_path_factory.mktemp("enroll-keys")
    for kind in _ALL:
        make_key(directory / kind, kind)
    for name in ("other", "authority", "user", "locked"):
        make_key(directory / name)
    return directory


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Machine]:
    """A namespace in which daemons may run."""
    if what_is_missing():
        pytest.skip(f"needs OpenSSH daemons on loopback: {what_is_missing()}")
    directory = tmp_path_factory.mktemp("enroll-machine")
    make_etc(directory / "etc", keys)
    holder = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", SETUP, "sh", str(directory)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == b"ready\n"
        yield Machine(directory=directory, holder=holder)
        holder.kill()
        holder.wait()


Serve = Callable[..., Daemon]


@pytest.fixture(scope="module")
def serve(machine: Machine, keys: Path) -> Iterator[Serve]:
    """Start daemons with several keys, and perhaps a certificate."""
    started: list[Daemon] = []

    def serving(address: str, *kinds: str, more: str = "") -> Daemon:
        first, *others = kinds
        for name in others:
            shutil.copy(keys / name, machine.directory / "etc" / name)
            (machine.directory / "etc" / name).chmod(0o600)
        lines = "".join(f"HostKey /etc/{name}\n" for name in others)
        started.append(start_daemon(machine, keys, address=address, host_key=first, more=lines + more))
        return started[-1]

    yield serving
    for daemon in started:
        daemon.process.kill()
        daemon.process.wait()


@pytest.fixture(scope="module")
def web_1(serve: Serve) -> str:
    """The address of a host with keys of all three kinds."""
    return serve("127.0.9.1", *_ALL).address


@pytest.fixture(scope="module")
def web_2(serve: Serve) -> str:
    """The address of a host with one key, another one."""
    return serve("127.0.9.2", "other").address


@pytest.fixture
def command(tmp_path: Path) -> CommandLine:
    """The command in a folder with an inventory of hosts of every kind."""
    made = CommandLine(tmp_path)
    (tmp_path / "inventory.yaml").write_text(
        f"all:\n  vars: {{ansible_port: {PORT}}}\n  hosts:\n    web-1: {{ansible_host: 127.0.9.1}}\n"
        "    web-2: {ansible_host: 127.0.9.2}\n    gone: {ansible_host: 127.0.9.250}\n"
        "    here: {ansible_connection: local}\n"
    )
    (tmp_path / "remedy.yaml").write_text("inventory: inventory.yaml\n")
    return made


def _known_hosts(command: CommandLine) -> Path:
    return command.directory / "home" / ".ssh" / "known_hosts"


def _fingerprint(keys: Path, name: str) -> str:
    shown = subprocess.run(["ssh-keygen", "-lf", keys / f"{name}.pub"], check=True, capture_output=True, text=True)
    return shown.stdout.split()[1]


def _line(keys: Path, name: str, address: str, marker: str = "") -> str:
    kind, key, *_ = (keys / f"{name}.pub").read_text().split()
    return f"{marker}[{address}]:{PORT} {kind} {key}\n"


def _write_known(command: CommandLine, text: str) -> None:
    _known_hosts(command).parent.mkdir(exist_ok=True)
    _known_hosts(command).write_text(text)


def _ends(ran: Ran) -> dict[str, str]:
    return {host["host"]: host["end"] for host in ran.json["hosts"]}


def test_keys_are_shown_and_not_recorded_without_a_source(command: CommandLine, web_1: str, keys: Path) -> None:
    """Where nobody can be asked, each key is shown with its fingerprint, nothing is written, and the code is 4."""
    ran = command.remedy("enroll", "web-1", "-o", "json")
    text = command.remedy("enroll", "web-1")

    assert (ran.code, text.code) == (4, 4)
    (host,) = ran.json["hosts"]
    assert (host["end"], host["name"]) == ("shown", f"[{web_1}]:{PORT}")
    assert [key["type"] for key in host["keys"]] == ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]
    assert [key["fingerprint"] for key in host["keys"]] == [_fingerprint(keys, name) for name in _ALL]
    assert not any(key["known"] or key["recorded"] for key in host["keys"])
    assert all(_fingerprint(keys, name) in text.out for name in _ALL)
    assert "give --from FILE or --fingerprint SHA256:…" in text.out
    assert "nothing was written; nobody logged in" in text.err
    assert not _known_hosts(command).parent.exists()


def _at_terminal(command: CommandLine, typed: bytes, *words: str) -> tuple[int, str]:
    """Run the command on a terminal, answer its question, and return its exit code and all that was shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "remedy", *words],
        cwd=command.directory,
        env=command.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen, answered, deadline = b"", False, time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            try:
                if select.select([ours], [], [], 0.2)[0]:
                    seen += os.read(ours, 4096)
            except OSError:
                break  # EIO: nobody has the other end open any more.
            if not answered and b"[y/N]" in seen:
                os.write(ours, typed)
                answered = True
        return process.wait(timeout=30), seen.decode()
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_person_who_says_yes_enrolls(command: CommandLine, web_1: str, keys: Path) -> None:
    """On a terminal the fingerprints stand before the question, and yes records all keys as ssh reads them."""
    code, shown = _at_terminal(command, b"y\n", "enroll", "web-1")

    question = shown.partition("[y/N]")[0]
    assert code == 0, shown
    assert all(_fingerprint(keys, name) in question for name in _ALL)
    assert "Record 3 keys of web-1 in " in question
    found = subprocess.run(
        ["ssh-keygen", "-lF", f"[{web_1}]:{PORT}", "-f", _known_hosts(command)], capture_output=True, text=True
    )
    assert all(_fingerprint(keys, name) in found.stdout for name in _ALL)
    assert re.search(r"enrolled \d{4}-\d\d-\d\dT\d\d:\d\dZ on a terminal", _known_hosts(command).read_text())
    assert _known_hosts(command).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "typed", [b"\n", *(pytest.param(typed, marks=pytest.mark.slow) for typed in (b"n\n", b"yess\n", b"\x04"))]
)
def test_anything_but_yes_records_nothing(command: CommandLine, web_2: str, typed: bytes) -> None:
    """No, nothing, nearly yes and the end of the input are a no: exit code 1, no file."""
    code, shown = _at_terminal(command, typed, "enroll", "web-2")

    assert (code, "declined; nothing was recorded" in shown) == (1, True)
    assert not _known_hosts(command).exists()


def test_no_option_says_yes_for_a_person(command: CommandLine, web_2: str) -> None:
    """There is no --yes; yes on standard input that is no terminal is none either."""
    with_option = command.remedy("enroll", "web-2", "--yes")
    piped = command.shell("yes | $REMEDY enroll web-2")

    assert (with_option.code, piped.code) == (1, 4)
    assert "No such option" in with_option.err
    assert not _known_hosts(command).exists()


def test_fingerprint_confirms_the_key_it_is_of(command: CommandLine, web_1: str, keys: Path) -> None:
    """--fingerprint records that key and no other; a second one adds its own; then the host is known by both."""
    first = command.remedy("enroll", "web-1", "--fingerprint", _fingerprint(keys, "ed25519"), "-o", "json")
    second = command.remedy("enroll", "web-1", "--fingerprint", _fingerprint(keys, "rsa") + "=", "-o", "json")

    assert (first.code, second.code) == (0, 0)
    assert [[key["recorded"] for key in ran.json["hosts"][0]["keys"]] for ran in (first, second)] == [
        [True, False, False],
        [False, False, True],
    ]
    assert [line.split()[:2] for line in _known_hosts(command).read_text().splitlines()] == [
        [f"[{web_1}]:{PORT}", "ssh-ed25519"],
        [f"[{web_1}]:{PORT}", "ssh-rsa"],
    ]


def test_fingerprint_of_another_key_is_a_wrong_host(command: CommandLine, web_1: str, keys: Path) -> None:
    """A host that shows no key with the fingerprint that was told is refused loudly with 3, and not recorded."""
    ran = command.remedy("enroll", "web-1", "--fingerprint", _fingerprint(keys, "other"))

    assert ran.code == 3
    assert "THE HOST KEY IS NOT THE ONE EXPECTED" in ran.out
    assert _fingerprint(keys, "other") in ran.out
    assert not _known_hosts(command).exists()


def test_file_confirms_what_it_has(command: CommandLine, web_1: str, web_2: str, keys: Path) -> None:
    """--from records the keys that host and file agree on, of many hosts at once; a host it does not have is said."""
    trusted = command.directory / "trusted"
    trusted.write_text("rubbish\n" + _line(keys, "ecdsa", web_1) + _line(keys, "other", "127.0.9.77"))

    ran = command.remedy("enroll", "-l", "web-1,web-2,here", "--from", str(trusted), "-o", "json")

    assert ran.code == 4
    assert _ends(ran) == {"web-1": "recorded", "web-2": "shown", "here": "not_ssh"}
    assert "trusted has no key of [127.0.9.2]" in ran.json["hosts"][2]["reason"]
    assert f"warning: {trusted}:1: skipped" in ran.err
    assert [line.split()[1] for line in _known_hosts(command).read_text().splitlines()] == ["ecdsa-sha2-nistp256"]


@pytest.mark.parametrize(
    ("lines", "end", "said"),
    [
        ([("other", "")], "mismatch", "THE HOST KEY IS NOT THE ONE EXPECTED"),
        ([("other", ""), ("rsa", "")], "mismatch", "THE HOST KEY IS NOT THE ONE EXPECTED"),
        ([("rsa", ""), ("ed25519", "@revoked ")], "revoked", "trusted says that nobody may trust ssh-ed25519"),
        ([("authority", "@cert-authority ")], "shown", "has no key of"),
    ],
)
def test_file_that_disagrees_stops_the_host(
    command: CommandLine, web_1: str, keys: Path, lines: list[tuple[str, str]], end: str, said: str
) -> None:
    """A file with another key of a kind that is shown, or with a revocation, records nothing: not even what fits."""
    trusted = command.directory / "trusted"
    trusted.write_text("".join(_line(keys, name, web_1, marker) for name, marker in lines))

    ran = command.remedy("enroll", "web-1", "--from", str(trusted), "-o", "json")

    assert (ran.code, _ends(ran)) == (4 if end == "shown" else 3, {"web-1": end})
    assert said in ran.json["hosts"][0]["reason"]
    assert not _known_hosts(command).exists()


def test_changed_key_is_never_replaced(command: CommandLine, web_1: str, keys: Path) -> None:
    """A host with another key than the known one is 3, whatever vouches for the new one; the line to type mends it."""
    _write_known(command, _line(keys, "other", web_1))
    fingerprint = _fingerprint(keys, "ed25519")

    ran = command.remedy("enroll", "web-1", "--fingerprint", fingerprint)
    told = re.search(r"if the new one is right: (ssh-keygen -R .*?) && remedy enroll web-1", ran.out)
    kept = _known_hosts(command).read_text()
    assert told is not None
    subprocess.run(["sh", "-c", told[1]], check=True, capture_output=True)
    again = command.remedy("enroll", "web-1", "--fingerprint", fingerprint)

    assert (ran.code, again.code) == (3, 0)
    assert "THE HOST KEY HAS CHANGED" in ran.out
    assert f"{_known_hosts(command)}:1 has ssh-ed25519 {_fingerprint(keys, 'other')}" in ran.out
    assert kept == _line(keys, "other", web_1)


def test_known_host_is_left_alone(command: CommandLine, web_1: str, keys: Path) -> None:
    """A host whose keys are all known needs no confirmation and is 0; the file is not touched."""
    _write_known(command, "".join(_line(keys, name, web_1) for name in _ALL))
    before = _known_hosts(command).stat()

    ran = command.remedy("enroll", "web-1", "-o", "json")

    assert (ran.code, _ends(ran)) == (0, {"web-1": "known"})
    assert all(key["known"] and not key["recorded"] for key in ran.json["hosts"][0]["keys"])
    after = _known_hosts(command).stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_size) == (before.st_ino, before.st_mtime_ns, before.st_size)


def test_revoked_key_is_never_recorded(command: CommandLine, web_1: str, keys: Path) -> None:
    """A key that known_hosts revokes is 3, also when a person vouches for another key of the same host."""
    kind, key, *_ = (keys / "rsa.pub").read_text().split()
    _write_known(command, f"@revoked * {kind} {key}\n")

    ran = command.remedy("enroll", "web-1", "--fingerprint", _fingerprint(keys, "ed25519"))

    assert ran.code == 3
    assert "THE HOST KEY IS REVOKED" in ran.out
    assert _known_hosts(command).read_text() == f"@revoked * {kind} {key}\n"


@pytest.mark.parametrize(
    ("names", "code", "end"), [("127.0.9.3,web-3", 0, "known"), ("web-3.example.com", 3, "distrusted")]
)
def test_host_with_a_certificate_needs_no_key(
    command: CommandLine, serve: Serve, machine: Machine, keys: Path, names: str, code: int, end: str
) -> None:
    """Under an authority a good certificate is all that is needed; a bad one is no reason to record the key instead."""
    address = "127.0.9.3" if code == 0 else "127.0.9.4"
    name = f"cert-{end}"
    make_key(keys / name)
    subprocess.run(
        ["ssh-keygen", "-q", "-s", keys / "authority", "-I", "x", "-h", "-n", names, keys / f"{name}.pub"], check=True
    )
    shutil.copy(keys / f"{name}-cert.pub", machine.directory / "etc")
    serve(address, name, more=f"HostCertificate /etc/{name}-cert.pub\n")
    kind, key, *_ = (keys / "authority.pub").read_text().split()
    _write_known(command, f"@cert-authority 127.0.9.* {kind} {key}\n")
    inventory = f"all: {{hosts: {{web-3: {{ansible_host: {address}, ansible_port: {PORT}}}}}}}\n"
    (command.directory / "inventory.yaml").write_text(inventory)

    ran = command.remedy("enroll", "web-3", "-o", "json")

    assert (ran.code, _ends(ran)) == (code, {"web-3": end})
    assert ("known by its certificate" if end == "known" else "NOT TRUSTED") in ran.json["hosts"][0]["reason"]


def test_host_that_is_gone_is_incomplete(command: CommandLine, web_2: str, keys: Path) -> None:
    """One host that does not answer spoils only itself: the other is recorded, and the code is 4."""
    trusted = command.directory / "trusted"
    trusted.write_text(_line(keys, "other", web_2))

    ran = command.remedy("enroll", "gone", "web-2", "--from", str(trusted), "-o", "json")

    assert (ran.code, _ends(ran)) == (4, {"gone": "unreachable", "web-2": "recorded"})


def test_enrolled_host_is_let_in_and_nobody_logged_in_before(command: CommandLine, web_2: str, keys: Path) -> None:
    """After enrolling a scan gets past the host key, to the login; enrolling itself needs no login."""
    (command.directory / "ssh_config").write_text(f"IdentityFile {keys}/user\nIdentitiesOnly yes\nUser root\n")
    words = ("scan", "-l", "web-2", "--ssh-config", "ssh_config", "-r", "low-disk")
    before = command.remedy(*words)
    command.remedy("enroll", "web-2", "--fingerprint", _fingerprint(keys, "other"))

    after = command.remedy(*words)

    assert "host key is not known" in before.out + before.err
    assert "host key" not in after.out + after.err
    assert after.code in (0, 3, 4)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 1, "name hosts, or a pattern with --limit"),
        (("web-1", "-l", "web-2"), 1, "name hosts, or a pattern with --limit"),
        (("web-9",), 6, "web-9"),
        (("-l", "all:!all"), 6, "no host is left"),
        (("web-1", "web-2", "--fingerprint", "SHA256:" + "A" * 43), 1, "--fingerprint is of one host, and 2 are named"),
        (("web-1", "--fingerprint", "MD5:00:11"), 1, "write it as ssh-keygen -lf does"),
        (("web-1", "--fingerprint", "SHA256:short"), 1, "write it as ssh-keygen -lf does"),
        (("web-1", "--from", "nowhere"), 1, "--from nowhere: it is not there"),
        (("web-1", "--from", "/dev/null", "--fingerprint", "SHA256:" + "A" * 43), 1, "name one source"),
        (("web-1", "--ssh-config", "nowhere"), 1, "--ssh-config nowhere"),
        (("web-1", "-o", "yaml"), 1, "--output yaml"),
    ],
)
def test_what_cannot_be_meant_contacts_nobody(
    command: CommandLine, words: tuple[str, ...], code: int, said: str
) -> None:
    """Missing, doubled, unknown and mistyped arguments end before anybody is contacted."""
    ran = command.remedy("enroll", *words)

    assert (ran.code, said in ran.err) == (code, True), ran.err


def test_file_that_cannot_be_written_is_said(command: CommandLine, web_2: str, keys: Path) -> None:
    """A known_hosts file that is none (/dev/null, as people configure it) is left alone, with the exit code 1."""
    (command.directory / "config").write_text("UserKnownHostsFile /dev/null\nGlobalKnownHostsFile none\n")
    words = ("--ssh-config", "config", "--fingerprint", _fingerprint(keys, "other"), "-o", "json")

    ran = command.remedy("enroll", "web-2", *words)

    assert (ran.code, _ends(ran)) == (1, {"web-2": "unwritten"})
    assert "/dev/null: no key was recorded: it is no regular file" in ran.json["hosts"][0]["reason"]


def test_every_end_has_its_exit_code() -> None:
    """Ends that are no success are never 0, and what looks like an attack is always 3."""
    codes = {end.value: int(end.exit_code) for end in EnrollEnd}

    assert {end for end, code in codes.items() if code == 0} == {"known", "recorded", "not_ssh"}
    assert {end for end, code in codes.items() if code == 3} == {"changed", "mismatch", "revoked", "distrusted"}


def test_json_is_one_document_whatever_is_said_beside(command: CommandLine, web_2: str) -> None:
    """Standard output is the JSON document alone, in the order in which the hosts were named."""
    ran = command.remedy("enroll", "here", "web-2", "-o", "json")

    assert [host["host"] for host in json.loads(ran.out)["hosts"]] == ["here", "web-2"]
    assert json.loads(ran.out)["enroll"] == 1


@pytest.mark.slow
def test_question_can_be_interrupted(command: CommandLine, web_2: str) -> None:
    """Ctrl-C at the question ends with 130 and writes nothing."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "remedy", "enroll", "web-2"],
        cwd=command.directory,
        env=command.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = bytearray()

    def asked() -> bool:
        if select.select([ours], [], [], 0.1)[0]:
            seen.extend(os.read(ours, 4096))
        return b"[y/N]" in seen

    try:
        wait_until(asked, within_s=60)
        process.send_signal(2)
        code = process.wait(timeout=30)
    finally:
        process.kill()
        process.wait()
        os.close(ours)

    assert code == 130
    assert not _known_hosts(command).exists()


def test_ends_of_the_page_are_those_of_the_code() -> None:
    """The page on host keys explains every end, with the exit code that it makes, and no other."""
    page = (Path(__file__).parents[2] / "docs" / "host-keys.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (\d+) \|$", page, re.MULTILINE))

    assert rows == {end.value: str(int(end.exit_code)) for end in EnrollEnd}
