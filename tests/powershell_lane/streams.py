"""What a script prints comes back byte for byte, whatever it is; nothing else comes on its streams."""

import hashlib

from remedy.port import CollectorEnding, FixEnding, FixResult
from tests.powershell_lane.bench import Bench
from tests.powershell_lane.case import Case, Check, Expected, Run, one

__all__ = ["cases"]

_ALL_KINDS = "aä€😀\u2028\u00a0\u0301\ufeff\ufffdß中"
_FORGED = "0123456789abcdef" * 2


def _is(expected: bytes) -> Check:
    def of(printed: bytes) -> str:
        if printed == expected:
            return ""
        digest = hashlib.sha256(printed).hexdigest()
        return f"{len(printed)} bytes with SHA-256 {digest}, beginning {printed[:200]!r}, ending {printed[-200:]!r}"

    digest = hashlib.sha256(expected).hexdigest()
    return Check(text=f"{len(expected)} bytes with SHA-256 {digest}, beginning {expected[:200]!r}", of=of)


def _text(
    name: str, script: str, printed: str | bytes, *, sh: bool = False, trailer: str = "end 0", err: str = ""
) -> Case:
    return one(
        "stream",
        name,
        Run(script=script.encode()),
        Expected(
            trailer=trailer,
            printed=printed if isinstance(printed, bytes) else printed.encode(),
            stderr=[err] if err else [],
        ),
        needs=["sh"] if sh else [],
    )


