"""`help`: what a command does, as its own --help says it."""

# ruff: noqa: D301 - \b is the help formatter's mark for lines that are not to be folded.

from typing import Annotated, Any

import typer

__all__ = ["help_"]

_Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="COMMAND", help="A command, such as apply, or two words, such as audit show."),
]


def help_(context: typer.Context, words: _Words = None) -> None:
    """
    Show what a command does, its options and examples.

    The same as the command's own --help; without a command, the list of all.

    \b
      remedy help
      remedy help apply
      remedy help audit show
    """
    here: Any = context.find_root()
    for word in words or ():
        command = here.command
        found = command.get_command(here, word) if hasattr(command, "get_command") else None
        if found is None:
            raise _unknown(words or [], word, here)
        here = typer.Context(found, info_name=word, parent=here)
    typer.echo(here.command.get_help(here))


def _unknown(words: list[str], word: str, here: Any) -> Exception:
    from remedy.errors import UsageError
    from remedy.text import nearest, untrusted

    list_commands = getattr(here.command, "list_commands", None)
    known = list_commands(here) if list_commands is not None else []
    near = nearest(word, known)
    cure = f"did you mean {' or '.join(near)}?" if near else "`remedy help` lists the commands"
    return UsageError(f"there is no command '{untrusted(' '.join(words), characters_max=80)}'; {cure}")
