"""A cage that does not hold is seen before the script starts, and the script never starts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from remedy.cage import CageJob
from remedy_runners import sandbox, sandbox_process
from remedy_runners.sandbox_evidence import ALLOWED_CAPABILITIES, Evidence, holes
from remedy_runners.sandbox_filter import FILTERED_MACHINES, seccomp_filter
from remedy_runners.sandbox_root import Root
from tests.testing.cages import fix_job

_OWN = {name: f"{name}:[1]" for name in ("user", "mnt", "pid", "net", "ipc", "uts")}
_OUR_MOUNTS = """\
1 0 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
2 1 0:6 / /dev rw,relatime shared:2 - devtmpfs devtmpfs rw
3 1 0:22 / /proc rw,relatime - proc proc rw
4 1 0:30 / /tmp rw,relatime - tmpfs tmpfs rw
"""
_ITS_MOUNTS = """\
9 0 0:101 / / rw,nosuid,nodev,relatime - tmpfs tmpfs rw
10 9 254:0 /usr /.host/usr ro,nosuid,nodev,relatime master:1 - ext4 /dev/vda rw
11 9 0:102 / /proc ro,nosuid,nodev,noexec,relatime - proc proc rw
12 9 0:103 / /dev ro,nosuid,nodev,relatime - tmpfs tmpfs rw
13 12 0:6 /null /dev/null rw,nosuid,relatime - devtmpfs devtmpfs rw
14 9 0:105 / /srv rw,nosuid,nodev,relatime - tmpfs tmpfs rw
15 9 254:0 /etc/ld.so.cache /etc/ld.so.cache ro,nosuid,nodev,relatime - ext4 /dev/vda rw
"""
_STATUS = {
    "Uid": "70000\t70000\t70000\t70000",
    "Gid": "70000\t70000\t70000\t70000",
    "Groups": "",
    "NoNewPrivs": "1",
    "Seccomp": "2",
    **dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd"), f"{ALLOWED_CAPABILITIES:016x}"),
    "CapAmb": "0000000000000000",
}
_GOOD = Evidence(
    namespaces={name: f"{name}:[2]" for name in _OWN},
    own_namespaces=_OWN,
    status=_STATUS,
    uid_map="         0      70000          1\n",
    gid_map="         0      70000          1\n",
    mounts=_ITS_MOUNTS,
    own_mounts=_OUR_MOUNTS,
    network="Inter-|   Receive\n face |bytes\n    lo:       0       0\n",
    descriptors=("pipe:[1]", "pipe:[2]", "/dev/null"),
    session=7,
    own_session=3,
    uid=70_000,
    own_uid=0,
)


def test_cage_that_holds_has_no_holes() -> None:
    """Evidence of a good cage names nothing, started by root or by somebody else in whatever groups."""
    other = replace(_GOOD, own_uid=70_000, status=_STATUS | {"Groups": "4 27 70000"})

    assert holes(_GOOD) == ()
    assert holes(other) == ()


_SAME_NAMESPACE = [
    ({"namespaces": {**_GOOD.namespaces, name: _OWN[name]}}, f"its {name} namespace is this machine's own")
    for name in _OWN
]


def _mounted(line: str) -> dict[str, str]:
    return {"mounts": _ITS_MOUNTS + line + "\n"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        *_SAME_NAMESPACE,
        ({"namespaces": {}}, "its user namespace cannot be seen"),
        ({"status": _STATUS | {"Uid": "0 0 0 0"}}, "its user is 0 outside, not 70000"),
        ({"status": _STATUS | {"Uid": "70000 70000 0 70000"}}, "its user is 70000 outside, not 70000"),
        ({"status": _STATUS | {"Gid": "70000 0 70000 70000"}}, "its group is 0 outside"),
        ({"status": _STATUS | {"Groups": "0 70000"}}, "it is in groups of this machine"),
        ({"uid": 0, "status": _STATUS | {"Uid": "0 0 0 0"}}, "it would be root outside"),
        ({"uid_map": "0 0 4294967295\n"}, "more than one user, or none, is mapped into it"),
        ({"uid_map": ""}, "more than one user, or none, is mapped into it"),
        ({"uid_map": "0 0 1\n"}, "user 0 of this machine is mapped into it"),
        ({"gid_map": "0 70000 1\n1 0 1\n"}, "more than one group, or none, is mapped into it"),
        ({"gid_map": "0 0 1\n"}, "group 0 of this machine is mapped into it"),
        ({"status": _STATUS | {"NoNewPrivs": "0"}}, "it can gain privileges"),
        ({"status": _STATUS | {"Seccomp": "0"}}, "its system calls are not filtered"),
        ({"status": _STATUS | {"CapBnd": "000001ffffffffff"}}, "it has capabilities: CapBnd 000001ffffffffff"),
        ({"status": _STATUS | {"CapAmb": ""}}, "it has capabilities: CapAmb cannot be seen"),
        ({"mounts": ""}, "its mounts cannot be read"),
        ({"mounts": "9 0 odd\n"}, "its mounts cannot be read"),
        ({"mounts": _OUR_MOUNTS}, "its root is none that was made for it"),
        (_mounted("16 9 254:0 /home /home ro,nodev - ext4 /dev/vda rw"), "/home is this machine's"),
        (_mounted("16 9 0:30 / /tmp rw,nodev - tmpfs tmpfs rw"), "/tmp is this machine's"),
        (
            _mounted("16 9 254:0 /usr /.host/lib rw,nodev - ext4 /dev/vda rw"),
            "/.host/lib is this machine's and can be written",
        ),
        (
            _mounted("16 9 254:9 / /.host/usr/local rw,nodev - ext4 /dev/vdb rw"),
            "/.host/usr/local is this machine's and can be written",
        ),
        (
            _mounted("16 9 0:77 / /srv/net rw,nodev - nfs4 server:/x rw"),
            "/srv/net is this machine's and can be written",
        ),
        (_mounted("16 9 0:109 / /sys rw,nodev - sysfs sysfs rw"), "/sys is this machine's and can be written"),
        (_mounted("16 9 0:6 / /dev/all ro - devtmpfs devtmpfs rw"), "/dev/all is this machine's"),
        (_mounted("16 9 0:6 /sda /dev/sda rw - devtmpfs devtmpfs rw"), "/dev/sda is this machine's"),
        (_mounted("16 9 254:3 / /.host/opt ro - ext4 /dev/vdc rw"), "/.host/opt can hold devices"),
        (_mounted("16 9 0:110 / /mnt rw,nodev shared:5 - tmpfs tmpfs rw"), "what is mounted at /mnt is shared"),
        (_mounted("16 9 0:111 / /proc rw,nodev - proc proc rw"), "/proc can be written"),
        ({"network": _GOOD.network + "  eth0:  1 2\n"}, "it has network interfaces: eth0"),
        ({"network": ""}, "its network cannot be seen"),
        ({"descriptors": ("pipe:[1]", "socket:[4]")}, "it holds open socket:[4]"),
        ({"descriptors": ("/home/ann", "pipe:[1]")}, "it holds open /home/ann"),
        ({"descriptors": ()}, "it holds open what cannot be seen"),
        ({"session": 3}, "it is in our session"),
        ({"session": 0}, "it is in our session"),
    ],
)
def test_hole_is_named(changes: dict[str, Any], said: str) -> None:
    """Each way in which a cage would not hold is seen in what the kernel says of it."""
    assert said in holes(replace(_GOOD, **changes))


@pytest.mark.parametrize("name", ["a\x0bb", "a\x1cb", "a\u2028b", "a\x85b", "a\xa0b", "\udcff", "a\\134b", "a\\040b"])
def test_odd_name_of_a_mount_hides_nothing_and_breaks_nothing(name: str) -> None:
    """The kernel writes blanks, newlines and backslashes as numbers, all else as it is: nothing else parts words."""
    hidden = f"99 1 0:77 / /.host/usr/{name} ro,nodev - tmpfs tmpfs rw\n"
    written = hidden.replace("ro,nodev", "rw,nodev")

    assert holes(replace(_GOOD, mounts=_GOOD.mounts + hidden)) == ()
    assert [each for each in holes(replace(_GOOD, mounts=_GOOD.mounts + written)) if each.endswith("can be written")]


def test_folder_that_goes_while_a_cage_is_made_is_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder beside the programs that is gone once bubblewrap starts is looked for anew, and the script runs."""
    _run()
    build = sandbox.build_root
    made: list[Root] = []

    def build_root(job: CageJob) -> Root:
        root = build(job)
        if not made:
            at = root.words.index("--perms")
            gone = ("--size", "4096", "--tmpfs", "/.host/usr/share\\gone", "--remount-ro", "/.host/usr/share\\gone")
            root = replace(root, words=(*root.words[:at], *gone, *root.words[at:]))
        made.append(root)
        return root

    monkeypatch.setattr(sandbox, "build_root", build_root)

    answer = sandbox.BubblewrapCage().run(CageJob(script=fix_job(b"#!/bin/sh\necho ran\n")))

    assert (answer.skipped, len(answer.runs), len(made)) == ("", 1, 2)


