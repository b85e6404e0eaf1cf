"""How a fix or a collector ends: exact codes of 32 bit, every place an `exit` can stand in, and no false success."""

from tests.powershell_lane.bench import Bench
from tests.powershell_lane.case import Case, Expected, Run, one

__all__ = ["cases"]

_CODES = (0, 1, 2, 7, 124, 127, 255, 256, 1000, 3010, 65536, 1641, 2147483647, -1, -2147024891, -2147483648)

_EXITS = {
    "in a function of a function": "function f{exit 41};function g{f;'not'};'a';g;'not'",
    "in a trap of a function": "function f{trap{exit 41};throw 'x'};'a';f;'not'",
    "in the finally of a function": "function f{try{throw 'x'}finally{exit 41}};'a';f;'not'",
    "in a switch in a loop": "'a';while($true){switch(1){1{exit 41}}};'not'",
    "in a pipeline that goes on": "'a';1..1000000|%{if($_ -eq 5){exit 41}};'not'",
    "in a process block": "'a';1,2|&{process{exit 41}};'not'",
    "in a script block with its own variables": "'a';$x=[scriptblock]::Create('exit 41');.$x;'not'",
    "under strict mode": "Set-StrictMode -Version Latest;'a';exit 41;'not'",
    "as a value that was computed": "$code=40;'a';exit ($code+1);'not'",
    "after an error that was caught": "try{1/0}catch{'a'};exit 41",
    "after an error that was let go": "Write-Error e -ErrorAction SilentlyContinue;'a';exit 41",
}

_ERRORS = {
    # name: (script, printed, words of standard error)
    "throw in a function": ("function f{throw 'boom'};'a';f;'not'", b"a\n", "boom"),
    "a cmdlet's error": ("'a';Get-Item -LiteralPath ./no-such;'not'", b"a\n", "no-such"),
    "a parameter that is none": ("'a';Get-Item -NoSuch;'not'", b"a\n", "NoSuch"),
    "a method of nothing": ("'a';$null.F();'not'", b"a\n", "null-valued"),
    "a program that is not there": ("'a';no-such-program-here;'not'", b"a\n", "no-such-program-here"),
    "a cast that fails": ("'a';[int]'x';'not'", b"a\n", "x"),
    "a module that is not there": ("'a';Import-Module NoSuchModule;'not'", b"a\n", "NoSuchModule"),
    "rethrown in a catch": ("'a';try{throw 'boom'}catch{throw};'not'", b"a\n", "boom"),
    "an exception of .NET": ("'a';throw [IO.IOException]::new('disk gone');'not'", b"a\n", "disk gone"),
    "beyond a finally that prints": ("'a';try{throw 'boom'}finally{'b'};'not'", b"a\nb\n", "boom"),
}


def _collector(name: str, script: str, expected: Expected) -> Case:
    return one("collector", name, Run(kind="collector", script=script.encode(), columns={"n": "number"}), expected)


