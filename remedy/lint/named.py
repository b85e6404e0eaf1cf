"""Scripts that rules and signals name, with what their rule or signal knows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from remedy.lint.finding import Names, Role, Subject
from remedy.lint.shebang import language_of
from remedy.load.repository import Repository, survey_repository
from remedy.model import Platform, RowPromise, Rule, Script, Signal

__all__ = ["RULES_FILES", "NamedScripts", "read_rules", "rules_root"]

RULES_FILES = ("rule.yaml", "signal.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedScripts:
    """The scripts that rules and signals of one folder name, by their real path; folders whose YAML is broken."""

    by_path: Mapping[Path, Subject]
    broken: frozenset[Path]

    def broken_above(self, real: Path) -> Path | None:
        """Return the broken folder that a file lies in, None for none."""
        return next((folder for folder in real.parents if folder in self.broken), None)


def rules_root(folder: Path) -> Path | None:
    """Return the folder of rules that a folder of a rule or signal, or below one, belongs to; None for any other."""
    for each in (folder, *folder.parents):
        if (each / "rule.yaml").is_file():
            return each.parent
        if (each / "signal.yaml").is_file() and each.parent.name == "signals":
            return each.parent.parent
    return None


def read_rules(root: Path) -> NamedScripts:
    """Return the scripts of a folder of rules, of what in it is whole."""
    survey = survey_repository(root)
    whole = survey.repository
    broken = {root / name for name in survey.rules_found - whole.rules.keys()}
    broken |= {root / "signals" / name for name in survey.signals_found - whole.signals.keys()}
    return NamedScripts(
        by_path={(root / subject.file).resolve(): subject for subject in _named(whole)},
        broken=frozenset(folder.resolve() for folder in broken),
    )


def _named(repository: Repository) -> Iterator[Subject]:
    for rule in repository.rules.values():
        for platform, script in rule.fix.items():
            yield _of(script, platform, Role.FIX, _names_of_rule(rule, repository.signals[rule.signal]))
    for signal in repository.signals.values():
        for platform, script in signal.collect.items():
            yield _of(script, platform, Role.COLLECTOR, _names_of_signal(signal))


def _of(script: Script, platform: Platform, role: Role, names: Names) -> Subject:
    is_windows = platform is Platform.WINDOWS
    return Subject(
        file=script.path,
        body=script.body,
        language=language_of(script.body, is_windows=is_windows),
        role=role,
        is_windows=is_windows,
        names=names,
    )


def _names_of_rule(rule: Rule, signal: Signal) -> Names:
    return Names(
        columns=frozenset(signal.columns),
        params=frozenset(rule.params),
        owner=f"rule {rule.name}",
        signal=f"signal {signal.name}",
    )


def _names_of_signal(signal: Signal) -> Names:
    return Names(
        columns=frozenset(signal.columns),
        params=frozenset(signal.params),
        key=signal.key,
        may_be_empty=signal.rows is RowPromise.ANY,
        owner=f"signal {signal.name}",
        signal=f"signal {signal.name}",
    )
