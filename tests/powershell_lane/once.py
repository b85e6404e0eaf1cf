"""Once is once: the marker of a fix, and the end that is written into it."""

import calendar
import os
import re
import time
from collections.abc import Callable

from remedy.port import FixEnding, MarkerState
from tests.powershell_lane.bench import Bench, boot_id, born, monotonic_s
from tests.powershell_lane.case import Case, Expected, Run
from tests.powershell_lane.fix import RAN, begin_blocked, fix, marker_of, not_run, write

__all__ = ["cases"]

_RUN = Run(script=b"'ran'")
_OTHER_BOOT = "00000000-0000-4000-8000-000000000000"


def _once(bench: Bench) -> None:
    first, second = fix(bench), fix(bench)
    bench.judge(first, RAN)
    not_run(bench, second, FixEnding.ALREADY_STARTED, mark="already", ran=1)
    other = fix(bench, "e-2")
    bench.judge(other, RAN)
    bench.check("how often the scripts ran", bench.ran(), 2)


def _marker_contents(bench: Bench) -> None:
    end = begin_blocked(bench)
    start = (bench.root / "e-1" / "start").read_text(encoding="ascii")
    fields = dict(line.split(" ", 1) for line in start.splitlines())
    pid = int(fields.get("pid", "0"))
    up_s, at = monotonic_s(), time.time()
    bench.check(
        "the names in `start`, in order", list(fields), ["boot_id", "pid", "born", "started_at", "deadline_s", "up_s"]
    )
    if boot_id() is not None:
        bench.check("the boot id in `start`", fields.get("boot_id"), boot_id())
        bench.check("when the process with this number was started", fields.get("born"), born(pid))
    bench.check("the deadline in `start`", fields.get("deadline_s"), "60")
    bench.check(
        "how far `up_s` is from the system's clock, at most 15 s", 0 <= up_s - int(fields.get("up_s", "0")) <= 15, True
    )
    began = time.strptime(fields.get("started_at", ""), "%Y-%m-%dT%H:%M:%SZ")
    bench.check("whether `started_at` is now", abs(at - calendar.timegm(began)) < 30, True)
    bench.check(
        "files of the marker while it runs", sorted(each.name for each in (bench.root / "e-1").iterdir()), ["start"]
    )
    bench.check("files beside it", sorted(each.name for each in bench.root.iterdir()), ["e-1", "lock"])
    heard = end()
    bench.judge(heard, Expected(trailer="exit 6 6", printed=b"waits\n"))
    bench.check(
        "files of the marker after the end",
        sorted(each.name for each in (bench.root / "e-1").iterdir()),
        ["rc", "start"],
    )


def _own_pid(bench: Bench) -> None:
    heard = bench.run(Run(script=b"[Console]::Write($PID)"))
    bench.judge(heard, Expected(trailer="end 0", printed=None))
    start = (bench.root / "e-1" / "start").read_bytes()
    bench.check("the pid in `start` is the script's", re.findall(rb"pid ([0-9]+)", start), [heard.printed])


def _boot(bench: Bench) -> None:
    bench.judge(fix := bench.run(_RUN), RAN)
    collected = bench.run(Run(kind="collector", script=b"'ran'"))
    bench.judge(collected, RAN)
    heard, read = bench.markers("e-1")
    for what, said in (("a fix", fix.boot_id), ("a collector", collected.boot_id), ("markers", heard.boot_id)):
        bench.check(f"the boot id that {what} said", said, boot_id() or said)
        bench.check(f"whether the boot id that {what} said is one", bool(said) and said != "-", True)
    bench.check("the boot id of the marker, as the session has it", read.markers["e-1"].boot_id, fix.boot_id)


def _end_written(
    name: str,
    script: bytes,
    rc: bytes | None,
    *,
    deadline_s: int = 60,
    trailer: str | None,
    needs: tuple[str, ...] = (),
) -> Case:
    def act(bench: Bench) -> None:
        heard = bench.run(bench.evident(Run(script=script, deadline_s=deadline_s)))
        bench.check("the trailer", " ".join((heard.trailer or "none").split()[:3]), trailer or "none")
        bench.check("how often it ran", bench.ran(), 1)
        path = bench.root / "e-1" / "rc"
        bench.check("the end in the marker", path.read_bytes() if path.exists() else None, rc)
        names = sorted(each.name for each in (bench.root / "e-1").iterdir())
        bench.check("files of the marker", names, ["rc", "start"] if rc is not None else ["start"])

    return Case(group="marker", name=f"the end that is written: {name}", act=act, needs=frozenset(needs))


