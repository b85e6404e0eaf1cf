"""Names of files as programs that read a whole checkout know them: from its top, not from where lint is called."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from remedy.lint.finding import Linted

__all__ = ["checkout_namer", "named_from_checkout"]


def named_from_checkout(linted: Linted, directory: Path) -> Linted:
    """
    Return the same with each file named from the top of the git checkout that `directory` lies in.

    A file that does not lie there is named from the top of its own checkout, else from
    `directory`; one that lies nowhere there keeps its whole path.
    """
    named = checkout_namer(directory)
    return replace(
        linted,
        findings=tuple(
            sorted(replace(each, place=replace(each.place, file=named(each.place.file))) for each in linted.findings)
        ),
        gaps=tuple(sorted(replace(gap, file=named(gap.file)) for gap in linted.gaps)),
        nameless=tuple(sorted(named(file) for file in linted.nameless)),
        no_scripts=tuple(sorted(named(file) for file in linted.no_scripts)),
    )


def checkout_namer(directory: Path) -> Callable[[str], str]:
    """Return what names a file as `named_from_checkout` does."""
    tops = cache(_top)
    at = directory.resolve()

    @cache
    def named(file: str) -> str:
        return _named(directory / file, at, tops)

    return named


def _named(file: Path, directory: Path, top_of: Callable[[Path], Path | None]) -> str:
    # A link is a file of its own in a checkout, so its name is kept.
    whole = file.parent.resolve() / file.name
    for base in (top_of(directory), top_of(whole.parent), directory):
        if base is not None and whole.is_relative_to(base):
            return str(whole.relative_to(base))
    return str(whole)


def _top(folder: Path) -> Path | None:
    """Return the top of a checkout: the nearest folder with .git, which is a file in worktrees and submodules."""
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), None)