def _without(*words: str) -> Callable[[list[str]], list[str]]:
    def changed(options: list[str]) -> list[str]:
        [at] = [at for at in range(len(options)) if tuple(options[at : at + len(words)]) == words]
        return options[:at] + options[at + len(words) :]

    return changed


def _with(*words: str) -> Callable[[list[str]], list[str]]:
    return lambda options: [*options, *words]


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Note every order that is sent into a cage."""
    sent: list[bytes] = []
    real = sandbox_process.Caged.order

    def order(self: sandbox_process.Caged, text: bytes) -> None:
        sent.append(text)
        real(self, text)

    monkeypatch.setattr(sandbox_process.Caged, "order", order)
    return sent


def _run() -> str:
    answer = sandbox.BubblewrapCage().run(CageJob(script=fix_job(b"#!/bin/sh\necho ran\n")))
    if answer.skipped.startswith(("bubblewrap is missing", "no user namespaces", "no cage could be made")):
        pytest.skip(answer.skipped)
    assert not answer.broken, answer.broken
    return answer.skipped


def test_script_starts_where_the_cage_holds(orders: list[bytes]) -> None:
    """The tests below can fail: with nothing taken away the script is ordered to run."""
    skipped = _run()

    assert skipped == ""
    assert [order.split(b"\n")[0].split()[0] for order in orders] == [b"go", b"prepare", b"look", b"run", b"look"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (_without("--unshare-net"), "its net namespace is this machine's own"),
        (_without("--unshare-ipc"), "its ipc namespace is this machine's own"),
        (_without("--remount-ro", "/proc"), "/proc can be written"),
        (_with("--cap-add", "CAP_SYS_ADMIN"), "it has capabilities"),
        (_with("--bind", "/usr/share", "/srv/share"), "/srv/share is this machine's"),
        (_with("--ro-bind", "/etc", "/srv/etc"), "/srv/etc is this machine's"),
        (_with("--bind", "/usr", "/.host/usr"), "/.host/usr is this machine's and can be written"),
        (_with("--dev-bind", "/dev", "/dev"), "/dev is this machine's"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_script_never_starts_where_the_cage_does_not_hold(
    monkeypatch: pytest.MonkeyPatch, orders: list[bytes], changed: Callable[[list[str]], list[str]], said: str
) -> None:
    """With one of bubblewrap's options gone or added the case is skipped with the hole, and no order is sent."""
    real = sandbox.bubblewrap_words

    def words(root: Sequence[str], **options: Any) -> tuple[str, ...]:
        return tuple(changed(list(real(root, **options))))

    monkeypatch.setattr(sandbox, "bubblewrap_words", words)

    skipped = _run()

    assert skipped.startswith("the cage does not hold: ")
    assert said in skipped
    assert orders == []


