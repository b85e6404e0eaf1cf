"""
`python -m benchmarks.startup`: what `remedy --help` costs over `import typer`, and what it imports.

The ratio is machine-independent; the import of typer is what a command line
of this kind cannot do without. docs/performance.md has a run.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks.measuring import goal_text, make_parser, print_found

__all__ = ["FORBIDDEN", "Startup", "imported_by", "main", "measure"]

FORBIDDEN = ("paramiko", "cryptography", "jsonschema", "sqlite3", "yaml")
"""What help needs none of, and what costs the most to import."""

_RUNS = 20
_HELP = ("-m", "remedy", "--help")
_TYPER = ("-c", "import typer")
_LIST_MODULES = """
import json, runpy, sys
sys.argv = ["remedy", *sys.argv[1:]]
try:
    runpy.run_module("remedy", run_name="__main__", alter_sys=True)
except SystemExit as ended:
    if ended.code:
        raise
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Startup:
    """What was measured; times are medians by the wall's clock. `imported` are those of FORBIDDEN, at best none."""

    runs: int
    help_s: float
    typer_s: float
    ratio: float
    modules: int
    imported: tuple[str, ...]


def measure(runs: int = _RUNS) -> Startup:
    """Run both programs in turn, after one run of each that only warms the caches."""
    help_s: list[float] = []
    typer_s: list[float] = []
    _time(_HELP)
    _time(_TYPER)
    for _ in range(runs):
        help_s.append(_time(_HELP))
        typer_s.append(_time(_TYPER))
    modules = imported_by("--help")
    return Startup(
        runs=runs,
        help_s=statistics.median(help_s),
        typer_s=statistics.median(typer_s),
        ratio=statistics.median(help_s) / statistics.median(typer_s),
        modules=len(modules),
        imported=tuple(name for name in FORBIDDEN if name in modules),
    )


def _time(arguments: Sequence[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def imported_by(*arguments: str) -> frozenset[str]:
    """
    Return the names of all modules that a fresh process holds after `remedy` with these arguments.

    Raises:
        subprocess.CalledProcessError: the command did not end with 0.
    """
    command = [sys.executable, "-c", _LIST_MODULES, *arguments]
    ended = subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return frozenset(json.loads(ended.stderr.splitlines()[-1]))


def _lines(found: Startup) -> list[str]:
    imported = ", ".join(found.imported) or "none"
    return [
        f"remedy --help   {found.help_s:.3f} s",
        f"import typer    {found.typer_s:.3f} s",
        f"ratio           {found.ratio:.2f}   (medians of {found.runs} runs each, in turn)",
        f"imports of {', '.join(FORBIDDEN)}: {imported}{goal_text('none', is_met=not found.imported)}",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    counts = {"runs": (_RUNS, "runs of each program")}
    given = make_parser("startup", description="The cost of `remedy --help`.", counts=counts).parse_args(arguments)
    found = measure(given.runs)
    print_found(asdict(found), lines=_lines(found), output=given.output)


if __name__ == "__main__":
    main()
