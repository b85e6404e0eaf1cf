"""What `reconcile` reads of markers, and which machine it is."""

import os
import re
from collections.abc import Callable
from contextlib import suppress

from remedy.port import FixEnding, Marker, MarkerState
from tests.powershell_lane.bench import Bench, boot_id, born, monotonic_s
from tests.powershell_lane.case import Case, Expected, Run
from tests.powershell_lane.fix import RAN, begin_blocked, fix, marker_of, not_run, write

__all__ = ["cases"]

_OTHER_BOOT = "00000000-0000-4000-8000-000000000000"


def _read_ended(code: int, *, script: bytes = b"", deadline_s: int = 60) -> Case:
    def act(bench: Bench) -> None:
        heard = bench.run(bench.evident(Run(script=script or f"exit {code}".encode(), deadline_s=deadline_s)))
        bench.check("how often it ran", bench.ran(), 1)
        told, read = bench.markers("e-1")
        over = int(code == 124 and deadline_s < 60)
        bench.check("the marks", told.marks[2:], [f"marker 0 ended {heard.boot_id} {code} {over} -", "done"])
        bench.check(
            "what the session reads",
            read.markers["e-1"],
            marker_of(bench, MarkerState.ENDED, exit_code=code, over=bool(over)),
        )

    name = "a deadline" if deadline_s < 60 else f"{code}"
    return Case(group="markers", name=f"an end is read: {name}", act=act)


def _read_running(bench: Bench) -> None:
    end = begin_blocked(bench)
    told, read = bench.markers("e-1")
    bench.check("the marks", told.marks[2:], [f"marker 0 started {told.boot_id} - yes", "done"])
    bench.check("what the session reads", read.markers["e-1"], marker_of(bench, MarkerState.STARTED, is_alive=True))
    bench.judge(end(), Expected(trailer="exit 6 6", printed=b"waits\n"))
    _, read = bench.markers("e-1")
    bench.check(
        "what the session reads after the end",
        read.markers["e-1"],
        marker_of(bench, MarkerState.ENDED, exit_code=6, over=False),
    )


def _killed(bench: Bench) -> None:
    pending = bench.begin(bench.evident(Run(script=b"'waits';Start-Sleep 50")))
    pending.await_output("waits\n")
    pending.kill()
    heard = pending.heard()
    bench.check("the trailer", heard.trailer, None)
    bench.says(heard, FixEnding.LOST.value, reason="its end was not seen")
    told, read = bench.markers("e-1")
    bench.check("the marks", told.marks[2:], [f"marker 0 started {told.boot_id} - no", "done"])
    # That the process is gone says nothing of what it has left behind.
    bench.check("what the session reads", read.markers["e-1"], marker_of(bench, MarkerState.STARTED))
    not_run(bench, fix(bench), FixEnding.ALREADY_STARTED, mark="already", ran=1)
    bench.judge(fix(bench, "e-2"), RAN)


def _killed_itself(bench: Bench) -> None:
    heard = bench.run(Run(script=b"'a';[Environment]::Exit(9)"))
    bench.judge(heard, Expected(trailer=None, printed=b"a\n", status=9))
    told, _ = bench.markers("e-1")
    bench.check("the marks", told.marks[2:], [f"marker 0 started {told.boot_id} - no", "done"])


def _absent(bench: Bench) -> None:
    told, read = bench.markers("e-1", "e-2")
    bench.check(
        "the marks without any folder", told.marks[2:], ["marker 0 absent - - -", "marker 1 absent - - -", "done"]
    )
    bench.check("whether a folder was made", bench.root.exists(), False)
    bench.judge(fix(bench), RAN)
    told, read = bench.markers("e-2", "e-1")
    bench.check("the marks", told.marks[2:], ["marker 0 absent - - -", f"marker 1 ended {told.boot_id} 0 0 -", "done"])
    bench.check("what the session reads", read.markers["e-2"], Marker(state=MarkerState.ABSENT))


def _reader(bench: Bench) -> None:
    before = int(monotonic_s())
    told, read = bench.markers("e-1")
    after = monotonic_s()
    is_root = os.geteuid() == 0
    bench.check(
        "who reads", (told.marks[1].split()[:2], read.as_root), (["reader", "root" if is_root else "user"], is_root)
    )
    bench.check(
        f"whether {read.up_s} s lie between {before} s and {after} s",
        read.up_s is not None and before <= read.up_s <= after,
        True,
    )
    bench.check("the trailer", told.trailer, "end 0")


def _many(bench: Bench) -> None:
    ids = [f"e-{each}" for each in range(1_000)]
    bench.judge(fix(bench, "e-500"), RAN)
    told, read = bench.markers(*ids)
    states = {each: read.markers[each].state.value for each in ids}
    bench.check(
        "those that are not absent",
        {each: state for each, state in states.items() if state != "absent"},
        {"e-500": "ended"},
    )
    bench.check("whether it took less than 20 s", told.duration_s < 20, True)


_START = "boot_id {boot}\npid {pid}\nborn {born}\nstarted_at 2026-01-02T03:04:05Z\ndeadline_s 5\nup_s 7\n"


def _planted(
    name: str,
    expected: str,
    *,
    start: str | bytes | None = _START,
    rc: str | bytes | None = None,
    pid: int | None = None,
    its_birth: str | None = None,
) -> Case:
    """Return the case of a marker that nobody's fix has left; {boot} in the expected words is the boot id of now."""

    def act(bench: Bench) -> None:
        number = os.getpid() if pid is None else pid
        birth = its_birth if its_birth is not None else (born(number) or "1")
        boot = boot_id() or "x"
        (bench.root / "e-1").mkdir(parents=True)
        if isinstance(start, str):
            write(bench.root / "e-1" / "start", start.format(boot=boot, pid=number, born=birth))
        elif start is not None:
            write(bench.root / "e-1" / "start", start)
        if rc is not None:
            write(bench.root / "e-1" / "rc", rc)
        told, _ = bench.markers("e-1")
        bench.check("the marks", told.marks[2:], [f"marker 0 {expected.format(boot=boot)}", "done"])

    return Case(group="markers", name=f"planted: {name}", act=act)