def test_script_never_starts_as_root_outside(monkeypatch: pytest.MonkeyPatch, orders: list[bytes]) -> None:
    """Started by root without another user, the cage would be root outside: the case is skipped."""
    if sandbox.os.geteuid() != 0:
        pytest.skip("only root can be root outside")
    real = sandbox.limit_words
    monkeypatch.setattr(sandbox, "limit_words", lambda uid, **more: real(uid=None, **more))

    skipped = _run()

    assert "its user is 0 outside" in skipped
    assert orders == []


def test_script_never_starts_without_the_filter(monkeypatch: pytest.MonkeyPatch, orders: list[bytes]) -> None:
    """Without the filter of system calls the case is skipped."""
    real = sandbox.bubblewrap_words

    def words(root: Sequence[str], **options: Any) -> tuple[str, ...]:
        all_words = list(real(root, **options))
        at = all_words.index("--seccomp")
        return tuple(all_words[:at] + all_words[at + 2 :])

    monkeypatch.setattr(sandbox, "bubblewrap_words", words)

    skipped = _run()

    assert "its system calls are not filtered" in skipped
    assert orders == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("_program", lambda _: None), "bubblewrap is missing; install the package bubblewrap"),
        (("_program", lambda name: None if name == "choom" else f"/usr/bin/{name}"), "choom is missing"),
        (("_spare_uid", lambda: None), "maps no spare user"),
        (("FILTERED_MACHINES", {"vax": 0}), "the numbers of system calls are known for vax only"),
    ],
    ids=["bubblewrap", "tool", "user", "machine"],
)
def test_reason_is_said_where_no_cage_can_be_had(
    monkeypatch: pytest.MonkeyPatch, orders: list[bytes], change: tuple[str, object], said: str
) -> None:
    """Where something is missing the case is skipped with what is missing, and nothing was started."""
    if change[0] == "_spare_uid" and sandbox.os.geteuid() != 0:
        pytest.skip("only root needs a spare user")
    monkeypatch.setattr(sandbox, *change)

    answer = sandbox.BubblewrapCage().run(CageJob(script=fix_job(b"#!/bin/sh\necho ran\n")))

    assert said in answer.skipped
    assert orders == []


