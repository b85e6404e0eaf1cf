"""What `apply` was asked for: its own flags, checked before anything is read or anybody contacted."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from remedy.cli.caller import Caller
from remedy.cli.composition import Loaded, Options, parse_max_unseen
from remedy.errors import NothingNamed, UsageError
from remedy.holds import LIFTED_BY_OVERRIDE, Override
from remedy.limits import Limit
from remedy.model import Hold, Outcome
from remedy.run.scopes import Selection
from remedy.state.ledger import Ledger
from remedy.text import nearest

__all__ = ["ApplyFlags", "check_flags", "only_of_run", "outcomes_of", "with_override"]

_NOBODY = "nobody was contacted"
_RUNS_SEARCHED_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyFlags:
    """The flags of apply alone, as they were given."""

    dry_run: bool
    readings: str | None
    yes: bool
    accept_matched: int | None
    max_unseen: str
    detailed_exitcode: bool
    plan_out: str | None = None
    plan: str | None = None
    override: str | None = None
    reason: str | None = None
    from_run: str | None = None
    outcome: str | None = None
    since: str | None = None
    offline: bool = False


_DEFAULT_OUTCOMES = (Outcome.FAILED, Outcome.UNREACHABLE, Outcome.SKIPPED)


def check_flags(options: Options, flags: ApplyFlags, caller: Caller) -> Limit:
    """
    Refuse what cannot be meant, and return the limit of --max-unseen.

    Raises:
        UsageError: with the flag and the cure; nobody was contacted.
    """
    if flags.readings is not None and not flags.dry_run:
        raise UsageError(f"--readings judges the past: it goes with --dry-run only; {_NOBODY}")
    _check_dry_run(options, flags)
    for name in ("readings", "plan", "plan_out", "from_run", "override", "since"):
        given = getattr(flags, name)
        if given is not None and not given.strip():
            raise UsageError(f"--{name.replace('_', '-')} is empty; {_NOBODY}")
    if flags.plan_out == "-":
        said = "name a file, such as plan.json; with -o json the plan is on standard output"
        raise UsageError(f"--plan-out -: {said}; {_NOBODY}")
    if flags.readings is not None and flags.plan_out is not None:
        raise UsageError(
            "--plan-out does not go with --readings: nobody is contacted, so it is not known where the hosts lead"
        )
    if flags.detailed_exitcode and not flags.dry_run:
        raise UsageError("--detailed-exitcode goes with --dry-run")
    if flags.accept_matched is not None and len(options.rule) != 1:
        raise UsageError("--accept-matched lets one rule's fuse through: name it with exactly one --rule")
    _check_plan(options, flags)
    _check_override(options, flags)
    if flags.outcome is not None and flags.from_run is None:
        raise UsageError(f"--outcome chooses among the executions of a run: it goes with --from-run RUN; {_NOBODY}")
    outcomes_of(flags)
    if flags.plan is not None and caller.is_person and not caller.is_terminal and not (flags.yes or flags.dry_run):
        raise UsageError(f"standard error is no terminal to show the question on: give --yes as well; {_NOBODY}")
    if not flags.dry_run and not flags.yes and flags.plan is None and not caller.is_terminal:
        raise UsageError(f"this is no terminal to ask on: give --yes, --plan FILE or --dry-run; {_NOBODY}")
    return parse_max_unseen(flags.max_unseen)


def _check_dry_run(options: Options, flags: ApplyFlags) -> None:
    """Refuse without --dry-run what only a dry run has, and what --offline cannot promise."""
    if flags.offline and flags.readings is None:
        raise UsageError(f"--offline judges what was saved before: give --readings FILE as well; {_NOBODY}")
    if flags.dry_run:
        return
    if flags.since is not None:
        raise UsageError(f"--since shows what changed rules would do: it goes with --dry-run only; {_NOBODY}")
    if options.output in ("jsonl", "markdown"):
        raise UsageError(f"-o {options.output} is the form of a dry run: it goes with --dry-run only; {_NOBODY}")


def _check_plan(options: Options, flags: ApplyFlags) -> None:
    """Refuse beside --plan whatever would choose other work than the plan's."""
    if flags.plan is None:
        return
    chosen: Mapping[str, object] = {
        "--rule": options.rule,
        "--tag": options.tag,
        "--limit": options.limit,
        "--readings": flags.readings,
        "--accept-matched": flags.accept_matched,
        "--override": flags.override,
        "--from-run": flags.from_run,
        "--plan-out": flags.plan_out,
        "--since": flags.since,
    }
    for name, value in chosen.items():
        if value is not None and value != ():
            raise UsageError(f"{name} does not go with --plan: the plan says what runs where; {_NOBODY}")


