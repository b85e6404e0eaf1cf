"""The bootstrap: its text against the one that was measured, and the command line that carries it."""

import base64
import re
from pathlib import Path

import pytest

from remedy_runners.powershell.texts import COMMAND_LINE_MAX, bootstrap, command_line
from tests.powershell.parse import parse_problems, unknown_to_5_1

MEASURED = Path(__file__).with_name("measured_bootstrap.ps1").read_text(encoding="ascii")
"""What passed 63 cases of exit codes, streams and deadlines on PowerShell 7.6.5."""

DIFFERENCES = (
    (
        # Where FIPS mode is on, SHA256.Create() of .NET Framework throws, and every host were
        # refused. The other class is Windows' own, which that mode allows; Get-FileHash of 5.1
        # takes it for the same reason. What was measured comes first.
        "[Security.Cryptography.SHA256]::Create().ComputeHash(",
        (
            "$(try{[Security.Cryptography.SHA256]::Create()}"
            "catch{[Security.Cryptography.SHA256CryptoServiceProvider]::new()}).ComputeHash("
        ),
    ),
    (
        # What failed is told at the width of the console otherwise, 80 columns in WinRS, and
        # our words in it are read by the session.
        "($x|Out-String)",
        "($x|Out-String -Width 500)",
    ),
    (
        # taskkill /T follows the numbers of parents alone. Windows uses numbers again, and a
        # session's or the desktop's first processes keep that of a parent long gone: had this
        # process got it, they would be ended. So a child counts only if it is no older than
        # its parent. Windows may never answer (WMI hangs): it gets 8 s, in a runspace of its
        # own, which is less than the script's thread sleeps below. Kill, unlike Exit, runs no
        # finalisers, and so cannot hang.
        "if($env:OS){taskkill /T /F /PID $PID}else{",
        (
            "if($env:OS){[void][powershell]::Create().AddScript({try{$a=@(Get-CimInstance Win32_Process);"
            "$q=@($a|?{$_.ProcessId -eq $PID});for($n=0;$n -lt $q.Count;$n++){"
            "$a|?{$_.ParentProcessId -eq $q[$n].ProcessId -and $_.ProcessId -ne $PID"
            " -and $_.CreationDate -ge $q[$n].CreationDate}"
            "|%{$q+=$_;Stop-Process -Id $_.ProcessId -Force -ErrorAction 0}}}catch{}})"
            ".BeginInvoke().AsyncWaitHandle.WaitOne(8000);"
            "[Diagnostics.Process]::GetCurrentProcess().Kill()}else{"
        ),
    ),
    (
        # While the watcher ends the children one by one, a script that waited for one goes on
        # to its end: there may be one trailer only, and the watcher has written it ($k.w).
        '[Console]::Write("`n$($_h[0]) $($_k.r) $($_k.c) $LASTEXITCODE`n")',
        'if(!$_k.w){[Console]::Write("`n$($_h[0]) $($_k.r) $($_k.c) $LASTEXITCODE`n")}',
    ),
    (
        # Measured too, one word in the same place: an error that nobody catches ends the
        # script as `throw 1`. With 'Continue' it would go on and end as if nothing had been.
        "$ErrorActionPreference=''Continue''",
        "$ErrorActionPreference=''Stop''",
    ),
    (
        # A script that does not stop at its deadline: the watcher writes the end into the
        # fix's marker. It may call .NET alone here, for no block of the other runspace can
        # run in this one. First under another name, so that nobody reads half of it; a
        # failure is swallowed, for the trailer and the kill must come. Without $k.f (every
        # payload but a fix that has its marker) nothing differs but $k.w, of which below.
        "if(!$e.WaitOne(2000)){$x=",
        (
            'if(!$e.WaitOne(2000)){if($k.f){try{[IO.File]::WriteAllText("$($k.f).new","124 1`n");'
            '[IO.File]::Move("$($k.f).new",$k.f)}catch{}};$k.w=1;$x='
        ),
    ),
    (
        # Every other end, before the trailer, so that the marker has it when the trailer is
        # heard. `end 0 5` is written as 5: a failed native command is no success here either.
        # A $LASTEXITCODE that is no number leaves the marker without an end.
        "if($_k.t){$_k.r='time';$_k.c=124}\n",
        (
            "if($_k.t){$_k.r='time';$_k.c=124}\n"
            'if($_k.f){try{[IO.File]::WriteAllText("$($_k.f).new",'
            '"$(if($_k.c){$_k.c}else{0+$LASTEXITCODE}) $(0+$_k.t)`n");'
            '[IO.File]::Move("$($_k.f).new",$_k.f)}catch{}}\n'
        ),
    ),
)
"""All differences to the measured text, each with its reason."""


def test_bootstrap_is_the_measured_one_with_the_listed_differences() -> None:
    """The bootstrap differs from what was measured in the listed places, each once, and nowhere else."""
    expected = MEASURED
    for measured, ours in DIFFERENCES:
        assert expected.count(measured) == 1
        expected = expected.replace(measured, ours)

    assert bootstrap() == expected


def test_bootstrap_travels_without_its_comments() -> None:
    """The lines that explain the file do not travel."""
    assert bootstrap().startswith("&{\n")
    assert not re.search(r"^\s*#", bootstrap(), flags=re.MULTILINE)


def test_command_line_carries_the_bootstrap() -> None:
    """What PowerShell is told to run is exactly the bootstrap, behind the switches that were measured."""
    match = re.fullmatch(
        r"powershell\.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -Command "
        r'"iex\(\[Text\.Encoding\]::UTF8\.GetString\(\[Convert\]::FromBase64String\(\'([A-Za-z0-9+/=]+)\'\)\)\)"',
        command_line(),
    )

    assert match is not None
    assert base64.b64decode(match[1], validate=True).decode("ascii") == bootstrap()


@pytest.mark.parametrize("program", ["powershell.exe", "pwsh", "/opt/microsoft/powershell/7/pwsh"])
def test_command_line_means_nothing_to_any_shell(program: str) -> None:
    """The whole line is short enough for cmd.exe, and has nothing that cmd.exe, PowerShell or sh would replace."""
    line = command_line(program)

    assert line.startswith(f"{program} -NoProfile ")
    assert len(line) < COMMAND_LINE_MAX == 8_191
    assert line.isascii()
    assert line.isprintable()
    assert not set(line) & set("$%`\\!^&|<>") - set(program)
    assert line.count('"') == 2
    assert line.endswith('"')


def test_command_line_leaves_room() -> None:
    """The bootstrap stays the small fixed text that it is; who makes it twice as long does so on purpose."""
    assert len(command_line()) < 4_500


def test_bootstrap_never_names_input() -> None:
    """A command that has $input in it makes PowerShell read standard input by itself; then the payload is lost."""
    assert "$input" not in bootstrap().lower()
    assert "$input" not in command_line().lower()


def test_bootstrap_parses_and_is_known_to_5_1() -> None:
    """The bootstrap, and each script inside of it, parses and uses nothing that Windows PowerShell 5.1 lacks."""
    inner = [text.replace("''", "'") for text in re.findall(r"AddScript\('((?:[^']|'')*)'\)", bootstrap())]

    assert len(inner) == 2
    for text in (bootstrap(), *inner):
        assert parse_problems(text.encode()) == []
        assert unknown_to_5_1(text.encode()) == []
