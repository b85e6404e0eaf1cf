"""
What ends at a deadline on Windows: the bootstrap's half for it, run where there is /proc.

$env:OS makes it take that half, and a module stands in for Get-CimInstance: it tells
real processes, from /proc, as Windows tells them. What is ended is real.
"""

import subprocess

from tests.powershell_lane.bench import Bench
from tests.powershell_lane.case import Case, Expected, Run

__all__ = ["cases"]

DEADLINE_S = 3
_LATE_S = 14
_ASKED_S = 8
"""So long the bootstrap waits for an answer about processes."""

_MODULE = """
function Get-CimInstance {
    param([string]$ClassName)
    if ($env:LANE_CIM -eq 'hangs') { [Threading.Thread]::Sleep(60000) }
    if ($env:LANE_CIM -eq 'fails') { throw 'Zugriff verweigert' }
    if ($env:LANE_CIM -eq 'none') { return }
    foreach ($path in [IO.Directory]::GetDirectories('/proc')) {
        $number = [IO.Path]::GetFileName($path)
        if ($number -notmatch '\\A[0-9]+\\z') { continue }
        try { $stat = [IO.File]::ReadAllText("$path/stat") } catch { continue }
        $words = -split $stat.Substring($stat.LastIndexOf(')') + 1)
        $parent = [int]$words[1]
        $began = 10 * [long]$words[19]
        # The system counts in 10 ms, in which both may have begun; Windows counts finer.
        if ($number -eq $env:LANE_ORPHAN) { $parent = $PID; $began -= 1000 }
        [pscustomobject]@{
            ProcessId = [uint32]$number; ParentProcessId = [uint32]$parent
            CreationDate = [DateTime]::new(2026, 1, 1).AddMilliseconds($began)
        }
    }
}
Export-ModuleMember -Function Get-CimInstance
"""
_TREE = b"'a';sh -c 'sh -c ''sleep 71;:'' & sleep 72;:'"


def _run(bench: Bench, script: bytes, **outer: str) -> Run:
    modules = bench.folder / "modules"
    (modules / "Stand").mkdir(parents=True)
    (modules / "Stand" / "Stand.psm1").write_text(_MODULE, encoding="ascii")
    environment = {"OS": "Windows_NT", "PSModulePath": str(modules), **outer}
    return Run(script=script, deadline_s=DEADLINE_S, outer=environment)


def _expected(*, leaves: bool = False, asked_s: int = 0) -> Expected:
    return Expected(
        trailer="time 124",
        printed=b"a\n",
        is_stderr_free=True,
        within_s=DEADLINE_S + _LATE_S + asked_s,
        leaves=leaves,
    )


def _tree(bench: Bench) -> None:
    bench.judge(bench.run(_run(bench, _TREE)), _expected())


def _tree_of_stopped(bench: Bench) -> None:
    script = b"'a';$null=Start-Process sh -ArgumentList '-c','\"sleep 73;:\"' -PassThru;Start-Sleep 60"
    bench.judge(bench.run(_run(bench, script)), _expected())


def _number_used_again(bench: Bench) -> None:
    # It was there before the PowerShell that its parent's number leads to.
    with subprocess.Popen(["sleep", "100"]) as other:
        try:
            heard = bench.run(_run(bench, _TREE, LANE_ORPHAN=str(other.pid)))
            bench.check("the status of the older process, which must live on", other.poll(), None)
        finally:
            other.kill()
    bench.judge(heard, _expected())


def _silent(bench: Bench, how: str) -> None:
    heard = bench.run(_run(bench, _TREE, LANE_CIM=how))
    bench.judge(heard, _expected(leaves=True, asked_s=_ASKED_S if how == "hangs" else 0))


def cases() -> list[Case]:
    """Return the cases."""
    named = [
        ("the script and its tree", _tree),
        ("what a script has started that could be stopped", _tree_of_stopped),
        ("not what an older process of the same number had started", _number_used_again),
        ("PowerShell itself, when Windows does not answer", lambda bench: _silent(bench, "hangs")),
        ("PowerShell itself, when Windows refuses", lambda bench: _silent(bench, "fails")),
        ("PowerShell itself, when Windows names nobody", lambda bench: _silent(bench, "none")),
    ]
    return [
        Case(group="tree", name=f"at the deadline ends {name}", act=act, needs=frozenset({"sh"})) for name, act in named
    ]
