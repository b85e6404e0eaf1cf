"""How PowerShell is started, and what a script finds when it starts."""

from tests.powershell_lane.bench import Bench
from tests.powershell_lane.case import Case, Expected, Run, one

__all__ = ["cases"]

_STATE = b"""
$found = @("eap=$ErrorActionPreference", "progress=$ProgressPreference", "errors=$($Error.Count)")
$found += "args=$($args.Count)"
$found += "last=$(if ($null -eq $LASTEXITCODE) { 'null' } else { $LASTEXITCODE })"
$found += "output=$([Console]::OutputEncoding.WebName) $([Console]::OutputEncoding.GetPreamble().Length)"
$found += "to native=$($OutputEncoding.WebName) $($OutputEncoding.GetPreamble().Length)"
$found -join "`n"
"""
_FOUND = b"eap=Stop\nprogress=SilentlyContinue\nerrors=0\nargs=0\nlast=null\noutput=utf-8 0\nto native=utf-8 0\n"
_NAMES = b"".join(
    b"$%s='x';$global:%s='x'\n" % (name, name)
    for name in (b"i", b"s", b"b", b"u", b"t", b"l", b"x", b"values", b"root", b"start")
)


def cases() -> list[Case]:
    """Return the cases."""
    return [
        one(
            "start",
            "through a shell",
            Run(script=b"'a';exit 7"),
            Expected(trailer="exit 7 7", printed=b"a\n", status=7),
        ),
        one(
            "start",
            "directly",
            Run(script=b"'a';exit 7", way="argv"),
            Expected(trailer="exit 7 7", printed=b"a\n", status=7),
        ),
        one(
            "start",
            "directly, plain",
            Run(kind="plain", script=b"'a';exit 7", way="argv", deadline_s=0),
            Expected(trailer="exit 7 7", printed=b"a\n", status=7),
        ),
        one(
            "start",
            "a collector, directly",
            Run(kind="collector", script=b"emit n 1", columns={"n": "number"}, way="argv"),
            Expected(trailer="end 0", printed=b'{"n":1}\n'),
        ),
        one("start", "what a fix finds", Run(script=_STATE), Expected(trailer="end 0", printed=_FOUND)),
        one(
            "start",
            "what a collector finds",
            Run(kind="collector", script=_STATE),
            Expected(trailer="end 0", printed=_FOUND),
        ),
        one(
            "start",
            "the script's names may be the loader's",
            Run(script=_NAMES + b"'a';exit 7"),
            Expected(trailer="exit 7 7", printed=b"a\n"),
        ),
        one(
            "start",
            "the literal part's value is $Remedy",
            Run(
                kind="plain",
                script=b'[Console]::Write("$($Remedy.a) $($Remedy.b)")',
                before="[pscustomobject]@{a='it''s';b=2}",
            ),
            Expected(trailer="end 0", printed=b"it's 2"),
        ),
        one(
            "start",
            "a literal part that fails lets nothing run",
            Run(kind="plain", script=b"'ran'", before="throw 'no values'"),
            Expected(trailer="load 1", stderr=["no values"]),
        ),
        one(
            "start",
            "a literal part that cannot be read lets nothing run",
            Run(kind="plain", script=b"'ran'", before="@{"),
            Expected(trailer="load 1", stderr=["Missing closing '}'"]),
        ),
        Case(group="start", name="no profile is read", act=_profile, needs=frozenset({"sh"})),
        Case(group="start", name="nothing stands before the first mark", act=_first),
        Case(group="start", name="four at once", act=_four),
    ]


def _profile(bench: Bench) -> None:
    folder = bench.folder / "home" / ".config" / "powershell"
    folder.mkdir(parents=True)
    for name in ("profile.ps1", "Microsoft.PowerShell_profile.ps1"):
        (folder / name).write_text("'profile';throw 'profile'\n", encoding="ascii")
    outer = {"HOME": str(bench.folder / "home"), "XDG_CONFIG_HOME": str(bench.folder / "home" / ".config")}
    bench.judge(bench.run(Run(script=b"'a';exit 7", outer=outer)), Expected(trailer="exit 7 7", printed=b"a\n"))


def _first(bench: Bench) -> None:
    heard = bench.run(Run(script=b"'a';exit 7"))
    bench.check("the first bytes", heard.stdout[: len(heard.nonce) + 10], f"\n{heard.nonce} started ".encode())
    bench.judge(heard, Expected(trailer="exit 7 7", printed=b"a\n"))


def _four(bench: Bench) -> None:
    pending = [bench.begin(Run(kind="collector", script=f"'a{each}';exit {each}".encode())) for each in range(4)]
    for each, one_of_them in enumerate(pending):
        bench.judge(one_of_them.heard(), Expected(trailer=f"exit {each} {each}", printed=f"a{each}\n".encode()))
