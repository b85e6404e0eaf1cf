"""A deadline ends the script and everything it started, is told as such, and is written into the marker."""

import time

from remedy.port import FixEnding
from tests.powershell_lane.bench import Bench
from tests.powershell_lane.case import Case, Damage, Expected, Run, one

__all__ = ["cases"]

DEADLINE_S = 3
_LATE_S = 14
"""Two seconds of grace, one for the trailer, and what a busy machine needs to start and end PowerShell."""

_SCRIPTS = {
    # name: (script, what it has printed by then, whether it needs sh)
    "Start-Sleep": ("'a';Start-Sleep 60;'not'", b"a\n", False),
    "a busy loop": ("'a';while($true){}", b"a\n", False),
    "a busy loop in a function with a finally": ("function f{try{while($true){}}finally{'z'}};'a';f", None, False),
    "a loop that catches everything": ("'a';while($true){try{Start-Sleep 60}catch{'b'}}", b"a\n", False),
    "a finally that never ends": ("'a';try{Start-Sleep 60}finally{while($true){}}", b"a\n", False),
    "a trap that goes on": ("'a';while($true){&{trap{continue};throw 'x'}}", b"a\n", False),
    "a sleep of .NET": ("'a';[Threading.Thread]::Sleep(60000);'not'", b"a\n", False),
    "a wait of .NET": ("'a';[Threading.ManualResetEvent]::new($false).WaitOne();'not'", b"a\n", False),
    "a pipeline of Wait-Event": ("'a';Wait-Event -SourceIdentifier never", b"a\n", False),
    "a native command": ("'a';sleep 61;'not'", b"a\n", True),
    "a native command that ignores signals": ("'a';sh -c 'trap '''' TERM INT HUP;sleep 62;sleep 63'", b"a\n", True),
    "a native command that is read": ("'a';sh -c 'echo b;sleep 64'|%{$_}", b"a\nb\n", True),
    "a native command in the background": ("'a';sh -c 'sleep 65 &';Start-Sleep 60", b"a\n", True),
    "a tree of native commands": ("'a';sh -c 'sh -c ''sleep 66;:'' & sleep 67;:'", b"a\n", True),
    "a process that was started apart": (
        "'a';$null=Start-Process sleep -ArgumentList 68 -PassThru;Start-Sleep 60",
        b"a\n",
        True,
    ),
    "a job of PowerShell": ("'a';$null=Start-Job{Start-Sleep 69};Start-Sleep 60", b"a\n", False),
    "a thread of PowerShell": ("'a';$null=[powershell]::Create().AddScript('Start-Sleep 70').Invoke()", b"a\n", False),
    "a script that prints without end": ("while($true){'x'*99;Start-Sleep -Milliseconds 20}", None, False),
}


def _at_deadline(name: str, script: str, printed: bytes | None, *, sh: bool, kind: str = "fix") -> Case:
    run = Run(kind="collector" if kind == "collector" else "fix", script=script.encode(), deadline_s=DEADLINE_S)

    def act(bench: Bench) -> None:
        heard = bench.run(run)
        # At the deadline a process may be killed while its runtime writes of it.
        bench.judge(
            heard, Expected(trailer="time 124", printed=printed, is_stderr_free=True, within_s=DEADLINE_S + _LATE_S)
        )
        bench.check(f"whether it was left its {DEADLINE_S} s", heard.duration_s >= DEADLINE_S, True)

    return Case(group="deadline", name=name, act=act, needs=frozenset({"sh"} if sh else ()))