def cases() -> list[Case]:
    """Return the cases."""
    every = "".join(f"{chr(each)}" for each in range(32, 127))
    big = b"#" + b"x" * 200_000 + b"\n'ran'\n"
    return [
        _text("UTF-8 in, out by the pipeline", f"'{_ALL_KINDS}'", _ALL_KINDS + "\n"),
        _text("UTF-8 by Write-Host", f"Write-Host '{_ALL_KINDS}'", _ALL_KINDS + "\n"),
        _text("UTF-8 by the console", f"[Console]::Write('{_ALL_KINDS}')", _ALL_KINDS),
        _text("UTF-8 on standard error", f"[Console]::Error.Write('{_ALL_KINDS[:4]}');'a'", "a\n", err=_ALL_KINDS[:4]),
        _text("UTF-8 of an error", "'a';throw 'schöner Fehler €'", "a\n", trailer="throw 1", err="schöner Fehler €"),
        _text(
            "UTF-8 of a native command, printed",
            f"sh -c \"printf '{_ALL_KINDS}'\"",
            _ALL_KINDS,
            sh=True,
            trailer="end 0 0",
        ),
        _text(
            "UTF-8 of a native command, taken",
            '$x=sh -c "printf \'ä€😀\'";"$($x.Length) $x"',
            "4 ä€😀\n",
            sh=True,
            trailer="end 0 0",
        ),
        _text("UTF-8 to a native command, without a mark", "'ä€😀'|cat", "ä€😀\n", sh=True, trailer="end 0 0"),
        _text("a byte order mark before the script", "\ufeff'a'", "a\n"),
        _text("a script with CR LF", "'a'\r\n'b'\r\n", "a\nb\n"),
        _text("a here-string with CR LF is kept", "[Console]::Write(@'\r\na\r\nb\r\n'@)", "a\r\nb"),
        _text(
            "every printable ASCII character",
            "[Console]::Write([Text.Encoding]::ASCII.GetString([byte[]](32..126)))",
            every,
        ),
        _text(
            "all 256 bytes",
            "$o=[Console]::OpenStandardOutput();$o.Write([byte[]](0..255),0,256);$o.Flush()",
            bytes(range(256)),
        ),
        _text("no final newline", "[Console]::Write('abc')", "abc"),
        _text("many final newlines", '[Console]::Write("abc`n`n`n")', "abc\n\n\n"),
        _text("CR LF and CR", '[Console]::Write("a`r`nb`rc`r")', "a\r\nb\rc\r"),
        _text(
            "an escape of the terminal is the script's own",
            "[Console]::Write([char]27+'[31mred'+[char]27+'[0m')",
            "\x1b[31mred\x1b[0m",
        ),
        _text("a table has no colours", "[pscustomobject]@{aa=1;bb=2}|Format-Table", "\naa bb\n-- --\n 1  2\n\n"),
        _text("progress is silent", "1..50|%{Write-Progress -Activity a -Status s -PercentComplete $_};'a'", "a\n"),
        _text(
            "progress of a cmdlet is silent",
            "Write-Progress -Activity a -Completed;$null=Get-Process -Id $PID;'a'",
            "a\n",
        ),
        _text(
            "warnings and the like are output",
            "$VerbosePreference='Continue';Write-Warning w;Write-Verbose v;'a'",
            "WARNING: w\nVERBOSE: v\na\n",
        ),
        _text(
            "a question is an error and does not wait",
            "'a';$x=Read-Host 'q';'not'",
            "a\n",
            trailer="throw 1",
            err="NonInteractive",
        ),
        _text(
            "a confirmation is an error and does not wait",
            "'a';Set-Content -Path x -Value y -Confirm;'not'",
            "a\n",
            trailer="throw 1",
            err="NonInteractive",
        ),
        _text(
            "a mandatory parameter is an error and does not wait",
            "function f{param([Parameter(Mandatory)]$x)};'a';f;'not'",
            "a\n",
            trailer="throw 1",
            err="x",
        ),
        _text("the console's input is at its end", "[Console]::Write([int]($null -eq [Console]::In.ReadLine()))", "1"),
        _text("a native child finds its input at its end", "'a';cat;'b'", "a\nb\n", sh=True, trailer="end 0 0"),
        _text("a native child that reads all its input", "sh -c 'echo $(wc -c)'", "0\n", sh=True, trailer="end 0 0"),
        _text(
            "a trailer with another nonce is output",
            f"[Console]::Write(\"`n{_FORGED} exit 0 0`n\");throw 'still here'",
            f"\n{_FORGED} exit 0 0\n",
            trailer="throw 1",
            err="still here",
        ),
        _text(
            "marks with another nonce are output",
            f'[Console]::Write("`n{_FORGED} held nobody`n`n{_FORGED} started -`n");exit 4',
            f"\n{_FORGED} held nobody\n\n{_FORGED} started -\n",
            trailer="exit 4 4",
        ),
        _text(
            "a trailer without a nonce is output",
            '[Console]::Write("`n exit 0 0`n`nexit 0 0`n");exit 4',
            "\n exit 0 0\n\nexit 0 0\n",
            trailer="exit 4 4",
        ),
        one("stream", "a script of 200 kB", Run(script=big), Expected(trailer="end 0", printed=b"ran\n")),
        one(
            "stream",
            "a script of 2 MB",
            Run(script=b"#" + b"x" * 2_000_000 + b"\n'ran'\n"),
            Expected(trailer="end 0", printed=b"ran\n"),
        ),
        one(
            "stream",
            "a script of 5,000 lines",
            Run(script=b"$n=0\n" + b"$n+=1\n" * 5_000 + b"$n\n"),
            Expected(trailer="end 0", printed=b"5000\n"),
        ),
        one(
            "stream",
            "5 MB of output",
            Run(script=b"$x=('x'*99+\"`n\")*1000;1..50|%{[Console]::Write($x)};exit 3"),
            Expected(trailer="exit 3 3", printed=_is((b"x" * 99 + b"\n") * 50_000)),
        ),
        one(
            "stream",
            "10,000 lines by the pipeline",
            Run(script=b'1..10000|%{"line $_"}'),
            Expected(trailer="end 0", printed=_is(b"".join(b"line %d\n" % each for each in range(1, 10_001)))),
        ),
        one(
            "stream",
            "5 MB of a native command",
            Run(script=b"sh -c 'head -c 5000000 /dev/zero | tr ''\\0'' y'"),
            Expected(trailer="end 0 0", printed=_is(b"y" * 5_000_000)),
            needs=["sh"],
        ),
        one(
            "stream",
            "200 kB of standard error",
            Run(script=b"[Console]::Error.Write('e'*200000);'a'"),
            Expected(trailer="end 0", printed=b"a\n", stderr=["e" * 200_000]),
        ),
        Case(group="stream", name="both streams at once, 3 MB each", act=_both),
        Case(group="stream", name="what comes while it runs is heard while it runs", act=_live),
        Case(group="stream", name="a fix with endless output is ended", act=_endless),
        Case(group="stream", name="a collector with too much output has no reading", act=_too_much),
        one(
            "stream",
            "LANG=C changes nothing",
            Run(script=f"'{_ALL_KINDS}'".encode(), outer={"LC_ALL": "C", "LANG": "C"}),
            Expected(trailer="end 0", printed=(_ALL_KINDS + "\n").encode()),
        ),
        one(
            "stream",
            "a German system prints the same",
            Run(script="1.5;[Console]::Write('ä')".encode(), outer={"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"}),
            Expected(
                trailer="end 0",
                printed=Check(
                    text="1.5 or 1,5, as the system's language has it, and ä",
                    of=lambda got: "" if got in ("1.5\nä".encode(), "1,5\nä".encode()) else repr(got),
                ),
            ),
        ),
        one(
            "stream",
            "no terminal, no TERM",
            Run(script=b"'a';[pscustomobject]@{aa=1}|Out-String", outer={"TERM": "dumb"}),
            Expected(trailer="end 0", printed=b"a\n\naa\n--\n 1\n\n\n"),
        ),
        one(
            "stream",
            "a terminal that has colours gets none",
            Run(script=b"'a';throw 'x'", outer={"TERM": "xterm-256color", "CLICOLOR_FORCE": "1"}),
            Expected(trailer="throw 1", printed=b"a\n", stderr=["x"]),
        ),
    ]


