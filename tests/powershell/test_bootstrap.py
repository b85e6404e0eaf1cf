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
        # payload but a fix that has its marker) nothing differs.
        "if(!$e.WaitOne(2000)){$x=",
        (
            'if(!$e.WaitOne(2000)){if($k.f){try{[IO.File]::WriteAllText("$($k.f).new","124 1`n");'
            '[IO.File]::Move("$($k.f).new",$k.f)}catch{}};$x='
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
    assert len(command_line()) < 4_000


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
