"""Values reach a script exactly: as REMEDY_* of its process, for native children too, and as $Remedy."""

import base64
from collections.abc import Mapping

from tests.powershell_lane.bench import Bench
from tests.powershell_lane.case import Case, Expected, Run, one

__all__ = ["VALUES", "cases"]

VALUES: Mapping[str, str] = {
    "a plain word": "C:",
    "a straight quote": "it's",
    "a left single quote": "it\u2018s",
    "a right single quote": "it\u2019s",
    "a low quote": "it\u201as",
    "a reversed quote": "it\u201bs",
    "all five quotes, doubled": "''\u2018\u2018\u2019\u2019\u201a\u201a\u201b\u201b'",
    "nothing but a quote": "'",
    "double quotes": '"a" \u201cb\u201d \u201e',
    "a subexpression": "$(throw 'no') ${env:PATH} $PID $env:HOME",
    "an end of the literal": "';throw 'no';'",
    "backticks and backslashes": "`n`$ \\n \\ C:\\Temp\\",
    "newlines": "a\nb\r\nc\rd\n",
    "tabs and blanks at both ends": " \t a \t ",
    "other controls": "\x01\x02\x07\x08\x0b\x0c\x1b[31m\x7f\x85",
    "emoji": "😀👩\u200d👩\u200d👧 🇩🇪",
    "other planes and odd characters": "\U0010fffd\ufeff\ufffd\ufffe\u202e\u2028\u2029 é e\u0301",
    "like a date": "2024-01-02T03:04:05Z",
    "like a date of 5.1": "/Date(1700000000000)/",
    "like a number": "007",
    "like a large number": "123456789012345678901234567890.10",
    "like an exponent": "1e5",
    "like a truth": "False",
    "like null": "$null",
    "like JSON": '{"a":[1,{"b":null}]}',
    "like an option": "-Path",
    "leading dashes": "--%",
    "like a comment": "# a <# b #>",
    "like a here-string": "@'\na\n'@",
    "like a splat": "@args",
    "percent signs, as cmd.exe reads them": "%PATH% %1 ^& |",
    "pattern characters": "[a-z]*?",
    "a semicolon and an ampersand": "a; b && c & d | e > f",
    "30,000 characters": "abcdefghi'" * 3_000,
    "15,000 emoji": "😀" * 15_000,
}

_NAMES = b"[Console]::Write((@(Get-ChildItem Env:REMEDY_* | ForEach-Object { $_.Name }) | Sort-Object) -join ' ')"
_SHOW = b"""
function show($value) {
    if ($null -eq $value) { [Console]::Write("null`n"); return }
    $bytes = [Text.Encoding]::Unicode.GetBytes([string]$value)
    [Console]::Write($value.GetType().Name + ' ' + [Convert]::ToBase64String($bytes) + "`n")
}
"""


def _shown(value: str | int | None) -> bytes:
    if value is None:
        return b"null\n"
    kind = "Int32" if isinstance(value, int) else "String"
    return f"{kind} {base64.b64encode(str(value).encode('utf-16-le')).decode()}\n".encode()


def _value(name: str, value: str, kind: str) -> Case:
    script = _SHOW + (
        b"show ([Environment]::GetEnvironmentVariable('REMEDY_ROW_VALUE'))\n"
        b"show $Remedy.row.value\nshow $Remedy.params.value\nshow $env:REMEDY_PARAM_VALUE\n"
    )
    run = Run(
        kind="collector" if kind == "collector" else "fix",
        script=script,
        environment={"REMEDY_ROW_VALUE": value, "REMEDY_PARAM_VALUE": value},
    )
    return one("value", f"{name}, in a {kind}", run, Expected(trailer="end 0", printed=_shown(value) * 4))


