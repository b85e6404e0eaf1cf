"""`pause`, `stop`, `release` and their opposites: what a person holds, and lets go."""

# ruff: noqa: D301 - \b is the help formatter's mark for lines that are not to be folded.

from typing import Annotated

import typer

from remedy.cli.completion import complete_group, complete_host, complete_rule
from remedy.cli.options import InventoryOption, ReasonOption, RulesOption, StateOption, options_of

__all__ = ["pause", "release", "start", "stop", "unpause"]

_ReleasedRule = Annotated[str, typer.Argument(metavar="RULE", help="The rule that is paused or quarantined.")]
_ReleasedHost = Annotated[
    str | None, typer.Option("--limit", "-l", metavar="HOST", help="One host: end its quarantine.")
]
_PausedRule = Annotated[
    list[str] | None,
    typer.Option("--rule", "-r", metavar="RULE", autocompletion=complete_rule, help="This rule, on every host."),
]
_PausedGroup = Annotated[
    list[str] | None,
    typer.Option("--group", metavar="GROUP", autocompletion=complete_group, help="Every host of this group."),
]
_PausedHost = Annotated[
    list[str] | None,
    typer.Option("--host", metavar="HOST", autocompletion=complete_host, help="This host, by its name."),
]
_PausedAll = Annotated[bool, typer.Option("--all", help="Everything.")]
_Lasts = Annotated[
    str | None, typer.Option("--for", metavar="DURATION", help="How long, such as 30m, 2h or 7d; else no end.")
]
_Until = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="Until when, with a zone, such as 2026-12-01T06:00Z; else no end."),
]
_StopReason = Annotated[str, typer.Argument(metavar="REASON", help="Why; shown to everybody until `remedy start`.")]


def release(
    rule: _ReleasedRule,
    reason: ReasonOption,
    limit: _ReleasedHost = None,
    state: StateOption = None,
) -> int:
    """
    End a quarantine or cooldown, or close a breaker.

    With -l HOST the rule's past attempts on that host are forgotten; without it the rule's breaker is closed.

    Exit codes: 0 released, 1 not done, 6 there is nothing of that name to release.

    \b
      remedy release low-disk -l web-3 --reason "disk replaced"
      remedy release low-disk --reason "script repaired in 1a2b3c4"
    """
    from remedy.cli.commands.brakes import run_release

    return run_release(options_of(limit=limit, state=state), rule, reason)


def pause(
    reason: ReasonOption,
    rule: _PausedRule = None,
    group: _PausedGroup = None,
    host: _PausedHost = None,
    everything: _PausedAll = False,
    lasts: _Lasts = None,
    until: _Until = None,
    rules: RulesOption = None,
    inventory: InventoryOption = None,
    state: StateOption = None,
) -> int:
    """
    Hold back a rule, a group, a host or everything.

    Exactly one of --rule, --group, --host and --all. Runs under way obey it too; what is running runs to its end.

    Exit codes: 0 paused, 1 not done, 4 paused, but nobody could check that the name exists, 6 there is no such name.

    \b
      remedy pause --host web-3 --reason "disk is being replaced" --for 2h
      remedy pause --rule low-disk --reason "script is being repaired"
      remedy pause --all --reason "storage migration" --until 2026-12-01T06:00Z
    """
    from remedy.cli.commands.pausing import PauseAsked, run_pause

    asked = PauseAsked(rules=rule or (), groups=group or (), hosts=host or (), everything=everything)
    options = options_of(rules=rules, inventory=inventory, state=state)
    return run_pause(options, asked, reason, lasts=lasts, until=until)


def unpause(
    rule: _PausedRule = None,
    group: _PausedGroup = None,
    host: _PausedHost = None,
    everything: _PausedAll = False,
    reason: ReasonOption = "",
    state: StateOption = None,
) -> int:
    """
    End a pause; `remedy runs` lists them.

    Exit codes: 0 ended, 1 not done, 6 nothing of that name is paused.

    \b
      remedy unpause --host web-3
      remedy unpause --all --reason "storage migration is done"
    """
    from remedy.cli.commands.pausing import PauseAsked, run_unpause

    asked = PauseAsked(rules=rule or (), groups=group or (), hosts=host or (), everything=everything)
    return run_unpause(options_of(state=state), asked, reason)


def stop(reason: _StopReason, state: StateOption = None) -> int:
    """
    Start nothing any more anywhere, until `start`.

    \b
      remedy stop "storage migration"
      remedy stop --state /srv/remedy "power goes at noon"
    """
    from remedy.cli.commands.brakes import run_stop

    return run_stop(options_of(state=state), reason)


def start(state: StateOption = None) -> int:
    """
    Lift a stop.

    \b
      remedy start
      remedy start --state /srv/remedy
    """
    from remedy.cli.commands.brakes import run_start

    return run_start(options_of(state=state))