def _parse_end(bench: Bench) -> None:
    bench.judge(bench.run(Run(script=b"'a';}")), Expected(trailer="parse 1", stderr=["'}'"]))
    _, read = bench.markers("e-1")
    bench.check(
        "what the session reads", read.markers["e-1"], marker_of(bench, MarkerState.ENDED, exit_code=1, over=False)
    )


def _unwritable_end(bench: Bench) -> None:
    script = b"$null=[IO.Directory]::CreateDirectory([IO.Path]::Combine($env:REMEDY_PARAM_MARKER,'rc.new'));'a';exit 4"
    environment = {"REMEDY_PARAM_MARKER": str(bench.root / "e-1")}
    heard = bench.run(Run(script=script, environment=environment))
    bench.check("the trailer, which the failed write must not change", heard.trailer, "exit 4 4")
    bench.check("what the script printed", heard.printed, b"a\n")
    bench.check("standard error", heard.stderr, b"")
    bench.says(heard, "finished", exit_code=4)
    bench.check("the end in the marker", (bench.root / "e-1" / "rc").exists(), False)


def _removed_marker(bench: Bench) -> None:
    script = b"[IO.Directory]::Delete($env:REMEDY_PARAM_MARKER,$true);'a';exit 4"
    heard = bench.run(Run(script=script, environment={"REMEDY_PARAM_MARKER": str(bench.root / "e-1")}))
    bench.check("the trailer", heard.trailer, "exit 4 4")
    bench.says(heard, "finished", exit_code=4)


def _folder_is_file(bench: Bench) -> None:
    write(bench.root, "in the way\n")
    heard = fix(bench)
    bench.nothing_ran(heard)
    bench.check("the trailer", heard.trailer, "load 1")
    bench.check("the first word", [each.split()[0] for each in heard.marks], ["refused"])
    bench.says(heard, "refused", reason="nothing ran on the host")
    bench.check("what was in the way", bench.root.read_text(), "in the way\n")


def _marker_is_file(bench: Bench) -> None:
    write(bench.root / "e-1", "in the way\n")
    heard = fix(bench)
    not_run(bench, heard, FixEnding.REFUSED, mark=f"refused marker {bench.root / 'e-1'}", reason="cannot be written")


def _marker_folder_alone(bench: Bench) -> None:
    (bench.root / "e-1").mkdir(parents=True)
    bench.judge(fix(bench), RAN)


def _start_is_folder(bench: Bench) -> None:
    (bench.root / "e-1" / "start").mkdir(parents=True)
    heard = fix(bench)
    mark = f"refused marker {bench.root / 'e-1'}"
    not_run(bench, heard, FixEnding.REFUSED, mark=mark, reason="cannot be written")


def _not_writable(bench: Bench) -> None:
    bench.root.mkdir(parents=True)
    bench.root.chmod(0o500)
    try:
        heard = fix(bench)
        bench.nothing_ran(heard)
        bench.check("the trailer", heard.trailer, "load 1")
        bench.says(heard, "refused", reason="cannot be")
    finally:
        bench.root.chmod(0o700)


def _old_markers(bench: Bench) -> None:
    now, up_s = time.time(), int(monotonic_s())
    plans = {
        # name: (age in days, boot id, up_s then, whether it stays)
        "old-other-boot": (31, _OTHER_BOOT, 5, False),
        "old-without-start": (40, None, 0, True),
        "young": (29, _OTHER_BOOT, 5, True),
        "young-this-boot": (1, boot_id(), up_s, True),
        "clock-was-set": (31, boot_id(), up_s, True),
    }
    for name, (days, boot, up, _) in plans.items():
        if boot is not None:
            write(
                bench.root / name / "start", f"boot_id {boot}\npid 1\nborn 1\nstarted_at x\ndeadline_s 5\nup_s {up}\n"
            )
        (bench.root / name).mkdir(parents=True, exist_ok=True)
        os.utime(bench.root / name, (now - days * 86_400,) * 2)
    bench.judge(fix(bench), RAN)
    for name, (days, _, _, stays) in plans.items():
        bench.check(f"whether {name}, {days} days old, is there", (bench.root / name).exists(), stays)


