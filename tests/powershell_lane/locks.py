"""One fix at once on a host, and none while its hold file is there."""

import importlib
import shutil
from collections.abc import Callable

from remedy.port import FixEnding
from tests.powershell_lane.bench import Bench
from tests.powershell_lane.case import Case, Expected, Run
from tests.powershell_lane.fix import RAN, begin_blocked, fix, not_run, write

__all__ = ["cases"]


def _held_lock(bench: Bench) -> None:
    bench.root.mkdir(parents=True)
    with (bench.root / "lock").open("wb") as lock:
        # There is no such module on Windows, where this case is skipped.
        flock = importlib.import_module("fcntl")
        flock.flock(lock, flock.LOCK_EX)
        heard = fix(bench)
        not_run(bench, heard, FixEnding.HOST_BUSY, mark="busy")
        bench.check("whether a marker was made", (bench.root / "e-1").exists(), False)
        write(bench.root / "e-1" / "start", "boot_id x\n")
        not_run(bench, fix(bench), FixEnding.ALREADY_STARTED, mark="already")
    shutil.rmtree(bench.root / "e-1")
    bench.judge(fix(bench), RAN)


def _running_lock(bench: Bench) -> None:
    end = begin_blocked(bench)
    not_run(bench, fix(bench, "e-2"), FixEnding.HOST_BUSY, mark="busy", ran=1)
    not_run(bench, fix(bench, "e-1"), FixEnding.ALREADY_STARTED, mark="already", ran=1)
    bench.check("whether the second has a marker", (bench.root / "e-2").exists(), False)
    bench.judge(end(), Expected(trailer="exit 6 6", printed=b"waits\n"))
    bench.judge(fix(bench, "e-2"), RAN)


def _two_at_once(bench: Bench) -> None:
    script = b"'ran';Start-Sleep 4"
    pending = [bench.begin(bench.evident(Run(script=script))) for _ in range(3)]
    heard = [each.heard() for each in pending]
    bench.check("how often the script ran", bench.ran(), 1)
    bench.check("how many said that they start it", sum(each.has_started for each in heard), 1)
    for each in heard:
        if not each.has_started:
            bench.check(
                "the mark of one that came too late is busy or already", each.marks in (["busy"], ["already"]), True
            )
            bench.check("its trailer", each.trailer, "load 1")


def _two_others_at_once(bench: Bench) -> None:
    script = (
        b"[IO.File]::AppendAllText($env:REMEDY_PARAM_RAN,'<');Start-Sleep 3;"
        b"[IO.File]::AppendAllText($env:REMEDY_PARAM_RAN,'>');'ran'"
    )
    environment = {"REMEDY_PARAM_RAN": str(bench.folder / "ran")}
    pending = [bench.begin(Run(script=script, execution_id=f"e-{each}", environment=environment)) for each in range(3)]
    heard = [each.heard() for each in pending]
    started = [each for each in heard if each.has_started]
    path = bench.folder / "ran"
    bench.check(
        "what the scripts wrote; none may begin inside another",
        path.read_text() if path.exists() else "",
        "<>" * len(started),
    )
    bench.check("whether one at least ran", bool(started), True)
    for each in heard:
        if each.has_started:
            bench.judge(each, RAN)
        else:
            bench.check("the mark of one that came too late", each.marks, ["busy"])


def _collector_without_lock(bench: Bench) -> None:
    end = begin_blocked(bench)
    bench.judge(bench.run(Run(kind="collector", script=b"'ran'")), RAN)
    bench.judge(end(), Expected(trailer="exit 6 6", printed=b"waits\n"))


def _lock_freed(bench: Bench) -> None:
    first = bench.run(Run(script=b"'ran';sh -c 'sleep 30 </dev/null >/dev/null 2>&1 &'", deadline_s=20))
    bench.check("the trailer of the first", first.trailer, "end 0 0")
    bench.judge(fix(bench, "e-2"), RAN)


def _lock_freed_while_left(bench: Bench) -> None:
    pending = bench.begin(Run(script=b"'ran';sh -c 'sleep 50 &';exit 0"))
    pending.await_output("exit 0 0\n")
    pending.join(within_s=20)
    bench.judge(fix(bench, "e-2"), RAN)
    heard = pending.heard()
    bench.check("whether the child of the first was still there", len(heard.left), 1)


def _odd_lock(bench: Bench) -> None:
    (bench.root / "lock").mkdir(parents=True)
    heard = fix(bench)
    not_run(bench, heard, FixEnding.REFUSED, mark=f"refused lock {bench.root / 'lock'}", reason="cannot be opened")


