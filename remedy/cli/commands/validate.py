"""`remedy validate`: every problem at once, each with its place, and what is allowed and hardly meant."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from remedy import __version__
from remedy.cli.caller import Caller, caller_now, utc_now
from remedy.cli.composition import Options, load_hosts, shown_path
from remedy.cli.console import Talk
from remedy.errors import FilesError, Problem, UsageError
from remedy.lint.checkouts import checkout_namer
from remedy.load.cases import Case, cases_of, survey_tests
from remedy.load.config import Config, load_config, mistyped_variables
from remedy.load.document import Document
from remedy.load.doubts import DOUBTS, Subject, doubts_of_hosts, doubts_of_rule
from remedy.load.fix_cases import load_collect_cases, load_fix_cases
from remedy.load.inventory import Inventory, select
from remedy.load.repository import Repository, Survey, ended_exemptions, survey_repository
from remedy.load.schema import Shape
from remedy.model import Rule, Signal
from remedy.render.problems import (
    Remark,
    Validated,
    problem_lines,
    summary_line,
    validated_github,
    validated_json,
    validated_junit,
    validated_sarif,
    warning_lines,
)
from remedy.run.scopes import pattern_problems, protected_problems, without_aliases
from remedy.text import counted

__all__ = ["CODES", "OUTPUTS", "run_validate"]

OUTPUTS = ("text", "json", "github", "sarif", "junit")
CODES = {
    "invalid": "a mistake in a file",
    "file-doubtful": "a file or a value of the rules that has no effect, or not the one it seems to have",
    "inventory-doubtful": "a variable of the inventory that has no effect, or not the one it seems to have",
    "secret-in-inventory": "a secret stands in the inventory in clear text",
    "exemption-ended": "an exemption whose last day is over",
    **DOUBTS,
}
"""Everything that `validate` says, by its code, in one sentence."""


@dataclass(slots=True, kw_only=True)
class _Found:
    """
    What has been found so far; `files` are those that were read.

    What lies outside of `only`, and of the signals that rules in it read, is read as well but not said;
    without any, all is.
    """

    only: tuple[Path, ...] = ()
    read_by_meant: set[Path] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    doubts: dict[Problem, str] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    hosts: int | None = None

    def is_meant(self, file: str) -> bool:
        """Say whether a file is among those that were asked for."""
        meant = (*self.only, *self.read_by_meant)
        return not self.only or any(Path(file).resolve().is_relative_to(path) for path in meant)

    def number(self, name: str) -> int:
        """Return how many of the files that were asked for have a name."""
        return sum(1 for file in self.files if Path(file).name == name and self.is_meant(file))

    def doubt(self, code: str, problems: Iterable[Problem]) -> None:
        """Add doubts of one code."""
        for problem in problems:
            self.doubts.setdefault(problem, code)


def run_validate(options: Options, paths: Sequence[str], *, output: str, strict: bool) -> int:
    """Check folders of rules (default: the configured one), or what lies in one, and the inventory, if one is named."""
    if output not in OUTPUTS:
        raise UsageError(f"--output {output}: {', '.join(OUTPUTS[:-1])} or {OUTPUTS[-1]}")
    if paths and options.rules is not None:
        raise UsageError("a folder and --rules are given; name the rules once")
    caller = caller_now()
    talk = Talk(as_json=output in ("json", "sarif"))
    for mistake in mistyped_variables(caller.environment):
        talk.say(f"warning: {mistake}")
    found = _Found()
    config = _read_config(options, caller, found)
    folders = _folders(paths, config, caller, found)
    for folder in folders:
        _check_folder(folder, config, caller, found, with_inventory=not paths or options.inventory is not None)
    validated = _validated(found, strict=strict)
    if output in ("github", "sarif"):
        validated = _named_from_checkout(validated, caller.directory)
    _say(talk, validated, output)
    if elsewhere := sum(1 for problem in set(found.problems) if not found.is_meant(problem.place.file)):
        talk.say(f"{counted(elsewhere, 'problem')} elsewhere; `remedy validate {folders[0]}` shows them all")
    return 1 if validated.of_level("error") else 0


def _read_config(options: Options, caller: Caller, found: _Found) -> Config:
    """Return what names rules and inventory, as far as it is sound; what is wrong with a remedy.yaml is found."""
    noted: list[Problem] = []
    config = load_config(
        caller.directory,
        rules_flag=options.rules,
        inventory_flag=options.inventory,
        environment=caller.environment,
        noted=noted,
    )
    found.files.update(str(shown_path(file, caller.directory)) for file in config.safeguard_files)
    found.problems.extend(_shown(problem, caller) for problem in noted)
    return config


def _shown(problem: Problem, caller: Caller) -> Problem:
    return replace(problem, place=replace(problem.place, file=str(shown_path(problem.place.file, caller.directory))))


def _folders(paths: Sequence[str], config: Config, caller: Caller, found: _Found) -> list[Path]:
    """Return the folders of rules to read, each once however often and by whatever name it was given."""
    if any(not path.strip() for path in paths):
        raise UsageError("a folder's name is empty; name a folder of rules or leave it out")
    named = [Path(path) for path in paths] or ([shown_path(config.rules, caller.directory)] if config.rules else [])
    if not named and not found.problems:
        how = "give a folder, --rules DIR, or write remedy.yaml; `remedy init` makes a folder with all that is needed"
        raise UsageError(f"no rules are named; {how}")
    folders: dict[Path, Path] = {}
    meant: list[Path] = []
    for path in named:
        if not path.exists() or (not paths and not path.is_dir()):
            message = f"there is no folder of rules '{path}'"
            if paths:
                raise UsageError(message)
            named_at = next(setting.origin.place for setting in config.named if setting.key == "rules")
            if named_at is None:
                raise UsageError(f"{message}, which {shown_path(config.rules_named_by, caller.directory)} names")
            found.problems.append(_shown(Problem(place=named_at, message=message), caller))
            continue
        folder = _folder_of(path, caller) if paths else path
        meant.append((path if path.is_dir() else path.parent).resolve())
        folders.setdefault(folder.resolve(), folder)
    if set(meant) != folders.keys():
        found.only = tuple(meant)
    return list(folders.values())


def _folder_of(path: Path, caller: Caller) -> Path:
    """
    Return the folder of rules that a path is, or that it lies in as a rule or signal or a file of one.

    Raises:
        UsageError: it is a file of none.
    """
    owner = path if path.is_dir() else path.parent
    named = owner if owner.name not in ("", "..") else owner.resolve()
    if (owner / "signals").exists() or next(owner.glob("*/rule.yaml"), None) is not None:
        return owner  # Whatever else lies there: a rule.yaml in it is in the wrong place, and that will be said.
    if (owner / "rule.yaml").exists():
        return shown_path(named.parent, caller.directory)
    if (owner / "signal.yaml").exists():
        above = named.parent if named.parent.name else named.resolve().parent
        return shown_path(above.parent, caller.directory)
    if path.is_dir():
        return path
    cure = "name a folder of rules, or what lies in one; an inventory is named with -i"
    raise UsageError(f"'{path}' is in the folder of no rule and no signal; {cure}")


def _check_folder(folder: Path, config: Config, caller: Caller, found: _Found, *, with_inventory: bool) -> None:
    survey = survey_repository(folder)
    found.files.update(str(folder / name / "rule.yaml") for name in survey.rules_found)
    found.files.update(str(folder / "signals" / name / "signal.yaml") for name in survey.signals_found)
    found.problems.extend(survey.problems)
    for name, signals in survey.signals_of.items():
        if found.only and found.is_meant(str(folder / name)):
            found.read_by_meant.update((folder / "signals" / signal).resolve() for signal in signals)
    found.doubt("file-doubtful", survey.repository.warnings)
    found.doubt("exemption-ended", ended_exemptions(survey.repository.rules, today=utc_now().date()))
    inventory = _inventory(config, survey, caller, found) if with_inventory and config.inventory is not None else None
    for name, signal in survey.repository.signals.items():
        path = folder / "signals" / name / "tests.yaml"
        _read_cases(path, partial(_collect_cases, signal=signal), found)
    for name in survey.repository.rules:
        _check_rule(name, folder, survey, inventory, found)


def _inventory(config: Config, survey: Survey, caller: Caller, found: _Found) -> Inventory | None:
    """Return the inventory, looked at for what is wrong and doubtful; None when it cannot be read."""
    whole = survey.repository
    broken = (survey.rules_found | survey.signals_found) - whole.rules.keys() - whole.signals.keys()
    try:
        inventory, _ = load_hosts(config, whole, caller.directory, guess=False, untyped=broken)
    except FilesError as exc:
        found.problems.extend(exc.problems)
        return None
    except UsageError as exc:
        named = next((setting.origin.place for setting in config.named if setting.key == "inventory"), None)
        if named is None:
            raise
        found.problems.append(_shown(Problem(place=named, message=str(exc)), caller))
        return None
    found.hosts = len(inventory.hosts)
    found.files.update(place.file for place in inventory.places.values())
    found.problems.extend(_shown(problem, caller) for problem in protected_problems(config.safeguards, inventory))
    warned = {problem.place: problem for problem in inventory.warnings if problem.place.line}
    found.doubt("secret-in-inventory", (warned.get(secret.place, secret) for secret in inventory.secrets))
    found.doubt("inventory-doubtful", inventory.warnings)
    for doubt in doubts_of_hosts(inventory, without_aliases(inventory)):
        found.doubt(doubt.code, [doubt.problem])
    return inventory


def _check_rule(name: str, folder: Path, survey: Survey, inventory: Inventory | None, found: _Found) -> None:
    rule = survey.repository.rules[name]
    wrong = pattern_problems(rule, inventory) if inventory is not None else ()
    found.problems.extend(wrong)
    hosts = None
    if inventory is not None and not wrong:
        hosts = tuple(inventory.hosts[each] for each in select(rule.hosts, inventory, what="hosts"))
    subject = Subject(
        rule=rule,
        document=survey.documents[name],
        signal=survey.repository.signals[rule.signal],
        cases=_rule_cases(folder / name / "tests.yaml", rule, survey.repository, found),
        inventory_hosts=len(inventory.hosts) if inventory is not None else 0,
        hosts=hosts,
    )
    for doubt in doubts_of_rule(subject):
        found.doubt(doubt.code, [doubt.problem])


def _rule_cases(path: Path, rule: Rule, repository: Repository, found: _Found) -> tuple[Case, ...] | None:
    """Return the cases of a rule, none if it has no file of them; None when the file has mistakes."""
    cases: list[Case] = []

    def read(document: Document, shape: Shape) -> None:
        cases.extend(cases_of(document, repository, rule, shape))
        load_fix_cases(document, repository.signals, rule, shape)

    return tuple(cases) if _read_cases(path, read, found) else None


def _collect_cases(document: Document, shape: Shape, signal: Signal) -> None:
    load_collect_cases(document, signal, shape)


def _read_cases(path: Path, read: Callable[[Document, Shape], object], found: _Found) -> bool:
    """Read a tests.yaml, if there is one, and add what is wrong with it; say whether nothing is."""
    if not path.exists():
        return True
    found.files.add(str(path))
    try:
        document, shape = survey_tests(path)
    except FilesError as exc:
        found.problems.extend(exc.problems)
        return False
    read(document, shape)
    found.problems.extend(document.problems)
    return not document.problems


def _validated(found: _Found, *, strict: bool) -> Validated:
    remarks = [Remark(problem=problem, code="invalid", level="error") for problem in set(found.problems)]
    remarks += [
        Remark(problem=problem, code=code, level="error" if strict else "warning")
        for problem, code in found.doubts.items()
    ]
    meant = [remark for remark in remarks if found.is_meant(remark.problem.place.file)]
    return Validated(
        remarks=tuple(sorted(meant, key=lambda remark: remark.problem)),
        files=tuple(sorted(file for file in found.files if found.is_meant(file))),
        rules=found.number("rule.yaml"),
        signals=found.number("signal.yaml"),
        hosts=found.hosts,
        codes=CODES,
    )


def _named_from_checkout(validated: Validated, directory: Path) -> Validated:
    named = checkout_namer(directory)
    remarks = (
        replace(
            each, problem=replace(each.problem, place=replace(each.problem.place, file=named(each.problem.place.file)))
        )
        for each in validated.remarks
    )
    return replace(validated, remarks=tuple(sorted(remarks, key=lambda remark: remark.problem)))


def _say(talk: Talk, validated: Validated, output: str) -> None:
    """Print the result; where nothing was found its text is the line that says so."""
    match output:
        case "json":
            talk.result_json(validated_json(validated))
        case "sarif":
            talk.result_json(validated_sarif(validated, version=__version__))
        case "github":
            talk.result(validated_github(validated))
            talk.say(summary_line(validated))
        case "junit":
            talk.result_text(validated_junit(validated))
            talk.say(summary_line(validated))
        case _:
            talk.say(*warning_lines(validated))
            talk.result(problem_lines(validated))
            if validated.of_level("error"):
                talk.say(summary_line(validated))
            else:
                talk.result([summary_line(validated)])