def cases() -> list[Case]:
    """Return the cases."""
    found = [_value(name, value, "fix") for name, value in VALUES.items()]
    found += [_value(name, VALUES[name], "collector") for name in ("all five quotes, doubled", "newlines", "emoji")]
    found += [
        one(
            "value",
            "$Remedy has what it promises, each of its type",
            Run(
                script=_SHOW + b"foreach ($n in 'host','rule','execution','deadline_s','nothing') { show $Remedy.$n }\n"
                b"show $Remedy.row.not_there\nshow $Remedy.params.not_there\n"
                b"show ((@($Remedy.PSObject.Properties | ForEach-Object { $_.Name }) | Sort-Object) -join ' ')\n"
                b"show ((@($Remedy.row.PSObject.Properties | ForEach-Object { $_.Name }) | Sort-Object) -join ' ')\n",
                deadline_s=77,
                environment={
                    "REMEDY_HOST": "pc-1",
                    "REMEDY_RULE": "low-disk",
                    "REMEDY_EXECUTION": "e-9",
                    "REMEDY_ROW_MOUNT": "C:",
                    "REMEDY_ROW_FREE_PERCENT": "4.5",
                    "REMEDY_PARAM_BELOW": "10",
                },
            ),
            Expected(
                trailer="end 0",
                printed=b"".join(
                    map(
                        _shown,
                        [
                            "pc-1",
                            "low-disk",
                            "e-9",
                            77,
                            None,
                            None,
                            None,
                            "deadline_s execution host params row rule",
                            "free_percent mount",
                        ],
                    )
                ),
            ),
        ),
        one(
            "value",
            "$Remedy without values",
            Run(
                kind="collector",
                script=_SHOW
                + b"show $Remedy.host\nshow $Remedy.row.mount\nshow (@($Remedy.row.PSObject.Properties).Count)\n",
            ),
            Expected(trailer="end 0", printed=_shown(None) * 2 + _shown(0)),
        ),
        one(
            "value",
            "an empty text",
            Run(
                script=_SHOW + b"show ([string]$env:REMEDY_ROW_VALUE)\nshow $Remedy.row.value\n",
                environment={"REMEDY_ROW_VALUE": ""},
            ),
            Expected(trailer="end 0", printed=_shown("") * 2),
        ),
        one(
            "value",
            "$Remedy is seen in functions and changes nothing outside",
            Run(
                script=_SHOW + b"function f { show $Remedy.row.value }\nf\n&{ $Remedy = 1 }\nf\n",
                environment={"REMEDY_ROW_VALUE": "C:"},
            ),
            Expected(trailer="end 0", printed=_shown("C:") * 2),
        ),
        one(
            "value",
            "200 values at once",
            Run(
                script=_SHOW + b'1..200 | ForEach-Object { show $Remedy.row."v$_" }\n',
                environment={f"REMEDY_ROW_V{each}": f"it's {each}" for each in range(1, 201)},
            ),
            Expected(trailer="end 0", printed=b"".join(_shown(f"it's {each}") for each in range(1, 201))),
        ),
        *(
            one(
                "value",
                f"names are exactly the job's, {name}",
                Run(
                    kind=kind,
                    script=_NAMES,
                    environment=environment,
                    outer=outer,
                ),
                Expected(trailer="end 0", printed=b" ".join(sorted(map(str.encode, environment))) or b""),
            )
            for kind in ("collector", "fix")
            for name, environment, outer in (
                (
                    f"with foreign ones before, in a {kind}",
                    {"REMEDY_ROW_A": "1", "REMEDY_HOST": "h"},
                    {"REMEDY_ROW_STRAY": "x", "REMEDY_HOST": "y", "REMEDY_": "z"},
                ),
                (f"with none before, in a {kind}", {"REMEDY_ROW_A": "1"}, {}),
            )
        ),
        Case(group="value", name="no value, and none before: the script runs all the same", act=_none),
        Case(group="value", name="a native child has the same values", act=_native, needs=frozenset({"sh"})),
        one(
            "value",
            "a variable that is not ours stays",
            Run(script=b"[Console]::Write($env:LANE_OWN)", outer={"LANE_OWN": "kept ä"}),
            Expected(trailer="end 0", printed="kept ä".encode()),
        ),
        one(
            "value",
            "a name that is not ours is set too",
            Run(script=b"[Console]::Write($env:SCRATCH)", environment={"SCRATCH": "it's"}),
            Expected(trailer="end 0", printed=b"it's"),
        ),
    ]
    return found


def _none(bench: Bench) -> None:
    for kind in ("collector", "fix"):
        heard = bench.run(Run(kind=kind, script=b"[Console]::Write('names: ' + @(Get-ChildItem Env:REMEDY_*).Count)"))
        bench.judge(heard, Expected(trailer="end 0", printed=b"names: 0"))


def _native(bench: Bench) -> None:
    values = {name: value for name, value in VALUES.items() if len(value) < 1_000}
    environment = {f"REMEDY_ROW_V{at}": value for at, value in enumerate(values.values())}
    heard = bench.run(Run(script=b"sh -c 'env -0'", environment=environment))
    bench.judge(heard, Expected(trailer="end 0 0", printed=None))
    found = dict(each.partition(b"=")[::2] for each in heard.printed.split(b"\0"))
    for at, (name, value) in enumerate(values.items()):
        bench.check(f"{name}, as a native child has it", found.get(f"REMEDY_ROW_V{at}".encode()), value.encode())