def _held(name: str, content: bytes, words: str) -> Case:
    def act(bench: Bench) -> None:
        write(bench.root / "hold", content)
        heard = fix(bench)
        not_run(bench, heard, FixEnding.HOST_HOLD, mark=f"held {words}", reason=words)
        bench.check("files beside the hold file", [each.name for each in bench.root.iterdir()], ["hold"])
        collected = bench.run(Run(kind="collector", script=b"'ran'"))
        bench.judge(collected, RAN)
        (bench.root / "hold").unlink()
        bench.judge(fix(bench), RAN)

    return Case(group="hold", name=name, act=act)


def _hold_folder(bench: Bench) -> None:
    (bench.root / "hold").mkdir(parents=True)
    not_run(bench, fix(bench), FixEnding.HOST_HOLD, mark="held ", reason="its hold file exists")


def _hold_link(bench: Bench) -> None:
    bench.root.mkdir(parents=True)
    (bench.root / "hold").symlink_to(bench.folder / "nowhere")
    heard = fix(bench)
    not_run(bench, heard, FixEnding.REFUSED, mark=f"refused hold {bench.root / 'hold'}", reason="cannot be looked at")


def _hold_loop(bench: Bench) -> None:
    bench.root.parent.mkdir(parents=True)
    bench.root.symlink_to(bench.root)
    heard = fix(bench)
    bench.nothing_ran(heard)
    bench.check("the first word", [each.split()[0] for each in heard.marks], ["refused"])
    bench.says(heard, "refused", reason="nothing ran on the host")


def _hold_unreadable(bench: Bench) -> None:
    write(bench.root / "hold", "secret reason\n")
    (bench.root / "hold").chmod(0)
    try:
        not_run(bench, fix(bench), FixEnding.HOST_HOLD, mark="held ", reason="its hold file exists")
    finally:
        (bench.root / "hold").chmod(0o600)


def _hold_unseen(bench: Bench) -> None:
    write(bench.root / "hold", "reason\n")
    bench.root.chmod(0)
    try:
        heard = fix(bench)
        not_run(
            bench, heard, FixEnding.REFUSED, mark=f"refused hold {bench.root / 'hold'}", reason="cannot be looked at"
        )
    finally:
        bench.root.chmod(0o700)


def _hold_first(bench: Bench) -> None:
    bench.judge(fix(bench), RAN)
    write(bench.root / "hold", "later\n")
    not_run(bench, fix(bench), FixEnding.HOST_HOLD, mark="held later", reason="later", ran=1)


def cases() -> list[Case]:
    """Return the cases."""
    sh, user = frozenset({"sh"}), frozenset({"sh", "user"})
    plain: list[tuple[str, str, Callable[[Bench], None], frozenset[str]]] = [
        ("lock", "held by another process", _held_lock, sh),
        ("lock", "held by a fix at work", _running_lock, frozenset()),
        ("lock", "the same fix three times at once runs once", _two_at_once, frozenset()),
        ("lock", "three fixes at once do not overlap", _two_others_at_once, frozenset()),
        ("lock", "a collector needs none", _collector_without_lock, frozenset()),
        ("lock", "it is free after a fix that leaves a child behind", _lock_freed, sh),
        ("lock", "it is free while a child keeps the output open", _lock_freed_while_left, sh),
        ("lock", "a folder where it should be", _odd_lock, frozenset()),
        ("hold", "a folder in its place holds", _hold_folder, frozenset()),
        ("hold", "a link in its place cannot be looked at", _hold_link, sh),
        ("hold", "a folder of all that leads to itself", _hold_loop, sh),
        ("hold", "one that this login may not read holds", _hold_unreadable, user),
        ("hold", "one that this login may not see cannot be looked at", _hold_unseen, user),
        ("hold", "it comes before the marker", _hold_first, frozenset()),
    ]
    return [
        *(Case(group=group, name=name, act=act, needs=needs) for group, name, act, needs in plain),
        _held("its first line is the reason", b"patch day until noon\nsecond line\n", "patch day until noon"),
        _held("with CR LF", b"patch day\r\nsecond\r\n", "patch day"),
        _held("without a newline", b"patch day", "patch day"),
        _held("empty", b"", ""),
        _held("with a byte order mark and other letters", "\ufeffgehört Jörg €\n".encode(), "gehört Jörg €"),
        _held("of 300 characters in a line", b"x" * 300 + b"\n", "x" * 200),
        _held("of 1 MB", b"y" * 1_000_000, "y" * 200),
    ]
