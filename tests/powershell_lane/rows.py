"""The rows of `emit` and `not_applicable`: what the shell's functions of the same names print for the same."""

import base64
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from remedy_runners.prelude import collector_prelude
from tests.powershell_lane.bench import Bench
from tests.powershell_lane.case import Case, Check, Expected, Run, Wrong, one, shown
from tests.powershell_lane.values import VALUES

__all__ = ["cases"]

_NUMBERS = (
    "0",
    "-0",
    "1",
    "-1",
    "10",
    "007",
    "00",
    "-01",
    "1.",
    ".5",
    "-.5",
    "1.5",
    "1.50",
    "-0.0",
    "0.1e1",
    "1e5",
    "1E5",
    "1e+5",
    "1e-5",
    "1e",
    "1e+",
    "1e-",
    "e5",
    "-",
    "--1",
    "+1",
    " 1",
    "1 ",
    "1\n",
    "\n1",
    "1,5",
    "1 000",
    "1_000",
    "0x10",
    "1e005",
    "1e00000300",
    "1e307",
    "1e308",
    "1e309",
    "12e306",
    "12e307",
    "1e99999",
    "1e-99999",
    "1e-100000",
    "9" * 308,
    "9" * 309,
    "1" + "0" * 307 + "e0",
    "1" * 400,
    "0." + "3" * 400,
    "NaN",
    "Infinity",
    "-Infinity",
    "null",
    "true",
    "",
    "٣",
    "１",
    "½",
    "1e５",
    "9007199254740993",
    "18446744073709551616",
    "1.7976931348623157e308",
    "5e-324",
    "1\t",
    "1;2",
    "$1",
    "1'",
)
_BOOLEANS = (
    "true",
    "false",
    "True",
    "FALSE",
    "TRUE",
    "yes",
    "no",
    "1",
    "0",
    "",
    " true",
    "true ",
    "true\n",
    "null",
    "$true",
    "wahr",
)
_TEXTS = {
    **VALUES,
    "empty": "",
    "a JSON quote": '"',
    "a JSON escape": '\\" \\u0041 \\\\',
    "every ASCII character but NUL": "".join(map(chr, range(1, 128))),
    "characters of Latin 1": "".join(map(chr, range(0x80, 0x100))),
    "the ends of the planes": "\ud7ff\ue000\uffff\U00010000\U0001ffff\U0010ffff",
    "a row of its own": '"}\n{"n":1}\n',
    "a word of ours": '{"not_applicable":"x"}',
}
_TYPED: Sequence[tuple[str, str, str]] = (
    # What a script has at hand in PowerShell, the column's type, and the JSON that must come of it.
    ("5", "number", "5"),
    ("-5", "number", "-5"),
    ("1.5", "number", "1.5"),
    ("(2/3)", "number", "0.6666666666666666"),
    ("([math]::Round(2/3, 2))", "number", "0.67"),
    ("(0.1 + 0.2)", "number", "0.30000000000000004"),
    ("([long]9223372036854775807)", "number", "9223372036854775807"),
    ("([uint64]18446744073709551615)", "number", "18446744073709551615"),
    ("([double]1e21)", "number", "1E+21"),
    ("([double]1e-7)", "number", "1E-07"),
    ("([double]1e308)", "number", "null"),
    ("([single]0.5)", "number", "0.5"),
    ("([decimal]1.5)", "number", "1.5"),
    ("([byte]7)", "number", "7"),
    ("(4GB)", "number", "4294967296"),
    ("([double]::NaN)", "number", "null"),
    ("([double]::PositiveInfinity)", "number", "null"),
    ("([double]::MaxValue)", "number", "null"),
    ("$true", "number", "null"),
    ("$null", "number", "null"),
    ("$not_set", "number", "null"),
    ("@(1, 2)", "number", "null"),
    ("@()", "number", "null"),
    ("'12'", "number", "12"),
    ("([char]'7')", "number", "7"),
    ("(Get-Date)", "number", "null"),
    ("$true", "boolean", "true"),
    ("$false", "boolean", "false"),
    ("'true'", "boolean", "true"),
    ("'True'", "boolean", "null"),
    ("1", "boolean", "null"),
    ("0", "boolean", "null"),
    ("$null", "boolean", "null"),
    ("''", "boolean", "null"),
    ("(1 -eq 1)", "boolean", "true"),
    ("([switch]$true)", "boolean", "null"),
    ("'a'", "text", '"a"'),
    ("5", "text", '"5"'),
    ("1.5", "text", '"1.5"'),
    ("$true", "text", '"True"'),
    ("$null", "text", "null"),
    ("''", "text", "null"),
    ("([version]'1.2')", "text", '"1.2"'),
    ("@('a', 'b')", "text", '"a b"'),
    ("@()", "text", "null"),
    ("-Path", "text", '"-Path"'),
    ("'-Path:'", "text", '"-Path:"'),
    ("C:", "text", '"C:"'),
    ("([DayOfWeek]'Monday')", "text", '"Monday"'),
    ("([datetime]::new(2024, 1, 2, 3, 4, 5))", "text", '"01/02/2024 03:04:05"'),
    ('"a`tb`n"', "text", '"a\\tb\\n"'),
)
_COLUMNS = {"number": "number", "boolean": "boolean", "text": "text"}
_COMMA = (
    b"$c = [Globalization.CultureInfo]::InvariantCulture.Clone(); $c.NumberFormat.NumberDecimalSeparator = ','\n"
    b"$c.NumberFormat.NegativeSign = '~'; [Threading.Thread]::CurrentThread.CurrentCulture = $c\n"
)