@pytest.mark.parametrize(
    ("pattern", "said"), [("|/usr/share/apport %p\n", "a crash in the cage would reach the program"), ("core\n", "")]
)
def test_helper_for_crashes_is_a_reason_where_cores_are_off(
    monkeypatch: pytest.MonkeyPatch, pattern: str, said: str
) -> None:
    """Where the hard limit of cores is 0, and a program waits for crashes, no cage is made: it would hear of them."""
    if sandbox._program("bwrap") is None:
        pytest.skip("bubblewrap is missing")
    monkeypatch.setattr(sandbox, "_cores_are_off", lambda: True)
    monkeypatch.setattr(sandbox, "_core_pattern", lambda: pattern)

    assert sandbox._why_not().startswith(said)
    assert bool(sandbox._why_not()) is bool(said)


def test_interpreter_that_is_not_here_is_a_reason() -> None:
    """A script for an interpreter that this machine has not is skipped with its name; PowerShell is one."""
    if sandbox._why_not():
        pytest.skip(sandbox._why_not())
    if sandbox._program("pwsh"):
        pytest.skip("this machine has pwsh")

    answer = sandbox.BubblewrapCage().run(CageJob(script=fix_job(b"#!/usr/bin/env pwsh\n'ran'\n")))

    assert answer.skipped == "the script is for pwsh, which is not on this machine; install it"


def test_reason_names_the_setting_that_forbids_namespaces(monkeypatch: pytest.MonkeyPatch, orders: list[bytes]) -> None:
    """Where bubblewrap cannot make a namespace, what it said is said, and the script never started."""
    real = sandbox.bubblewrap_words

    def words(root: Sequence[str], **options: Any) -> tuple[str, ...]:
        return ("--no-such-option", *real(root, **options))

    monkeypatch.setattr(sandbox, "bubblewrap_words", words)

    answer = sandbox.BubblewrapCage().run(CageJob(script=fix_job(b"#!/bin/sh\necho ran\n")))

    if answer.skipped.startswith("bubblewrap is missing"):
        pytest.skip(answer.skipped)
    assert "Unknown option --no-such-option" in answer.skipped
    assert orders == []


@pytest.mark.parametrize("machine", sorted(FILTERED_MACHINES))
def test_filter_is_whole(machine: str) -> None:
    """The filter is a row of steps of eight bytes that jump to steps inside it, and ends by allowing the rest."""
    steps = [seccomp_filter(machine)[at : at + 8] for at in range(0, len(seccomp_filter(machine)), 8)]

    assert all(at + 1 + max(step[2], step[3]) < len(steps) for at, step in enumerate(steps) if step[0] & 7 == 5)
    assert steps[-1] == bytes([6, 0, 0, 0, 0, 0, 255, 127])
    assert len(steps) < 4096
