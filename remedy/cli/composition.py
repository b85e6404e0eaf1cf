"""The composition root: flags, environment and files become what a command works with."""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from remedy.cli.caller import Caller, utc_now
from remedy.cli.console import Talk
from remedy.cli.revision import git_revision
from remedy.errors import FilesError, UsageError
from remedy.gate import freeze_text
from remedy.limits import Limit, parse_limit
from remedy.load.config import Config, load_config, mistyped_variables, state_alone
from remedy.load.inventory import Inventory, load_inventory
from remedy.load.inventory.patterns import select
from remedy.load.repository import Repository, load_repository, starter_rules
from remedy.load.safeguards import FreezesNow
from remedy.model import Params, Transport
from remedy.plan import GRACE_S, Plan
from remedy.port import Runner
from remedy.precautions import Precautions
from remedy.run.scopes import Selection, choose_rules, choose_scopes, without_aliases
from remedy.run.secret_params import references_of_loaded
from remedy.schedule import Freeze, freeze_over
from remedy.state.directory import StateDirectory, find_state
from remedy.text import counted

if TYPE_CHECKING:
    from remedy_runners.secrets import Secrets

__all__ = [
    "Loaded",
    "Options",
    "find_state_directory",
    "load",
    "load_hosts",
    "load_rules",
    "make_runners",
    "parse_max_unseen",
    "precautions_of",
    "read_config",
    "secrets_of",
    "shown_path",
    "state_of",
]


