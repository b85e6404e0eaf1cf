"""Which folders or files `lint` and `test` look at: those that were named, else the configured rules."""

from collections.abc import Sequence
from pathlib import Path

from remedy.cli.caller import caller_now
from remedy.cli.composition import Options, read_config, shown_path
from remedy.errors import UsageError

__all__ = ["named_or_configured"]


def named_or_configured(options: Options, paths: Sequence[str], *, kinds: str) -> list[Path]:
    """
    Return the paths that were named, else the configured folder of rules; `kinds` says what a path may be.

    Raises:
        UsageError: the rules are named twice, a path is empty, or no folder of rules is known.
    """
    if paths and options.rules is not None:
        raise UsageError("a path and --rules are given; name the rules once")
    if any(not path.strip() for path in paths):
        raise UsageError(f"a path is empty; name {kinds}, or leave it out")
    if paths:
        return [Path(path) for path in paths]
    caller = caller_now()
    config = read_config(options, caller)
    if config.rules is None:
        raise UsageError("no rules are named; give a folder, --rules DIR, or write remedy.yaml")
    folder = shown_path(config.rules, caller.directory)
    if not folder.is_dir():
        named_by = shown_path(config.rules_named_by, caller.directory)
        raise UsageError(f"there is no folder of rules '{folder}', which {named_by} names")
    return [folder]
