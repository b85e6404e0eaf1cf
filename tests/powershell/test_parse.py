"""The list of what Windows PowerShell 5.1 does not know finds each of its entries, and nothing inside of texts."""

import pytest

from tests.powershell.parse import Problem, parse_problems, unknown_to_5_1


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("a && b", "&&"),
        ("a || b", "||"),
        ("$a ?? $b", "??"),
        ("$a ??= 3", "??="),
        ('"$($a ?? 1)"', "??"),
        ("${a}?.b", "?."),
        ("$a.b?.c()", "?."),
        ("(Get-Item x)?.Name", "?."),
        ('"$($a?.b)"', "?."),
        ("${a}?[0]", "?["),
        ("$x = $a ? 1 : 2", "? :"),
        ("1..3 | ForEach-Object -Parallel { $_ }", "-parallel"),
        ("1..3 | % -Para { $_ }", "-parallel"),
        ("$z = $y | Join-String", "join-string"),
        ("Get-Error", "get-error"),
        (r"Microsoft.PowerShell.Utility\Get-Error", "get-error"),
        ("Test-Json $x", "test-json"),
        ('"$(Get-Uptime)"', "get-uptime"),
        ("Remove-Service x", "remove-service"),
        ("$x | ConvertFrom-Json -AsHashtable", "-ashashtable"),
        ("$x | ConvertFrom-Json -Depth 3", "-depth"),
        ("$x | ConvertFrom-Json -Dep 3", "-depth"),
        ("Invoke-WebRequest x -SkipHttpErrorCheck", "-skiphttperrorcheck"),
        ("irm x -SkipHttpErrorCheck:$true", "-skiphttperrorcheck"),
        ("$PSStyle.OutputRendering = 1", "$psstyle without an if"),
        ("if ($x) { $PSStyle.OutputRendering = 1 }", "$psstyle without an if"),
        ("if ($PSStyle) { 1 } else { $PSStyle.OutputRendering = 1 }", "$psstyle without an if"),
        ("Out-File x -Encoding utf8NoBOM", "encoding utf8nobom"),
        ("Out-File x -Encoding:utf8NoBOM", "encoding utf8nobom"),
        ("Out-File x -Encoding 'utf8NoBOM'", "encoding 'utf8nobom'"),
        ("function f { begin { 1 } clean { 2 } }", "clean block"),
        ("if ($IsWindows) { 1 }", "$iswindows"),
    ],
)
def test_newer_powershell_is_found(source: str, what: str) -> None:
    """Each entry of the list is found, with its line."""
    assert unknown_to_5_1(f"# one\n{source}\n".encode()) == [Problem(line=2, what=what)]


@pytest.mark.parametrize(
    "source",
    [
        "'a && b || c ?? d'",
        '"a $b?.x && c"',
        "# $a?.b && $c ?? 1",
        "<# $a ?? $b\n$x ? 1 : 2 #>",
        "@'\n$a?.b && c\n'@",
        "$h['x?.y']",
        "Write-Host 'utf8NoBOM' 'Test-Json'",
        "Get-ChildItem a?.txt",
        "$a | ? { $_.b -like 'x?[a].txt' }",
        "$a|?{$_}",
        "[Text.StringBuilder]::new()",
        "if ($PSStyle) { $PSStyle.OutputRendering = 'PlainText' }",
        "$x | ConvertTo-Json -Depth 3 -Compress",
        "$x | Select-Object -Skip 3",
        "ForEach-Object -Process { 1 }",
        "$x = if ($a) { 1 } else { 2 }",
        "Out-File x -Encoding utf8",
        "& $program $argument",
    ],
)
def test_older_powershell_passes(source: str) -> None:
    """What 5.1 knows, and what only stands in a text or a comment, is not found."""
    assert unknown_to_5_1(source.encode()) == []
    assert parse_problems(source.encode()) == []


@pytest.mark.parametrize(
    ("source", "line"), [("if ($x) {\n'a'\n", 2), ("'a'\n$x = (1\n", 2), ("'a'\n\n'b' )\n", 3), ("$x = @{'a'=1\n", 1)]
)
def test_broken_structure_is_a_problem_with_its_line(source: str, line: int) -> None:
    """A text that the grammar takes only with something put in, or not at all, has a problem at that place."""
    assert line in {problem.line for problem in parse_problems(source.encode())}
