"""`remedy validate`: every problem at once, each with its place."""

from collections.abc import Sequence
from pathlib import Path

from remedy.cli.caller import caller_now, utc_now
from remedy.cli.composition import Options, load_hosts, read_config, shown_path
from remedy.cli.console import Talk
from remedy.errors import FilesError, Problem, RemedyError, UsageError
from remedy.load.cases import load_cases
from remedy.load.repository import Repository, load_repository
from remedy.run.scopes import choose_scopes
from remedy.text import counted

__all__ = ["run_validate"]


def run_validate(options: Options, paths: Sequence[str]) -> int:
    """Check folders of rules (default: the configured one) and the inventory, if one is named."""
    caller = caller_now()
    config = read_config(options, caller)
    folders = [Path(path) for path in paths] or ([shown_path(config.rules, caller.directory)] if config.rules else [])
    if not folders:
        raise UsageError("no rules are named; give a folder, --rules DIR, or write remedy.yaml")
    problems: list[Problem] = []
    warnings: list[Problem] = []
    counts = {"rules": 0, "signals": 0}
    for folder in folders:
        repository = _checked(folder, problems)
        if repository is None:
            continue
        counts["rules"] += len(repository.rules)
        counts["signals"] += len(repository.signals)
        warnings.extend(repository.warnings)
        _check_cases(folder, repository, problems)
        if config.inventory is not None and not paths:
            try:
                inventory, _ = load_hosts(config, repository, caller.directory, guess=False)
            except FilesError as exc:
                problems.extend(exc.problems)
                continue
            warnings.extend(inventory.warnings)
            _check_patterns(repository, inventory, problems)
    return _report(Talk(as_json=options.output == "json"), problems, warnings, counts)


def _checked(folder: Path, problems: list[Problem]) -> Repository | None:
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder of rules")
    try:
        return load_repository(folder, today=utc_now().date())
    except FilesError as exc:
        problems.extend(exc.problems)
        return None


def _check_cases(folder: Path, repository: Repository, problems: list[Problem]) -> None:
    for name, rule in repository.rules.items():
        path = folder / name / "tests.yaml"
        if path.exists():
            try:
                load_cases(path, repository, rule)
            except FilesError as exc:
                problems.extend(exc.problems)


def _check_patterns(repository: Repository, inventory: object, problems: list[Problem]) -> None:
    from remedy.load.inventory import Inventory

    if not isinstance(inventory, Inventory) or not inventory.hosts:
        return
    for rule in repository.rules.values():
        try:
            choose_scopes([rule], inventory, limit=None)
        except RemedyError as exc:
            problems.append(Problem(place=rule.hosts_place, message=str(exc)))


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