_FREEZE_SHOWN_AHEAD_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The flags that several commands share, as they were given."""

    rules: str | None = None
    inventory: str | None = None
    limit: str | None = None
    limit_named: str = "--limit"
    rule: Sequence[str] = ()
    rule_named: str = "--rule"
    tag: Sequence[str] = ()
    state: str | None = None
    ssh_config: str | None = None
    output: str = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """
    Rules, inventory and selection, where state lies, and the header that names them all.

    `brief` is the header of a command that starts nothing: where things are from, and a brake that is on.
    `freezes` reads those of remedy.yaml again, as they are at that moment; it raises
    RemedyError when they cannot be known.
    """

    repository: Repository
    inventory: Inventory
    selection: Selection
    state: StateDirectory
    header: tuple[str, ...]
    brief: tuple[str, ...]
    facts: Mapping[str, str]
    precautions: Precautions
    freezes: Callable[[], tuple[Freeze, ...]]

    @property
    def frozen(self) -> str:
        """Why everything is frozen at this moment, '' if it is not."""
        return self._frozen(needed_s=0)

    def frozen_for(self, plan: Plan) -> str:
        """Why not even the shortest fix of a plan would be let start now, '' if that is not so."""
        return self._frozen(needed_s=min((each.timeout_s + GRACE_S for each in plan.executions), default=0))

    def _frozen(self, *, needed_s: int) -> str:
        freeze = freeze_over(self.precautions.freezes, utc_now(), needed_s=needed_s)
        return freeze_text(freeze) if freeze is not None else ""


def parse_max_unseen(text: str) -> Limit:
    """
    Return the limit of --max-unseen.

    Raises:
        UsageError: it is no limit.
    """
    try:
        return parse_limit(text)
    except ValueError as exc:
        raise UsageError(f"--max-unseen {text}: write N or P%, such as 3 or 10%") from exc


def find_state_directory(options: Options, caller: Caller, config: Config) -> tuple[StateDirectory, str]:
    """Return the state directory that is meant, and what named it."""
    place = find_state(options.state, caller.environment, config.state, caller.home)
    return StateDirectory(place.path), place.named_by


def state_of(options: Options, caller: Caller) -> tuple[StateDirectory, str]:
    """
    Return the state directory for commands that need nothing else.

    A broken remedy.yaml is in nobody's way when the directory is named.

    Raises:
        FilesError: remedy.yaml is wrong, and nothing else names the directory.
    """
    if options.state is not None or caller.environment.get("REMEDY_STATE"):
        place = find_state(options.state, caller.environment, None, caller.home)
        return StateDirectory(place.path), place.named_by
    try:
        config = read_config(options, caller)
    except FilesError as exc:
        alone = state_alone(caller.directory, environment=caller.environment)
        if alone is not None:
            return StateDirectory(Path(alone)), f"remedy.yaml, in which something else is wrong: {exc.problems[0]}"
        cure = "or name the state directory with --state DIR"
        raise FilesError([replace(problem, cure=f"{problem.cure}, {cure}") for problem in exc.problems]) from exc
    return find_state_directory(options, caller, config)


def read_config(options: Options, caller: Caller) -> Config:
    """Return what flags, environment and remedy.yaml name."""
    return load_config(
        caller.directory,
        rules_flag=options.rules,
        inventory_flag=options.inventory,
        state_flag=options.state,
        environment=caller.environment,
    )


def shown_path(path: str | Path, directory: Path) -> Path:
    """Return a path as a person at work in that directory would write it."""
    try:
        return Path(path).relative_to(directory)
    except ValueError:
        return Path(path)


def load_rules(config: Config, directory: Path, *, guess: bool) -> tuple[Repository, str]:
    """
    Return the rules, and the header's words for where they are from.

    Raises:
        UsageError: no rules are named, and the command does not guess.
        FilesError: problems in the rules.
    """
    if config.rules is None:
        if not guess:
            raise UsageError(
                "no rules are named; give --rules DIR, write remedy.yaml, or make a repository with `remedy init DIR`"
            )
        folder = starter_rules()
        return load_repository(folder, today=utc_now().date()), "the starter rules (none are named)"
    if not config.rules.is_dir():
        raise UsageError(f"{config.rules} ({config.rules_named_by}) is no folder of rules")
    revision = git_revision(config.rules, [config.rules, *config.safeguard_files])
    shown = shown_path(config.rules, directory)
    repository = load_repository(shown, today=utc_now().date())
    named_by = shown_path(config.rules_named_by, directory)
    return repository, f"{shown} ({named_by}{f', git {revision}' if revision else ''})"


def _param_types(repository: Repository) -> dict[str, Params]:
    types = {name: rule.params for name, rule in repository.rules.items()}
    return {**types, **{name: signal.params for name, signal in repository.signals.items()}}


def _stdin_text() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("the inventory on standard input is not UTF-8 text") from None


def load_hosts(
    config: Config, repository: Repository, directory: Path, *, guess: bool, untyped: Collection[str] = ()
) -> tuple[Inventory, str]:
    """
    Return the inventory, and the header's words for where it is from.

    `untyped` are broken rules and signals, whose parameters nobody knows.

    Raises:
        UsageError: no inventory is named, and the command does not guess.
        FilesError: problems in the inventory.
    """
    if config.inventory is None:
        if not guess:
            raise UsageError("no inventory is named; give -i FILE, or -i localhost, for this machine")
        return load_inventory("localhost,", stdin_text=None, types=_param_types(repository)), "this machine, read only"
    stdin_text = _stdin_text() if config.inventory == "-" else None
    is_path = Path(config.inventory).exists()
    if config.inventory_named_by != "--inventory" and not is_path and "," not in config.inventory and not stdin_text:
        named_by = shown_path(config.inventory_named_by, directory)
        raise UsageError(f"there is no inventory '{shown_path(config.inventory, directory)}', which {named_by} names")
    source = str(shown_path(config.inventory, directory)) if is_path else config.inventory
    inventory = load_inventory(source, stdin_text=stdin_text, types=_param_types(repository), untyped=untyped)
    where = "standard input" if config.inventory == "-" else source
    revision = git_revision(Path(config.inventory).parent, _files_of_hosts(config)) if is_path else ""
    named_by = shown_path(config.inventory_named_by, directory)
    return inventory, f"{where} ({named_by}{f', git {revision}' if revision else ''})"


def _files_of_hosts(config: Config) -> Iterator[Path]:
    """Yield what the hosts are read from: the inventory, the variables beside it, and every remedy.yaml."""
    source = Path(config.inventory or "")
    yield source
    yield from (source.parent / name for name in ("group_vars", "host_vars"))
    yield from config.safeguard_files


def load(
    options: Options,
    caller: Caller,
    talk: Talk,
    *,
    guess: bool,
    meant: Callable[[str, Inventory], str] | None = None,
) -> Loaded:
    """
    Load everything a command that judges needs, say the warnings, and return it.

    `guess` lets the starter rules and this machine stand in where nothing is named.
    `meant` returns the pattern that --limit was meant as.

    Raises:
        RemedyError: as the parts raise; nobody has been contacted.
    """
    config = read_config(options, caller)
    for mistake in mistyped_variables(caller.environment):
        talk.say(f"warning: {mistake}")
    repository, rules_from = load_rules(config, caller.directory, guess=guess)
    rules = choose_rules(repository.rules, names=options.rule, tags=options.tag, what=options.rule_named)
    inventory, inventory_from = load_hosts(config, repository, caller.directory, guess=guess)
    inventory = without_aliases(inventory)
    limit = meant(options.limit, inventory) if meant is not None and options.limit is not None else options.limit
    selection = choose_scopes(rules, inventory, limit=limit, what=options.limit_named)
    state, state_from = find_state_directory(options, caller, config)
    precautions = precautions_of(config, inventory, selection)
    for warning in (*repository.warnings, *inventory.warnings):
        talk.say(f"warning: {warning}")
    for name in selection.empty:
        talk.say(f"rule {name} looks at none of the selected hosts")
    header = (
        f"rules      {rules_from}",
        f"inventory  {inventory_from}: {len(selection.hosts)} of {counted(len(inventory.hosts), 'host')} selected",
        f"state      {state.path} ({state_from})",
        _stop_line(state),
        _safeguards_line(config, caller.directory),
        *_freeze_lines(precautions),
    )
    brief = (
        f"rules from {_once(rules_from)}; inventory {_once(inventory_from)}",
        f"state {state.path} ({state_from})",
        *([_stop_line(state)] if state.stop_reason() else []),
        *_freeze_lines(precautions),
    )
    facts = {"rules": rules_from, "inventory": inventory_from, "state": str(state.path)}
    freezes = FreezesNow(config.safeguard_files, may_appear=config.safeguard_files_absent)
    return Loaded(
        repository=repository,
        inventory=inventory,
        selection=selection,
        state=state,
        header=header,
        brief=brief,
        facts=facts,
        precautions=precautions,
        freezes=freezes.read,
    )


def _once(said: str) -> str:
    """Return what something is and what named it, such as `rules (rules)`, as one name when both are the same."""
    name, _, named_by = said.removesuffix(")").partition(" (")
    return name if name == named_by else said


def precautions_of(config: Config, inventory: Inventory, selection: Selection) -> Precautions:
    """Return the safeguards with their hosts resolved; a pattern that names nothing is an error, never nothing."""
    safeguards = config.safeguards
    protected = frozenset(
        name for each in safeguards.protected for name in select(each.hosts, inventory, what=f"{each.place}: protected")
    ) & set(selection.hosts)
    return Precautions(
        protected=protected,
        named=protected & set(selection.named),
        per_rule=safeguards.per_rule,
        all_rules=safeguards.all_rules,
        freezes=safeguards.freezes,
        override=None,
    )


def _safeguards_line(config: Config, directory: Path) -> str:
    """Return what the safeguards are and from which files; that there are none is said as well."""
    safeguards = config.safeguards
    said = [
        *(f"protected {each.hosts}" for each in safeguards.protected),
        *(f"per rule {budget}" for budget in [safeguards.per_rule] if budget),
        *(f"all {budget}" for budget in [safeguards.all_rules] if budget),
        *([counted(len(safeguards.freezes), "freeze")] if safeguards.freezes else []),
    ]
    files = ", ".join(str(shown_path(file, directory)) for file in config.safeguard_files)
    return f"safeguards {', '.join(said) or 'none'}" + (f" ({files})" if files else "")


def _freeze_lines(precautions: Precautions) -> tuple[str, ...]:
    """Return a line for a freeze that holds now or begins within a day."""
    freeze = freeze_over(precautions.freezes, utc_now(), needed_s=_FREEZE_SHOWN_AHEAD_S)
    if freeze is None:
        return ()
    return (f"freeze     {freeze_text(freeze)}",)


def _stop_line(state: StateDirectory) -> str:
    stopped = state.stop_reason()
    if stopped:
        return f"stop file  {state.stop}: STOPPED: {stopped}  (remedy start lifts it)"
    return f"stop file  {state.stop}  (remedy stop REASON / remedy start)"


def secrets_of(loaded: Loaded, caller: Caller) -> "Secrets":
    """
    Return the secrets of a run; those of all rules, signals and hosts are masked from the start, selected or not.

    No local script inherits their variables. One that cannot be read is refused where a script needs it.
    """
    from remedy_runners.secrets import Secrets

    secrets = Secrets(environment=caller.environment, home=caller.home)
    rules, signals = loaded.repository.rules.values(), loaded.repository.signals.values()
    secrets.read_ahead(references_of_loaded(rules, signals, loaded.inventory.hosts.values()))
    return secrets


def make_runners(
    options: Options, caller: Caller, inventory: Inventory, *, secrets: "Secrets | None" = None
) -> Mapping[Transport, Runner]:
    """
    Return the runners by transport; paramiko is imported only here, when hosts will be contacted.

    That for WinRM is there, and requests imported, only if the inventory has a host of it.
    All of them share `secrets`, so that what one host prints of another's is masked too.
    """
    from remedy_runners.local import LocalRunner
    from remedy_runners.secrets import Secrets
    from remedy_runners.ssh import SSHRunner

    secrets = secrets or Secrets(environment=caller.environment, home=caller.home)
    secrets.withhold(host.connection.password for host in inventory.hosts.values() if host.connection.password)
    ssh = SSHRunner(
        home=caller.home,
        user=caller.user,
        environment=caller.environment,
        ssh_config_files=[Path(options.ssh_config)] if options.ssh_config else None,
        secrets=secrets,
    )
    local = LocalRunner(user=caller.user, secrets=secrets)
    runners: dict[Transport, Runner] = {Transport.LOCAL: local, Transport.SSH: ssh}
    if any(host.transport is Transport.WINRM for host in inventory.hosts.values()):
        from remedy_runners.winrm.runner import WinRMRunner

        runners[Transport.WINRM] = WinRMRunner(home=caller.home, environment=caller.environment, secrets=secrets)
    return runners
