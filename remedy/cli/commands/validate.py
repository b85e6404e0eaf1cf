"""`remedy validate`: every problem at once, each with its place."""

from collections.abc import Sequence
from pathlib import Path

from remedy.cli.caller import Caller, caller_now, utc_now
from remedy.cli.composition import Options, load_hosts, read_config, shown_path
from remedy.cli.console import Talk
from remedy.errors import FilesError, Problem, UsageError
from remedy.load.cases import load_cases
from remedy.load.config import Config
from remedy.load.inventory import Inventory
from remedy.load.repository import Repository, Survey, survey_repository
from remedy.run.scopes import pattern_problems, protected_problems
from remedy.text import counted

__all__ = ["run_validate"]


def run_validate(options: Options, paths: Sequence[str]) -> int:
    """Check folders of rules (default: the configured one) and the inventory, if one is named."""
    if paths and options.rules is not None:
        raise UsageError("a folder and --rules are given; name the rules once")
    caller = caller_now()
    config = read_config(options, caller)
    problems: list[Problem] = []
    warnings: list[Problem] = []
    counts = {"rules": 0, "signals": 0}
    for folder in _folders(paths, config, caller):
        survey = survey_repository(folder, today=utc_now().date())
        counts["rules"] += len(survey.rules_found)
        counts["signals"] += len(survey.signals_found)
        problems.extend(survey.problems)
        warnings.extend(survey.repository.warnings)
        _check_cases(folder, survey.repository, problems)
        if config.inventory is None or (paths and options.inventory is None):
            continue
        try:
            inventory = _inventory(config, survey, caller)
        except FilesError as exc:
            problems.extend(exc.problems)
            continue
        warnings.extend(inventory.warnings)
        problems.extend(protected_problems(config.safeguards, inventory))
        for rule in survey.repository.rules.values():
            problems.extend(pattern_problems(rule, inventory))
    return _report(Talk(as_json=options.output == "json"), problems, warnings, counts)


def _folders(paths: Sequence[str], config: Config, caller: Caller) -> list[Path]:
    """Return the folders to check, each once however often and by whatever name it was given."""
    if any(not path.strip() for path in paths):
        raise UsageError("a folder's name is empty; name a folder of rules or leave it out")
    named = [Path(path) for path in paths] or ([shown_path(config.rules, caller.directory)] if config.rules else [])
    if not named:
        raise UsageError("no rules are named; give a folder, --rules DIR, or write remedy.yaml")
    folders: dict[Path, Path] = {}
    for folder in named:
        if not folder.is_dir():
            by = "" if paths else f", which {shown_path(config.rules_named_by, caller.directory)} names"
            raise UsageError(f"there is no folder of rules '{folder}'{by}")
        folders.setdefault(folder.resolve(), folder)
    return list(folders.values())


def _inventory(config: Config, survey: Survey, caller: Caller) -> Inventory:
    whole = survey.repository
    broken = (survey.rules_found | survey.signals_found) - whole.rules.keys() - whole.signals.keys()
    inventory, _ = load_hosts(config, whole, caller.directory, guess=False, untyped=broken)
    return inventory


def _check_cases(folder: Path, repository: Repository, problems: list[Problem]) -> None:
    for name, rule in repository.rules.items():
        path = folder / name / "tests.yaml"
        if path.exists():
            try:
                load_cases(path, repository, rule)
            except FilesError as exc:
                problems.extend(exc.problems)


def _report(talk: Talk, problems: list[Problem], warnings: list[Problem], counts: dict[str, int]) -> int:
    if talk.as_json:
        talk.result_json(
            {"validate": 1, "problems": _json(problems), "warnings": _json(warnings), **counts},
        )
        return 1 if problems else 0
    for warning in sorted(set(warnings)):
        talk.say(f"warning: {warning}")
    if problems:
        talk.result([str(problem) for problem in sorted(set(problems))])
        talk.say(counted(len(set(problems)), "problem"))
        return 1
    talk.result([f"{counted(counts['rules'], 'rule')} and {counted(counts['signals'], 'signal')}: no problems"])
    return 0


def _json(problems: list[Problem]) -> list[dict[str, object]]:
    return [
        {
            "file": problem.place.file,
            "line": problem.place.line,
            "column": problem.place.column,
            "message": problem.message,
            "cure": problem.cure,
        }
        for problem in sorted(set(problems))
    ]
