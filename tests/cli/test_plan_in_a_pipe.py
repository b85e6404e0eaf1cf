"""A plan in a pipe: one line for each thing, and no blanks that only fill a column."""

import io

from rich.console import Console

from remedy.model import Mode, Platform
from remedy.render.plan import plan_text
from tests.core.builders import full, hosts, planned, rule, scope, script

_MOUNT = f"/{'deep/' * 40}"


def _piped(shown: list[object]) -> list[str]:
    """Return lines as they go into a pipe."""
    out = Console(file=io.StringIO(), width=10_000, color_system=None, highlight=False)
    for each in shown:
        out.print(each)
    assert isinstance(out.file, io.StringIO)
    return [each.rstrip() for each in out.file.getvalue().splitlines()]


def test_held_findings_have_their_reasons_below() -> None:
    """Each hold is a line with its hosts last; the reason stands once, below, under the same mark."""
    names = [f"a-long-name-of-a-host-{number}.example.org" for number in range(30)]
    watched = rule(mode=Mode.OBSERVE)
    readings = full(*names, mounts=["/", "/var"])

    lines = _piped(list(plan_text(planned([scope(watched, hosts(*names))], readings), named=())))

    held = [each for each in lines if each.startswith("  observe_only")]
    assert len(held) == 2
    assert all("  [1]  " in each and each.endswith("and 18 more") for each in held)
    (reason,) = (each for each in lines if each.startswith("  [1]"))
    assert "lifted by" in reason
    assert not [each for each in lines if " " * 20 in each.strip()]


def test_rows_stand_last_where_scripts_differ() -> None:
    """Where hosts get different scripts these stand above, and a long row fills no column of the other hosts."""
    both = (*hosts("linux-1", "linux-2"), *hosts("windows-1", platform=Platform.WINDOWS))
    fixing = rule(fix={Platform.LINUX: script(), Platform.WINDOWS: script(b"exit 0\n", path="clean.ps1")})
    readings = [*full("linux-1", "windows-1"), *full("linux-2", mounts=[_MOUNT])]

    lines = _piped(list(plan_text(planned([scope(fixing, both)], readings), named=())))

    marks = {each.split()[0]: each.split()[2].partition("@")[0] for each in lines if each.startswith("  [")}
    rows = {each.split()[1]: each.split()[2] for each in lines if "mount=" in each}
    assert {host: marks[mark] for host, mark in rows.items()} == {
        "linux-1": "clean.sh",
        "linux-2": "clean.sh",
        "windows-1": "clean.ps1",
    }
    assert not [each for each in lines if " " * 20 in each.strip()]