def _check_override(options: Options, flags: ApplyFlags) -> None:
    if flags.override is None:
        if flags.reason is not None:
            raise UsageError(f"--reason says why a hold is lifted: it goes with --override HOLD; {_NOBODY}")
        return
    words = sorted(hold.value for hold in LIFTED_BY_OVERRIDE)
    if flags.override not in words:
        near = nearest(flags.override, words)
        said = f"{', '.join(near)}? " if near else ""
        raise UsageError(f"--override {flags.override}: {said}it lifts one of {', '.join(words)}; {_NOBODY}")
    if not (flags.reason or "").strip():
        raise UsageError(f"--override needs --reason TEXT: it stands in the audit log; {_NOBODY}")
    if len(options.rule) != 1 or options.limit is None:
        raise UsageError(f"--override is for one rule on one host: -r RULE -l HOST --override …; {_NOBODY}")


def with_override(loaded: Loaded, options: Options, flags: ApplyFlags) -> Loaded:
    """
    Return what was loaded, with the override that was asked for.

    Raises:
        UsageError: --limit is not the literal name of one host.
    """
    if flags.override is None:
        return loaded
    named = loaded.selection.named
    if len(named) != 1 or loaded.selection.hosts != named or (options.limit or "").strip() != named[0]:
        raise UsageError(f"--override is for one host by its name, and --limit {options.limit} is not one; {_NOBODY}")
    override = Override(
        hold=Hold(flags.override), rule=options.rule[0], host=named[0], reason=(flags.reason or "").strip()
    )
    return replace(loaded, precautions=replace(loaded.precautions, override=override))


def outcomes_of(flags: ApplyFlags) -> frozenset[Outcome]:
    """
    Return the outcomes that --outcome names: those that left something undone, when it was not given.

    Raises:
        UsageError: a word is no outcome.
    """
    if flags.outcome is None:
        return frozenset(_DEFAULT_OUTCOMES)
    words = [word.strip() for word in flags.outcome.split(",")]
    known = {outcome.value: outcome for outcome in Outcome}
    for word in words:
        if word not in known:
            near = nearest(word, known)
            said = f"{', '.join(near)}?" if near else f"one of {', '.join(known)}"
            raise UsageError(f"--outcome {flags.outcome}: '{word}' is no outcome; {said}; {_NOBODY}")
    return frozenset(known[word] for word in words)


def only_of_run(loaded: Loaded, flags: ApplyFlags, ledger: Ledger | None) -> Loaded:
    """
    Return what was loaded, each rule's hosts being those on which it ended so in the run of --from-run.

    Raises:
        NothingNamed: there is no such run, or no execution of it ended so, or none
            of those hosts is selected.
    """
    if flags.from_run is None:
        return loaded
    record = ledger.run(flags.from_run) if ledger is not None else None
    if record is None:
        known = (each.run.id for each in ledger.runs(_RUNS_SEARCHED_MAX)) if ledger is not None else ()
        near = nearest(flags.from_run, known)
        raise NothingNamed(f"there is no run {flags.from_run}{f'; {near[0]}?' if near else ''}; {_NOBODY}")
    wanted = outcomes_of(flags)
    pairs = {(each.rule, each.host) for each in record.executions if each.outcome in wanted}
    scopes = []
    for scope in loaded.selection.scopes:
        hosts = tuple(host for host in scope.hosts if (scope.rule.name, host.name) in pairs)
        if hosts:
            scopes.append(replace(scope, hosts=hosts))
    if not scopes:
        said = ", ".join(sorted(outcome.value for outcome in wanted))
        still_open = any(each.outcome is None for each in record.executions)
        cure = f"; some have no outcome yet: remedy resume {flags.from_run}" if still_open else ""
        raise NothingNamed(f"no selected execution of run {flags.from_run} ended as {said}{cure}; {_NOBODY}")
    selection = Selection(scopes=tuple(scopes), empty=(), named=loaded.selection.named)
    return replace(loaded, selection=selection)
