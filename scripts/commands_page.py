"""`scripts/reference`: the page on the commands, written from their own help."""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from remedy.cli.app import app

__all__ = ["PAGE", "main", "page_text"]

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"

_HEAD = """\
# The commands, one by one

<!-- Written by scripts/reference from the commands' own help; change that, not this page. -->

`remedy COMMAND --help` and `remedy help COMMAND` say the same at a terminal.
`remedy --install-completion` has the Tab key complete commands, rules, hosts, groups, runs and the words of options.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or with --check say whether it is what would be written; return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words not in ([], ["--check"]):
        sys.stderr.write("usage: scripts/reference [--check]\n")
        return 2
    text = page_text()
    if not words:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"docs/{PAGE.name} is not what the commands' help says; run scripts/reference\n")
    return 1


def page_text() -> str:
    """Return the page."""
    parts = [_HEAD]
    for path, command in _leaves(typer.main.get_command(app), ("remedy",)):
        parts.append("\n".join(_section(path, command)))
    return "\n".join(parts)


def _leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, each in inner.items():
        yield from _leaves(each, (*path, name))


def _section(path: tuple[str, ...], command: Any) -> Iterator[str]:
    context = typer.Context(command, info_name=" ".join(path))
    yield f"## {' '.join(path)}"
    yield ""
    for paragraph in re.split(r"\n\s*\n", (command.help or "").strip()):
        if paragraph.lstrip().startswith("\b"):
            yield "```console"
            yield from (line.strip() for line in paragraph.splitlines()[1:])
            yield "```"
        else:
            words = " ".join(paragraph.split())
            yield from re.split(r"(?<=[.?]) (?=[A-Z`])", _escaped(words))
        yield ""
    for param in command.params:
        record = param.get_help_record(context)
        if record is not None and "--help" not in param.opts:
            name, text = record
            name = re.sub(r" <.*>$", "", name)
            yield f"- `{name}`: {_escaped(' '.join(text.split()))}"
    yield ""


def _escaped(text: str) -> str:
    """Return text in which Markdown sees no emphasis, link or tag; what stands in backticks stays."""
    parts = text.split("`")
    return "`".join(re.sub(r"([*<>\[\]])", r"\\\1", part) if not at % 2 else part for at, part in enumerate(parts))


if __name__ == "__main__":
    sys.exit(main())
