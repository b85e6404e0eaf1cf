"""The help of every command: what it does, examples that can be typed as they stand, and what it ends with."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from remedy.cli.app import app
from scripts.commands_page import PAGE, page_text
from tests.cli.command_line import CommandLine

_OPERATORS = {"|", "&&", ">", "2>", "||", ";", "<"}
_LOOKS_ONLY = {
    "help",
    "schema",
    "config",
    "rules list",
    "rules show",
    "inventory",
    "init",
    "demo",
    "stop",
    "start",
    "runs",
    "audit show",
}
"""Commands that end with 0, or with what every command may end with: 1 and 6."""


def _leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, inner in command.commands.items():
        yield from _leaves(inner, (*path, name))


ROOT: Any = typer.main.get_command(app)
COMMANDS = dict(_leaves(ROOT))


def _examples(command: Any) -> list[str]:
    """Return the lines of a command's help that begin like a command line."""
    return re.findall(r"^ {2,}((?:[A-Z_]+=\S+ |sudo )*remedy .+)$", command.help or "", flags=re.MULTILINE)


def _words(example: str) -> Iterator[list[str]]:
    """Return the words of each remedy in an example, without what is the shell's."""
    words = shlex.split(example, comments=True)
    starts = [number for number, word in enumerate(words) if word == "remedy"]
    for start in starts:
        end = next((number for number in range(start, len(words)) if words[number] in _OPERATORS), len(words))
        yield words[start + 1 : end]


def _parsed(words: list[str]) -> str:
    """Have the command line parsed as if it were run, and return the name of its command; nothing is run."""
    command, path, parent = ROOT, [], None
    while hasattr(command, "commands"):
        parent = typer.Context(command, info_name=command.name, parent=parent)
        name, *words = words
        command = command.commands[name]
        path.append(name)
    with command.make_context(path[-1], list(words), parent=parent):
        return " ".join(path)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_examples_that_parse(path: tuple[str, ...]) -> None:
    """At least two examples, each of this command or of what follows it, with options and arguments that exist."""
    examples = _examples(COMMANDS[path])

    named = [_parsed(words) for example in examples for words in _words(example)]

    assert len(examples) >= 2
    assert named.count(" ".join(path)) >= 2


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_and_argument_is_explained(path: tuple[str, ...]) -> None:
    """Each has a sentence that ends with a full stop, and begins with a capital or a word of the command line."""
    told = {param.name: param.help or "" for param in COMMANDS[path].params}

    assert {name: text for name, text in told.items() if not re.fullmatch(r"\S.{6,}[.)]", text, re.DOTALL)} == {}
    assert (COMMANDS[path].help or "").partition("\n")[0].endswith(".")


@pytest.mark.parametrize("path", [each for each in COMMANDS if " ".join(each) not in _LOOKS_ONLY], ids=" ".join)
def test_help_says_the_exit_codes_that_matter(path: tuple[str, ...]) -> None:
    """A command that may end with more than "done" and "could not run" says with what, and when."""
    text = " ".join((COMMANDS[path].help or "").split())

    assert re.search(r"[Ee]xit codes?:? [0-9i]|Ends with [013]", text)


def test_help_of_a_command_is_the_same_both_ways(tmp_path: Path) -> None:
    """`remedy help apply` says what `remedy apply --help` says, also for a command of two words."""
    line = CommandLine(tmp_path)

    assert line.remedy("help", "apply") == line.remedy("apply", "--help")
    assert line.remedy("help", "audit", "show") == line.remedy("audit", "show", "-h")
    assert line.remedy("help") == line.remedy("--help")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("help", "aply"), "there is no command 'aply'; did you mean apply?"),
        (("help", "apply", "now"), "there is no command 'apply now'; `remedy help` lists the commands"),
        (("help", "audit", "veryfy"), "there is no command 'audit veryfy'; did you mean verify?"),
        (("aply",), "No such command 'aply'. Did you mean 'apply'?"),
        (("audit", "veryfy"), "Did you mean 'verify'?"),
        (("apply", "--dry-runn"), "--dry-run"),
    ],
)
def test_wrong_command_suggests_the_nearest(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    """A mistyped command or option is answered with the nearest one, and exit code 1."""
    ran = CommandLine(tmp_path).remedy(*words)

    assert ran.code == 1
    assert said in ran.err


def test_page_on_commands_is_current() -> None:
    """docs/commands.md is what the commands' help says; `scripts/reference` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == page_text()


def test_page_on_commands_forgets_nothing() -> None:
    """Every command has a heading, every option a line."""
    text = page_text()

    for path, command in COMMANDS.items():
        assert f"\n## remedy {' '.join(path)}\n" in text
        assert all(param.opts[0] in text for param in command.params if param.param_type_name == "option")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=[" ".join(path) for path in COMMANDS])
def test_help_names_no_type_of_python(command: Any) -> None:
    """Arguments and options are named as one types them: no `HOST <str>`, no `PATH <list[str]>`."""
    with command.make_context("remedy", [], resilient_parsing=True) as context:
        shown = command.get_help(context)

    assert re.findall(r"<(?:str|int|float|bool|list.*?)>", shown) == []
