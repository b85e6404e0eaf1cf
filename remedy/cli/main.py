"""`main`: runs the command, says errors in one message, and ends with the right exit code."""

import os
import sys
import traceback
from typing import NoReturn, TextIO

from remedy.cli.unwritten import note_unwritten, unwritten

__all__ = ["main"]

_USAGE = 1
_INTERRUPTED = 130


def main() -> NoReturn:
    """Run remedy with the arguments of the process."""
    _open_standard_streams()
    sys.exit(_ended(_run(sys.argv[1:]), acted=_acts(sys.argv[1:])))


def _open_standard_streams() -> None:
    """
    Open what the caller closed (`<&-`): nothing else may get descriptor 0, 1 or 2.

    A ledger that was opened as descriptor 2 would be written over by the next message.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


_SINGLE = {
    "-l": "--limit",
    "-i": "--inventory",
    "-R": "--rules",
    "-o": "--output",
    "-k": "--keyword",
    **{
        name: name
        for name in (
            *("--limit", "--inventory", "--rules", "--output", "--state", "--save", "--readings", "--reason"),
            *("--ssh-config", "--accept-matched", "--max-unseen", "--most", "--since", "--until", "--for"),
            *("--plan", "--plan-out", "--from-run", "--from", "--outcome", "--override", "--write", "--keyword"),
            "--ci",
        )
    },
}


def _refuse_repeated(arguments: list[str]) -> None:
    """
    Refuse an option that takes one value and was given twice: the last one would win, silently.

    Raises:
        UsageError: naming the option.
    """
    from remedy.errors import UsageError

    seen: set[str] = set()
    values = iter(arguments)
    for argument in values:
        if argument == "--":
            return
        name = _SINGLE.get(argument.partition("=")[0]) or (_SINGLE.get(argument[:2]) if argument[1:2] != "-" else None)
        if name is None:
            continue
        if name in seen:
            cure = "; join patterns with a comma" if name == "--limit" else ""
            raise UsageError(f"{name} is given twice, and takes one value{cure}")
        seen.add(name)
        if argument in _SINGLE:
            next(values, None)


def _run(arguments: list[str]) -> int:
    from remedy.cli.app import app
    from remedy.errors import RemedyError

    try:
        _refuse_repeated(arguments)
        code = app(args=arguments, prog_name="remedy", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except RemedyError as exc:
        _say("\n".join(f"remedy: {line}" for line in str(exc).split("\n")))
        return exc.exit_code
    except KeyboardInterrupt:
        _say("remedy: interrupted")
        return _INTERRUPTED
    except BrokenPipeError:
        return 0
    except Exception as exc:  # noqa: BLE001 - the last boundary: a bug gets a traceback in the log and a short message.
        if isinstance(exc, OSError) and _is_of_echo(exc):
            note_unwritten(exc)
            return _USAGE
        shown = getattr(exc, "show", None)
        if callable(shown) and hasattr(exc, "exit_code"):
            shown()
            return _USAGE
        return _say_bug(exc)


def _is_of_echo(exc: OSError) -> bool:
    """Say whether it was raised by the printing of a help, a version or a completion, which goes to standard output."""
    import typer

    return any(frame.f_code is typer.echo.__code__ for frame, _line in traceback.walk_tb(exc.__traceback__))


def _say(text: str) -> None:
    try:
        sys.stderr.write(f"{text}\n")
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _say_bug(exc: Exception) -> int:
    from remedy.cli.log import write_traceback

    where = write_traceback(exc)
    _say(f"remedy: internal error: {type(exc).__name__}: {exc}; this is a bug of ours; {where}")
    return _USAGE


_ACTING = frozenset({"init", "enroll", "apply", "release", "pause", "unpause", "resume", "reconcile", "stop", "start"})


def _acts(arguments: list[str]) -> bool:
    """Say whether the command is one that does something which stays, and not only looks."""
    looks = {"-h", "--help", "--version", "--dry-run"}
    return bool(arguments) and arguments[0] in _ACTING and looks.isdisjoint(arguments)


def _ended(code: int, *, acted: bool) -> int:
    """
    Flush what is left, and return the exit code: 1 if the result could not be printed, unless people ended it.

    A reader that is gone (`| head`) is no error of ours.
    """
    exc = _flushed(sys.stdout)
    if exc is not None:
        note_unwritten(exc)
    missing = unwritten()
    if missing:
        _say(f"remedy: standard output cannot be written: {missing}{'; what was done stays done' if acted else ''}")
        code = code if code == _INTERRUPTED else _USAGE
    _flushed(sys.stderr)
    return code


def _flushed(stream: TextIO) -> OSError | None:
    """Flush a stream; if that cannot be done, let nobody try again, and return why."""
    try:
        stream.flush()
    except OSError as exc:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return exc
    return None
