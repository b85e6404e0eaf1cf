"""The catalogue of lint's own checks: a stable code each, one sentence, the outage it prevents, and a cure."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from remedy.lint.finding import Level

__all__ = ["CHECKS", "SUPERSEDED", "SUPERSEDED_AT_ITS_PLACE", "Check"]

_SHELL = ("sh", "bash")
_POWERSHELL = ("powershell",)
_BOTH = ("sh", "bash", "powershell")
_ALL = ("sh", "bash", "powershell", "python3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check; `why` says which outage it prevents."""

    code: str
    level: Level
    languages: tuple[str, ...]
    sentence: str
    why: str
    cure: str


def _check(code: str, level: Level, languages: tuple[str, ...], sentence: str, why: str, cure: str) -> Check:
    return Check(code=code, level=level, languages=languages, sentence=sentence, why=why, cure=cure)


_LIST = (
    _check(
        "R001", Level.ERROR, _ALL,
        "an allowance gives no reason",
        "Nobody who reads the script a year later knows whether it still holds.",
        "write `# remedy: allow CODE reason`",
    ),
    _check(
        "R002", Level.ERROR, _ALL,
        "an allowance names no check",
        "It allows nothing, and whoever wrote it believes that it does.",
        "see `remedy lint --list`; shellcheck's codes begin with SC",
    ),
    _check(
        "R003", Level.WARNING, _ALL,
        "an allowance allows nothing",
        "What is left over will one day hide the mistake that somebody makes there.",
        "remove it, or put it on the line of the finding or right above it",
    ),
    _check(
        "R010", Level.WARNING, _POWERSHELL,
        "PowerShell may not take this",
        "A script that does not parse does nothing on any host; the grammar here is not PowerShell's own, so ask it.",
        "run it through PowerShell's own parser, or write it in a plainer way",
    ),
    _check(
        "R011", Level.NOTE, _SHELL,
        "lint does not understand this and has not looked at it",
        "What stands here may hold any mistake; shellcheck, whose grammar is a better one, has looked at it.",
        "write it in a plainer way, or read it twice",
    ),
    _check(
        "R012", Level.ERROR, ("python3",),
        "Python does not take this",
        "A script that does not parse does nothing on any host.",
        "correct it",
    ),
    _check(
        "R101", Level.WARNING, _SHELL,
        "a failure is swallowed",
        "The fix reports success while nothing was done, or the collector calls a sick machine healthy.",
        "act on the failure: `|| { echo what failed >&2; exit 1; }`",
    ),
    _check(
        "R102", Level.WARNING, ("bash",),
        "a pipeline's failure is that of its last command only",
        "A check whose first command is missing or fails reads nothing and passes for healthy.",
        "write `set -o pipefail` at the top",
    ),
    _check(
        "R103", Level.WARNING, _SHELL,
        "the failure of a command substitution is lost in a declaration",
        "`local x=$(check)` is always 0, so `set -e`, `||` and `$?` never see that the check failed.",
        "declare first, assign on a line of its own",
    ),
    _check(
        "R104", Level.WARNING, _POWERSHELL,
        "an empty catch swallows every error",
        "The fix reports success while nothing was done.",
        "say what failed and end with another exit code, or catch only the error that is expected",
    ),
    _check(
        "R105", Level.WARNING, _POWERSHELL,
        "errors are silenced for the whole script",
        "remedy sets $ErrorActionPreference to Stop, so that nothing fails unseen; this takes it back.",
        "silence single commands, with -ErrorAction",
    ),
    _check(
        "R106", Level.ERROR, _BOTH,
        "the result is the same whatever happens",
        "A fix that cannot fail and a collector that cannot see trouble turn every dashboard green.",
        "let each path say what it found: exit with 1 when it did not work, emit what was read",
    ),
    _check(
        "R107", Level.ERROR, _BOTH,
        "a condition is always the same",
        "One side of it is never run; a template's `if ($true)` above the real check has shipped in real libraries.",
        "write the condition that is meant, or remove it",
    ),
    _check(
        "R201", Level.ERROR, _BOTH,
        "a folder is removed whose name nobody has checked",
        'An empty variable turns `rm -rf "$dir/"*` into `rm -rf /*`.',
        'test it before, use "${name:?}", or remove files one by one with `find … -delete`',
    ),
    _check(
        "R202", Level.ERROR, _BOTH,
        "the machine is restarted or shut down",
        "People lose their work, a whole wave is down at once, and the fix never reports its end (`lost`).",
        "end with one of `needs_reboot_codes` and let a person or a change window restart it",
    ),
    _check(
        "R203", Level.ERROR, _BOTH,
        "the network or its filter is reset",
        "The machine may not come back, and nobody reaches it to repair it: remedy comes over that network.",
        "change one thing at a time, with a way back that needs no network",
    ),
    _check(
        "R204", Level.ERROR, _BOTH,
        "restore points or backups are deleted",
        "It is what ransomware does first; endpoint protection isolates the machine, and the way back is gone.",
        "leave them alone; limit their size with a policy",
    ),
    _check(
        "R205", Level.ERROR, _BOTH,
        "something from the network is run unseen",
        "What was reviewed and hashed is not what runs; a changed page or a cut link runs on the whole fleet.",
        "ship it as a package, or download, check its digest, then run it",
    ),
    _check(
        "R301", Level.ERROR, _BOTH,
        "a person is waited for",
        "Nobody is there and standard input is empty: the script hangs until its deadline, on every host of a wave.",
        "use a command or an option that asks nothing, or take a parameter",
    ),
    _check(
        "R302", Level.WARNING, _POWERSHELL,
        "Windows PowerShell 5.1 does not know this",
        "It is what Windows ships; the script does not even parse there, or fails half-way.",
        "write it for 5.1, which 7 takes as well",
    ),
    _check(
        "R303", Level.WARNING, _POWERSHELL,
        "a character beyond ASCII stands in a file without a byte order mark",
        "Windows PowerShell 5.1 reads such a file in the system's code page: a dash in a text becomes a quote.",
        "write it in ASCII, or save the file as UTF-8 with BOM",
    ),
    _check(
        "R304", Level.ERROR, ("sh",),
        "the shebang names no program that remedy starts, so sh runs the script",
        "sh runs another language line by line: whatever happens to be a command is carried out on the host.",
        "write it for sh, bash, python3 or pwsh and name that: #!/bin/sh, #!/usr/bin/env python3",
    ),
    _check(
        "R401", Level.WARNING, _BOTH,
        "JSON is written by hand",
        "The first quote, backslash or umlaut in a value makes the whole reading `failed`, so the host is unknown.",
        "use `emit NAME VALUE …`",
    ),
    _check(
        "R402", Level.ERROR, _BOTH,
        "a collector prints what is no row",
        "One such line makes the whole reading `failed`, so the host is unknown for ever.",
        "print it on standard error, or not at all",
    ),
    _check(
        "R403", Level.ERROR, _BOTH,
        "emit names a column that the signal does not have",
        "The whole reading is `failed`, so the host is unknown for ever.",
        "name one of the signal's columns, or add it to signal.yaml",
    ),
    _check(
        "R404", Level.ERROR, _BOTH,
        "emit leaves out a key column",
        "A row without its key is null there, and the whole reading is `failed`.",
        "give every key column in each emit",
    ),
    _check(
        "R405", Level.ERROR, _BOTH,
        "emit has a name without a value",
        "The last column is always null, or names and values have changed places.",
        "give names and values in turn; a value may be ''",
    ),
    _check(
        "R406", Level.ERROR, _ALL,
        "a variable of remedy is read that does not exist here",
        "It is always empty: the script acts on nothing, or on everything.",
        "name a column of the signal, or a parameter of the rule",
    ),
    _check(
        "R407", Level.WARNING, _SHELL,
        "a value of remedy stands without quotes",
        "A blank or a `*` in a mount point or a name becomes several words: another folder is cleaned.",
        'write it in double quotes: "$NAME"',
    ),
)  # fmt: skip

CHECKS: Mapping[str, Check] = MappingProxyType({check.code: check for check in _LIST})

SUPERSEDED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "SC2155": ("R103",),
        "SC2115": ("R201",),
        "SC2114": ("R201",),
        "SC2086": ("R407",),
        "SC2046": ("R407",),
        "SC2068": ("R407",),
        "SC2078": ("R107",),
        "SC2050": ("R107",),
        "SC2160": ("R107",),
        "SC2161": ("R107",),
        "SC2153": ("R406",),
    }
)
"""What shellcheck says, too, is said once: by ours, on the same line."""

SUPERSEDED_AT_ITS_PLACE = frozenset({"SC2153"})
"""Of these a line may hold others, about other names; so the column must be the same, too."""