def _parsed(line: bytes) -> object:
    """Return a row with its numbers as they are written and its names in their order."""

    def number(text: str) -> tuple[str, str]:
        return ("number", text)

    def pairs(found: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        return found

    try:
        return json.loads(line, parse_int=number, parse_float=number, parse_constant=number, object_pairs_hook=pairs)
    except ValueError as exc:
        return f"{line!r} is no row: {exc}"


@cache
def of_shell(words: str, values: tuple[str, ...]) -> list[bytes]:
    """
    Return what the functions of the shell print: one call of `words`, with "$V" in it, for each value.

    Raises:
        Wrong: there is no shell that can.
    """
    printed = []
    for at in range(0, len(values), 50):
        some = values[at : at + 50]
        calls = b"".join(b"(" + words.replace("$V", f"$V{number}").encode() + b")\n" for number in range(len(some)))
        environment = {f"V{number}": value for number, value in enumerate(some)} | {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
        }
        told = subprocess.run(
            ["/bin/sh", "-c", collector_prelude(_COLUMNS) + calls], env=environment, capture_output=True, check=False
        )
        lines = told.stdout.split(b"\n")[:-1]
        if told.returncode or told.stderr or len(lines) != len(some):
            raise Wrong(f"the shell cannot say what is right: {told.stderr!r}, {len(lines)} lines of {len(some)}")
        printed += lines
    return printed


def _literal(value: str) -> str:
    return f"(v '{base64.b64encode(value.encode('utf-8')).decode()}')"


def _like_the_shell(name: str, words: str, values: Sequence[str], *, before: bytes = b"") -> Case:
    def act(bench: Bench) -> None:
        expected = of_shell(words.replace("@", '"$V"'), tuple(values))
        script = b"function v($text) { [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($text)) }\n" + before
        script += "".join(f"{words.replace('@', _literal(value))}\n" for value in values).encode()
        heard = bench.run(Run(kind="collector", script=script, columns=_COLUMNS))
        bench.judge(heard, Expected(trailer="end 0", printed=Check(text="the rows of the shell", of=lambda _: "")))
        got = heard.printed.split(b"\n")
        bench.check("how many rows came, and what is behind the last", (len(got) - 1, got[-1]), (len(values), b""))
        for value, right, row in zip(values, expected, got, strict=False):
            bench.check(f"the row for {shown(value)!r:.300}", _parsed(row), _parsed(right))
            bench.check(f"whether the row for {shown(value)!r:.300} is ASCII", row.isascii(), True)

    return Case(group="emit", name=name, act=act, needs=frozenset({"sh"}))


def _not_applicable(name: str, value: str) -> Case:
    def act(bench: Bench) -> None:
        (expected,) = of_shell('not_applicable "$V"', (value,))
        script = b"function v($text) { [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($text)) }\n"
        script += f"function f {{ not_applicable {_literal(value)}; emit number 1 }}\nf\nemit number 2\n".encode()
        heard = bench.run(Run(kind="collector", script=script, columns=_COLUMNS))
        bench.judge(heard, Expected(trailer="exit 0 0", printed=None))
        bench.check("what came", [_parsed(each) for each in heard.printed.split(b"\n")[:-1]], [_parsed(expected)])

    return Case(group="not_applicable", name=name, act=act, needs=frozenset({"sh"}))


def _typed(name: str, before: bytes = b"") -> Case:
    typed = [each for each in _TYPED if not before or "not_set" not in each[0]]
    script = before + "".join(f"emit {kind} {words}\n" for words, kind, _ in typed).encode()

    def act(bench: Bench) -> None:
        heard = bench.run(Run(kind="collector", script=script, columns=_COLUMNS))
        bench.judge(heard, Expected(trailer="end 0", printed=Check(text="a row for each", of=lambda _: "")))
        got = heard.printed.split(b"\n")[:-1]
        bench.check("how many rows came", len(got), len(typed))
        for (words, kind, right), row in zip(typed, got, strict=False):
            bench.check(f"the row of `emit {kind} {words}`", _parsed(row), _parsed(f'{{"{kind}":{right}}}'.encode()))

    return Case(group="emit", name=name, act=act)


def _row(
    name: str,
    script: str,
    printed: str,
    *,
    trailer: str = "end 0",
    err: str = "",
    columns: Mapping[str, str] | None = None,
) -> Case:
    run = Run(kind="collector", script=script.encode(), columns=_COLUMNS if columns is None else columns)
    return one("emit", name, run, Expected(trailer=trailer, printed=printed.encode(), stderr=[err] if err else []))


def _many(count: int) -> Callable[[bytes], str]:
    right = b"".join(b'{"text":"row %d","number":%d}\n' % (each, each) for each in range(1, count + 1))
    return lambda got: "" if got == right else f"{got.count(b'}')} rows, ending {got[-200:]!r}"


def cases() -> list[Case]:
    """Return the cases."""
    strict = b"Set-StrictMode -Version Latest\n"
    names = list(_TEXTS.values())
    return [
        _like_the_shell("numbers of all forms, as text", "emit number @", _NUMBERS),
        _like_the_shell("numbers of all forms, under strict mode", "emit number @", _NUMBERS, before=strict),
        _like_the_shell("numbers where the language has a comma", "emit number @", _NUMBERS, before=_COMMA),
        _like_the_shell("booleans of all forms, as text", "emit boolean @", _BOOLEANS),
        _like_the_shell("texts of all kinds", "emit text @", names),
        _like_the_shell("texts of all kinds, under strict mode", "emit text @", names, before=strict),
        _like_the_shell("a column that nobody knows is text", "emit unknown @", [*_NUMBERS[:20], *_BOOLEANS, "a"]),
        _like_the_shell("a name of any kind", "emit @ a", [each for each in names if len(each) < 200]),
        _like_the_shell("three columns at once", "emit number @ text @ boolean @", ["1", "true", "", "x", "it's"]),
        _like_the_shell("the same column twice is left to the reader", "emit number @ number 2", ["1", "2"]),
        _like_the_shell("a name without a value", "emit text @ number", ["a", ""]),
        _typed("values of PowerShell's own types"),
        _typed("values of PowerShell's own types, under strict mode", strict),
        _typed("values of PowerShell's own types, where the language has a comma", _COMMA),
        _row("no column at all", "emit", "{}\n"),
        _row("no columns are known", "emit a 1", '{"a":"1"}\n', columns={}),
        _row("names are told apart as PowerShell does", "emit Number 5", '{"Number":5}\n'),
        _row(
            "in a function, a loop and a pipeline",
            "function f{emit number 1};f;foreach($i in 2,3){emit number $i};4,5|%{emit number $_}",
            "".join(f'{{"number":{each}}}\n' for each in range(1, 6)),
        ),
        _row("before an exit nothing is lost", "emit number 1;exit 3", '{"number":1}\n', trailer="exit 3 3"),
        _row(
            "between other output, in its order",
            "'a';emit number 1;Write-Warning 'w';emit number 2;'b'",
            'a\n{"number":1}\nWARNING: w\n{"number":2}\nb\n',
        ),
        _row("its value is nothing", "$x=emit number 1;[Console]::Write([int]($null -eq $x))", '{"number":1}\n1'),
        _row("a long row is one line", "emit text ('x'*5000)", '{"text":"' + "x" * 5000 + '"}\n'),
        one(
            "emit",
            "2,000 rows in little time",
            Run(kind="collector", script=b'1..2000|%{emit text "row $_" number $_}', columns=_COLUMNS),
            Expected(trailer="end 0", printed=Check(text="2,000 rows", of=_many(2_000)), within_s=40),
        ),
        _row(
            "an error in a value is an error of the script",
            "emit number 1;emit number ([int]'x');emit number 2",
            '{"number":1}\n',
            trailer="throw 1",
            err="x",
        ),
        one(
            "emit",
            "a fix has no such function",
            Run(script=b"'a';emit number 1"),
            Expected(trailer="throw 1", printed=b"a\n", stderr=["emit"]),
        ),
        *(
            _not_applicable(name, _TEXTS[name])
            for name in ("a plain word", "all five quotes, doubled", "newlines", "emoji", "empty", "a row of its own")
        ),
        one(
            "not_applicable",
            "without a reason",
            Run(kind="collector", script=b"not_applicable;emit number 1", columns=_COLUMNS),
            Expected(trailer="exit 0 0", printed=b'{"not_applicable":""}\n'),
        ),
        one(
            "not_applicable",
            "inside try and a pipeline, under strict mode",
            Run(
                kind="collector",
                script=strict + b"try{1,2|%{not_applicable 'no disk'}}catch{'caught'};emit number 1",
                columns=_COLUMNS,
            ),
            Expected(trailer="exit 0 0", printed=b'{"not_applicable":"no disk"}\n'),
        ),
        one(
            "not_applicable",
            "an earlier native failure is forgotten",
            Run(
                kind="collector",
                script=b"sh -c 'exit 9';not_applicable 'no disk'",
                columns=_COLUMNS,
            ),
            Expected(trailer="exit 0 0", printed=b'{"not_applicable":"no disk"}\n'),
            needs=["sh"],
        ),
    ]