def cases() -> list[Case]:
    """Return the cases."""
    group = "ending"
    found = [
        one(
            group,
            f"exit {code}",
            Run(script=f"'a';exit {code};'not'".encode()),
            Expected(trailer=f"exit {code} {code}", printed=b"a\n"),
        )
        for code in _CODES
    ]
    found += [
        one(group, f"exit {name}", Run(script=script.encode()), Expected(trailer="exit 41 41", printed=b"a\n"))
        for name, script in _EXITS.items()
    ]
    found += [
        one(
            group,
            f"error: {name}",
            Run(script=script.encode()),
            Expected(trailer="throw 1", printed=printed, stderr=[words]),
        )
        for name, (script, printed, words) in _ERRORS.items()
    ]
    found += [
        one(
            group,
            "an empty script ends well",
            Run(kind="plain", script=b"", before="[Console]::Write('b');1"),
            Expected(trailer="end 0", printed=b"b"),
        ),
        one(
            group,
            "a script of a comment ends well",
            Run(script=b"# nothing\n[Console]::Write('c')"),
            Expected(trailer="end 0", printed=b"c"),
        ),
        one(
            group,
            "native failure as the last statement is a failure",
            Run(script=b"'a';sh -c 'exit 9'"),
            Expected(trailer="end 0 9", printed=b"a\n"),
            needs=["sh"],
        ),
        one(
            group,
            "native failure that a later native command follows is none",
            Run(script=b"'a';sh -c 'exit 9';sh -c true;'z'"),
            Expected(trailer="end 0 0", printed=b"a\nz\n"),
            needs=["sh"],
        ),
        one(
            group,
            "native failure before PowerShell's own last statement is a failure",
            Run(script=b"sh -c 'exit 9';'z'"),
            Expected(trailer="end 0 9", printed=b"z\n"),
            needs=["sh"],
        ),
        one(
            group,
            "a script that asked for it is no failure",
            Run(script=b"sh -c 'exit 9';'z';exit 0"),
            Expected(trailer="exit 0 0", printed=b"z\n"),
            needs=["sh"],
        ),
        one(
            group,
            "a native command that a signal ended",
            Run(script=b"'a';sh -c 'kill -9 $$'"),
            Expected(trailer="end 0 137", printed=b"a\n"),
            needs=["sh"],
        ),
        one(
            group,
            "syntax error: nothing of it runs",
            Run(script=b"'a'\n'b'\n}\n"),
            Expected(trailer="parse 1", stderr=["'}'"]),
        ),
        one(
            group,
            "text that has no end: nothing of it runs",
            Run(script=b"'a'\n'never closed"),
            Expected(trailer="parse 1", stderr=["terminator"]),
        ),
        one(
            group,
            "an error that the script lets go on",
            Run(script=(b"$ErrorActionPreference='Continue';Write-Error 'first';'after'")),
            Expected(trailer="end 0", printed=b"after\n", stderr=["first"]),
        ),
        one(
            group,
            "a native command's standard error is no error",
            Run(script=(b"sh -c 'echo bad >&2';'after'")),
            Expected(trailer="end 0 0", printed=b"after\n", stderr=["bad"]),
            needs=["sh"],
        ),
        one(
            group,
            "the process ends itself: no end is told",
            Run(script=b"'a';[Environment]::Exit(9)"),
            Expected(trailer=None, printed=b"a\n", status=9),
        ),
        one(
            group,
            "a value is left over, and is no code",
            Run(script=b"$global:LASTEXITCODE=5;'a'"),
            Expected(trailer="end 0 5", printed=b"a\n"),
        ),
        _collector("exit 0", "emit n 1;exit 0", Expected(trailer="exit 0 0", printed=b'{"n":1}\n')),
        _collector("falls off its end", "emit n 1", Expected(trailer="end 0", printed=b'{"n":1}\n')),
        _collector("exit 3", "emit n 1;exit 3", Expected(trailer="exit 3 3", printed=b'{"n":1}\n')),
        _collector("exit -1", "emit n 1;exit -1", Expected(trailer="exit -1 -1", printed=b'{"n":1}\n')),
        _collector(
            "an error ends it",
            "emit n 1;1/0;emit n 2",
            Expected(trailer="throw 1", printed=b'{"n":1}\n', stderr=["divide by zero"]),
        ),
        _collector("syntax error", "emit n 1;}", Expected(trailer="parse 1", stderr=["'}'"])),
        Case(group="collector", name="several in one session, each in a process of its own", act=_several),
    ]
    return found


def _several(bench: Bench) -> None:
    first = bench.run(
        Run(kind="collector", script=b"$global:left=1;$env:REMEDY_LEFT='1';emit n $PID", columns={"n": "number"})
    )
    second = bench.run(
        Run(
            kind="collector",
            script=b"emit n $PID;emit n ([int]($null -eq $global:left -and $null -eq $env:REMEDY_LEFT))",
            columns={"n": "number"},
        )
    )
    bench.judge(first, Expected(trailer="end 0", printed=None))
    bench.judge(second, Expected(trailer="end 0", printed=None))
    bench.check("rows of the second", len(second.printed.splitlines()), 2)
    bench.check("whether the second found anything of the first", second.printed.splitlines()[1:], [b'{"n":1}'])
    bench.check("whether both had one process", first.printed.splitlines()[0] == second.printed.splitlines()[0], False)