def _others_folders(bench: Bench) -> None:
    start = f"boot_id {_OTHER_BOOT}\npid 1\nborn 1\nstarted_at x\ndeadline_s 5\nup_s 5\n"
    files = {
        "ours/start": start,
        "ours/rc": "0 0\n",
        "ours/rc.new": "0",
        "Product/data.db": "x",
        "with-more/start": start,
        "with-more/data.db": "x",
        "with-folder/start": start,
        "with-folder/folder/data.db": "x",
        "other-start/start": "[Desktop]\n",
        "dots.in.name/start": start,
    }
    for name, text in files.items():
        write(bench.root / name, text)
    for name in {name.split("/", maxsplit=1)[0] for name in files}:
        os.utime(bench.root / name, (time.time() - 40 * 86_400,) * 2)
    bench.judge(fix(bench), RAN)
    for name in files:
        bench.check(f"whether {name} is there", (bench.root / name).exists(), not name.startswith("ours/"))
    bench.check("whether the folder of the marker is there", (bench.root / "ours").exists(), False)


def cases() -> list[Case]:
    """Return the cases."""
    sh, user = frozenset({"sh"}), frozenset({"sh", "user"})
    plain: list[tuple[str, str, Callable[[Bench], None], frozenset[str]]] = [
        ("marker", "once is once; another execution runs", _once, frozenset()),
        ("marker", "what is in it while it runs and after", _marker_contents, sh),
        ("marker", "its process is the one that runs the script", _own_pid, frozenset()),
        ("marker", "every payload says the same boot id, the system's", _boot, frozenset()),
        ("marker", "a script that cannot be read has an end, too", _parse_end, frozenset()),
        ("marker", "an end that cannot be written changes nothing else", _unwritable_end, frozenset()),
        ("marker", "a script that removes it changes nothing else", _removed_marker, frozenset()),
        ("marker", "a file where it should be", _marker_is_file, frozenset()),
        ("marker", "its folder without a start is none", _marker_folder_alone, frozenset()),
        ("marker", "a folder where its start should be", _start_is_folder, frozenset()),
        ("marker", "a file where the folder of all should be", _folder_is_file, frozenset()),
        ("marker", "a folder that this login may not write", _not_writable, user),
        ("marker", "old ones go, young ones and those of this start stay", _old_markers, sh),
        ("marker", "what somebody else keeps beside them stays, however old", _others_folders, sh),
    ]
    return [
        *(Case(group=group, name=name, act=act, needs=needs) for group, name, act, needs in plain),
        _end_written("exit 0", b"exit 0", b"0 0\n", trailer="exit 0 0"),
        _end_written("exit 3010", b"exit 3010", b"3010 0\n", trailer="exit 3010 3010"),
        _end_written(
            "exit -2147024891", b"exit -2147024891", b"-2147024891 0\n", trailer="exit -2147024891 -2147024891"
        ),
        _end_written("its last statement", b"'a'", b"0 0\n", trailer="end 0"),
        _end_written("a native failure", b"sh -c 'exit 9'", b"9 0\n", trailer="end 0 9", needs=("sh",)),
        _end_written("an error", b"throw 'x'", b"1 0\n", trailer="throw 1"),
        _end_written(
            "an error behind a native failure",
            b"sh -c 'exit 9';throw 'x'",
            b"1 0\n",
            trailer="throw 1 9",
            needs=("sh",),
        ),
        _end_written("a deadline", b"Start-Sleep 50", b"124 1\n", deadline_s=3, trailer="time 124"),
        _end_written(
            "a deadline that the script ignores",
            b"try{Start-Sleep 50}finally{while($true){}}",
            b"124 1\n",
            deadline_s=3,
            trailer="time 124",
        ),
        _end_written("none, for the process was gone", b"[Environment]::Exit(3)", None, trailer=None),
    ]