def _planted_links(bench: Bench) -> None:
    text = _START.format(boot=boot_id() or "x", pid=1, born=1)
    write(bench.folder / "elsewhere" / "start", text)
    bench.root.mkdir(parents=True)
    (bench.root / "e-1").symlink_to(bench.folder / "elsewhere")
    (bench.root / "e-2").mkdir()
    (bench.root / "e-2" / "start").symlink_to(bench.folder / "elsewhere" / "start")
    told, _ = bench.markers("e-1", "e-2")
    bench.check("the marks", told.marks[2:], ["marker 0 odd - - -", "marker 1 odd - - -", "done"])


def _odd_folder(bench: Bench) -> None:
    write(bench.root, "no folder\n")
    told, _ = bench.markers("e-1")
    bench.check("the marks", told.marks[2:], ["marker 0 odd - - -", "done"])


def _changes_nothing(bench: Bench) -> None:
    bench.judge(fix(bench), RAN)

    def seen() -> list[tuple[str, int, int]]:
        found = []
        for each in sorted(bench.root.rglob("*")):
            with suppress(FileNotFoundError):
                found.append((str(each), each.stat().st_mtime_ns, each.stat().st_size))
        return found

    before = seen()
    bench.markers("e-1", "e-2")
    bench.check("the folder after a look", seen(), before)


def _identity(bench: Bench) -> None:
    heard, identity = bench.identity()
    version, _, edition = bench.version.partition(" ")
    name = re.sub(r"\..*", "", os.uname().nodename) if hasattr(os, "uname") else os.environ["COMPUTERNAME"]
    bench.check("the computer's name", (identity.computer_name or "").partition(".")[0], name)
    bench.check("the version", identity.version, f"{version} {edition}")
    bench.check("the trailer", heard.trailer, "end 0")
    bench.check("standard error", heard.stderr, b"")
    if os.name == "posix":
        bench.check(
            "the machine's id, which only Windows has", (identity.machine_id, heard.marks[0]), (None, "machine -")
        )
    else:
        bench.check(
            "whether the machine has an id", bool(re.fullmatch(r"[0-9a-f-]{36}", identity.machine_id or "")), True
        )
    bench.check("whether anything was made on the host", bench.root.exists(), False)


def cases() -> list[Case]:
    """Return the cases."""
    sh = frozenset({"sh"})
    plain: list[tuple[str, str, Callable[[Bench], None], frozenset[str]]] = [
        ("markers", "a fix at work, then its end", _read_running, frozenset()),
        ("markers", "a fix that was killed", _killed, frozenset()),
        ("markers", "a fix that ended its own process", _killed_itself, frozenset()),
        ("markers", "none", _absent, frozenset()),
        ("markers", "who reads, and for how long the system has been up", _reader, sh),
        ("markers", "a thousand at once", _many, frozenset()),
        ("markers", "planted: links", _planted_links, sh),
        ("markers", "planted: a file where the folder of all should be", _odd_folder, frozenset()),
        ("markers", "looking changes nothing", _changes_nothing, frozenset()),
        ("identity", "name, version, and the id that Windows has", _identity, frozenset()),
    ]
    return [
        *(Case(group=group, name=name, act=act, needs=needs) for group, name, act, needs in plain),
        *(_read_ended(code) for code in (0, 7, 255, 3010, -1, -2147024891, 124)),
        _read_ended(124, script=b"Start-Sleep 50", deadline_s=3),
        _planted("a process that lives", "started {boot} - yes"),
        _planted("a process of the same number that was started later", "started {boot} - no", its_birth="1"),
        _planted("a process that is gone", "started {boot} - no", pid=999_999_99, its_birth="5"),
        _planted("a process whose start nobody knows", "started {boot} - -", its_birth="-"),
        _planted(
            "a start of another boot",
            f"started {_OTHER_BOOT} - no",
            start=_START.replace("{boot}", _OTHER_BOOT),
            its_birth="1",
        ),
        _planted("an end", "ended {boot} -5 0 -", rc="-5 0\n"),
        _planted("an end of a deadline", "ended {boot} 124 1 -", rc="124 1\n"),
        *(
            _planted(f"no start, {name}", "odd - - -", start=start)
            for name, start in (
                ("for there is no file", None),
                ("for it is empty", b""),
                ("without its last newline", b"boot_id x\npid 1\nborn 1"),
                ("of other words", b"hello\n"),
                ("of 500 bytes", b"boot_id x\npid 1\nborn 1\n" + b"z" * 500 + b"\n"),
                ("with a name before", b"x\nboot_id x\npid 1\nborn 1\n"),
                ("with no number", b"boot_id x\npid one\nborn 1\n"),
                ("of other bytes", bytes(range(256)) + b"\n"),
            )
        ),
        *(
            _planted(f"no end, {name}", "odd - - -", rc=rc)
            for name, rc in (
                ("for it is empty", b""),
                ("without its newline", b"0 0"),
                ("of one word", b"0\n"),
                ("of two lines", b"0 0\n0 0\n"),
                ("over twice", b"0 2\n"),
                ("of words", b"zero no\n"),
                ("with CR LF", b"0 0\r\n"),
            )
        ),
    ]