def cases() -> list[Case]:
    """Return the cases."""
    found = [_at_deadline(name, script, printed, sh=sh) for name, (script, printed, sh) in _SCRIPTS.items()]
    found += [
        _at_deadline(f"{name}, in a collector", *_SCRIPTS[name][:2], sh=_SCRIPTS[name][2], kind="collector")
        for name in ("Start-Sleep", "a finally that never ends", "a native command")
    ]
    return [
        *found,
        one(
            "deadline",
            "a script that ends in time has its own end",
            Run(script=b"'a';exit 3", deadline_s=5),
            Expected(trailer="exit 3 3", printed=b"a\n", within_s=20),
        ),
        one(
            "deadline",
            "a script that ends in time does not wait for its deadline",
            Run(script=b"'a'", deadline_s=3_600),
            Expected(trailer="end 0", printed=b"a\n", within_s=20),
        ),
        one(
            "deadline",
            "the longest deadline there is",
            Run(script=b"'a';Start-Sleep 1;'b'", deadline_s=2_000_000),
            Expected(trailer="end 0", printed=b"a\nb\n", within_s=20),
        ),
        one(
            "deadline",
            "none at all",
            Run(kind="plain", script=b"'a';Start-Sleep 3;'b'", deadline_s=0),
            Expected(trailer="end 0", printed=b"a\nb\n", within_s=20),
        ),
        one(
            "deadline",
            "an error in time is an error",
            Run(script=b"'a';throw 'x'", deadline_s=5),
            Expected(trailer="throw 1", printed=b"a\n", stderr=["x"], within_s=20),
        ),
        one(
            "deadline",
            "what the script left behind in time stays, and its end is told",
            Run(script=b"'a';sh -c 'sleep 30 </dev/null >/dev/null 2>&1 &';exit 0", deadline_s=20),
            Expected(trailer="exit 0 0", printed=b"a\n", within_s=20, leaves=True),
            needs=["sh"],
        ),
        Case(
            group="deadline",
            name="a child that keeps the output open keeps nobody waiting",
            act=_open,
            needs=frozenset({"sh"}),
        ),
        Case(group="deadline", name="a client that does not read is no reason to live on", act=_unread),
        Case(group="deadline", name="input that stays open is no reason to wait", act=_open_input),
        Case(group="deadline", name="the deadline counts from the start of the script", act=_late_payload),
    ]


def _open(bench: Bench) -> None:
    began = time.monotonic()
    pending = bench.begin(Run(script=b"'a';sh -c 'sleep 40 &';exit 5", deadline_s=30))
    pending.await_output("exit 5 5\n")
    pending.join(within_s=15)
    took_s = time.monotonic() - began
    heard = pending.heard()
    bench.judge(heard, Expected(trailer="exit 5 5", printed=b"a\n", leaves=True))
    bench.check("whether the child was still there, and held the output", (len(heard.left), heard.is_open), (1, True))
    bench.check(f"whether the session answered before the child ended, after {took_s:.1f} s", took_s < 35, True)


def _unread(bench: Bench) -> None:
    script = b"[IO.File]::WriteAllText($env:LANE_FILE,'x');$x='x'*1000;while($true){[Console]::Write($x)}"
    path = bench.folder / "began"
    run = Run(kind="plain", script=script, deadline_s=DEADLINE_S, is_read=False, outer={"LANE_FILE": str(path)})
    heard = bench.run(run, within_s=DEADLINE_S + 30)
    bench.check("whether the script had begun", path.exists(), True)
    bench.check("whether the process ended by itself", heard.has_ended, True)
    bench.check("what was left behind", heard.left, ())
    bench.check(
        f"whether it lasted from {DEADLINE_S} s to {DEADLINE_S + _LATE_S} s",
        DEADLINE_S <= heard.duration_s <= DEADLINE_S + _LATE_S,
        True,
    )


def _open_input(bench: Bench) -> None:
    heard = bench.run(Run(script=b"'a';exit 3", keeps_stdin_open=True, deadline_s=20), within_s=30)
    bench.judge(heard, Expected(trailer="exit 3 3", printed=b"a\n", within_s=25))
    script = b"'a';$x=[Console]::In.ReadToEnd();\"$($x.Length)\""
    run = Run(script=script, keeps_stdin_open=True, deadline_s=20, execution_id="e-2")
    late = bench.run(run, within_s=30)
    bench.judge(late, Expected(trailer="end 0", printed=b"a\n0\n", within_s=25))


def _late_payload(bench: Bench) -> None:
    def wait(data: bytes) -> bytes:
        time.sleep(4)
        return data

    run = Run(script=b"Start-Sleep 1;'a'", deadline_s=3, damage=Damage(text="it is sent after 4 s", of=wait))
    heard = bench.run(run)
    bench.judge(heard, Expected(trailer="end 0", printed=b"a\n"))
    bench.says(heard, FixEnding.FINISHED.value, exit_code=0)
