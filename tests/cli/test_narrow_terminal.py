"""Narrow terminals: a table that does not fit becomes blocks of lines, and no word is ever broken."""

import io
import os
from contextlib import chdir, redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from rich.console import Console
from rich.text import Text

from remedy.cli import main
from remedy.model import Outcome, ReadingStatus
from remedy.render.tables import folded, table
from tests.cli.command_line import CommandLine
from tests.cli.why_repository import attempted, here, planted, repository, stored

MINUTE = timedelta(minutes=1)
RUN = "20261101T031000Z-1a2b"


class _Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def _on_terminal(line: CommandLine, *words: str, columns: int) -> tuple[str, str]:
    """Return what the command writes on standard output and on standard error of a terminal, without colours."""
    out, err = _Terminal(), _Terminal()
    environment = {**line.environment, "COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"}
    with chdir(line.directory), patch.dict(os.environ, environment), redirect_stdout(out), redirect_stderr(err):
        main._run(list(words))
    return out.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", ""), err.getvalue()


def _rendered(heads: tuple[str, ...], rows: list[tuple[str, ...]], *, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(table(heads, rows), crop=False)
    return [each.rstrip() for each in out.getvalue().splitlines()]


def test_table_that_does_not_fit_is_blocks_of_lines() -> None:
    """Each row has its cells below each other, the heads as keys; empty ones are left out; long words stay whole."""
    rows = [("high-level", "observe", "", "a/very/long/path/of/" + "x" * 40), ("low", "fix", "web", "short")]
    heads = ("rule", "mode", "hosts", "where")

    assert _rendered(heads, rows, width=60) == [
        "RULE: high-level",
        "  MODE: observe",
        "  WHERE:",
        "      a/very/long/path/of/" + "x" * 40,
        "RULE: low",
        "  MODE: fix",
        "  HOSTS: web",
        "  WHERE: short",
    ]


def test_table_whose_last_column_has_room_for_its_words_stays_one() -> None:
    """Prose in the last column folds between words, below itself, and everything else stands on one line."""
    rows = [("2026-11-23T01:24:00Z", "it worked: it was well when it was checked afterwards")]

    assert _rendered(("ended", "meaning"), rows, width=60) == [
        "ENDED                 MEANING",
        "2026-11-23T01:24:00Z  it worked: it was well when it was",
        "                      checked afterwards",
    ]


@pytest.mark.parametrize("width", [20, 47, 60, 80, 120])
def test_no_width_breaks_a_word(width: int) -> None:
    """At every width each word of a table's cells is there whole."""
    row = (RUN, "2026-11-23T01:24:00Z", "/srv/remedy/rules/low-disk/rule.yaml", "what became of it, in a few words")
    heads = ("run", "ended", "file", "what that means")

    words = " ".join(_rendered(heads, [row], width=width)).split()

    assert [word for cell in row for word in cell.split() if word not in words] == []


def test_folded_line_keeps_its_indent_and_its_words() -> None:
    """What begins with blanks goes on further in; a word longer than the line overflows it."""
    text = Text("      in the way  paused: " + "z" * 40 + " until later")

    assert [each.plain for each in folded(text, 36)] == [
        "      in the way  paused:",
        "          " + "z" * 40,
        "          until later",
    ]
    assert [each.plain for each in folded(Text("web-1: found today, and mended"), 20)] == [
        "web-1: found today,",
        "and mended",
    ]


def test_commands_break_nothing_that_would_be_copied(tmp_path: Path) -> None:
    """At 60 columns runs' ids, times, settings and rules' words are whole in `why --stored`, `config` and the list."""
    line = repository(tmp_path)
    stored(line, ("web-1", 60 * MINUTE, ReadingStatus.OK, ({"name": "a", "level": 9.0},)))
    attempted(line, Outcome.FIXED, ago=50 * MINUTE)

    why, _ = _on_terminal(line, "why", "web-1", "--stored", columns=60)
    other = tmp_path / f"a-directory-elsewhere-{'x' * 60}"
    config, _ = _on_terminal(line, "config", "--state", str(other), columns=60)
    listed, _ = _on_terminal(line, "rules", "list", columns=40)

    assert f"    RUN: {RUN}\n" in why
    assert other.name in config
    assert listed.splitlines() == [
        "RULE: high-level",
        "  MODE: fix",
        "  RISK: safe",
        "  HOSTS: all",
        "  SIGNAL: level",
        "  TAGS: -",
        "  TITLE: A planted level is high",
    ]


def test_tree_of_why_keeps_its_indent(tmp_path: Path) -> None:
    """At 60 columns no line of an explained rule begins left of what it belongs to."""
    line = repository(tmp_path)
    planted(line, "a", 9)
    here(line, "pause", "--all", "--reason", "a reason that is long enough to be folded on a narrow terminal")

    out, err = _on_terminal(line, "why", "web-1", columns=60)

    between = out.split("match name=a\n")[1].split("  limits:")[0].splitlines()
    assert all(each.startswith("      ") for each in between)
    assert any(each.startswith("          ") and "narrow terminal" in each for each in between)
    assert "Traceback" not in err