def _both(bench: Bench) -> None:
    script = b"$x='o'*1000;$y='e'*1000;1..3000|%{[Console]::Write($x);[Console]::Error.Write($y)};exit 2"
    heard = bench.run(Run(script=script))
    bench.judge(heard, Expected(trailer="exit 2 2", printed=_is(b"o" * 3_000_000), is_stderr_free=True))
    bench.check("bytes on standard error", (len(heard.stderr), heard.stderr.strip(b"e")), (3_000_000, b""))
    if isinstance(heard.answer, FixResult):
        bench.check("size that the session has", (heard.answer.stdout.size, heard.answer.stderr.size), (3_000_000,) * 2)


def _live(bench: Bench) -> None:
    path = bench.folder / "go"
    script = b"'first';while(-not [IO.File]::Exists($env:REMEDY_PARAM_GO)){Start-Sleep -Milliseconds 50};'second'"
    pending = bench.begin(Run(script=script, environment={"REMEDY_PARAM_GO": str(path)}))
    pending.await_output("first\n")
    path.touch()
    bench.judge(pending.heard(), Expected(trailer="end 0", printed=b"first\nsecond\n"))


def _endless(bench: Bench) -> None:
    heard = bench.run(Run(script=b"$x='x'*100000;while($true){[Console]::Write($x)}", deadline_s=20))
    bench.check("whether the start was said", heard.has_started, True)
    bench.says(heard, FixEnding.LOST.value, reason="more than 16777216 bytes")
    bench.check("whether the process ended, when nobody read any more", heard.has_ended, True)
    bench.check("what was left behind", heard.left, ())


def _too_much(bench: Bench) -> None:
    heard = bench.run(Run(kind="collector", script=b"$x='x'*100000;1..30|%{[Console]::Write($x)};'a'", deadline_s=20))
    bench.check("whether the start was said", heard.has_started, True)
    bench.says(heard, CollectorEnding.TOO_MUCH_OUTPUT.value)
    bench.check("whether the process ended", heard.has_ended, True)
