"""The runner of files: finds the rules that are to be tested, loads their cases, and tests them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TypeVar

from remedy.cage import Cage
from remedy.errors import FilesError, NothingNamed, Problem, UsageError
from remedy.load.cases import Case, cases_of, survey_tests
from remedy.load.document import Document
from remedy.load.fix_cases import CollectCase, FixCase, load_collect_cases, load_fix_cases
from remedy.load.repository import Repository, Survey, survey_repository
from remedy.load.schema import Shape
from remedy.testing.checking import broken_file, check_cases, check_kinds, without_cases
from remedy.testing.coverage import RuleCoverage, rule_coverage
from remedy.testing.fixes import run_collect_cases, run_fix_cases
from remedy.testing.results import CheckedCase, State, Suite
from remedy.testing.surviving import Survivor, surviving_mutants
from remedy.text import nearest

__all__ = ["Asked", "Target", "find_targets", "run_suite"]

_TESTS = "tests.yaml"
_CAGES_MAX = 4
_NAMES_WHAT = "name a folder of rules, the folder of a rule or signal, or its tests.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A folder of rules, and the rules and signals in it that are meant; None means all."""

    root: Path
    rules: frozenset[str] | None = None
    signals: frozenset[str] | None = None

    def joined(self, other: "Target") -> "Target":
        """Return a target of the same folder that means what either means."""
        return Target(
            root=self.root,
            rules=None if self.rules is None or other.rules is None else self.rules | other.rules,
            signals=None if self.signals is None or other.signals is None else self.signals | other.signals,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be tested, and what else is to be said; `text` is a part of a case's name, with its rule's."""

    rules: tuple[str, ...] = ()
    text: str = ""
    coverage: bool = False
    mutants: bool = False


@dataclass(slots=True, kw_only=True)
class _Found:
    """What testing came to so far."""

    tested: list[CheckedCase] = field(default_factory=list)
    coverage: list[RuleCoverage] = field(default_factory=list)
    survivors: list[Survivor] = field(default_factory=list)
    unplanted: list[str] = field(default_factory=list)
    mutants: int = 0
    rules: int = 0
    signals: int = 0
    bare_signals: list[str] = field(default_factory=list)


def find_targets(paths: Sequence[Path]) -> tuple[Target, ...]:
    """
    Return what paths name: a folder of rules, that of a rule or of a signal, or a tests.yaml.

    Raises:
        UsageError: a path is none of these.
    """
    found: dict[Path, Target] = {}
    for path in paths:
        target = _target(path)
        known = found.get(target.root.resolve())
        found[target.root.resolve()] = known.joined(target) if known is not None else target
    return tuple(found.values())


def _target(path: Path) -> Target:
    given = path
    if path.name == _TESTS and path.is_file():
        path = path.parent
    if not path.is_dir():
        said = "is no folder and no tests.yaml" if path.exists() else "does not exist"
        raise UsageError(f"{given} {said}; {_NAMES_WHAT}")
    # A path such as `.` has neither a name nor a parent of its own.
    named = path if path.name and path.name != ".." else path.resolve()
    if (path / "rule.yaml").exists():
        return Target(root=named.parent, rules=frozenset([named.name]), signals=frozenset())
    if (path / "signal.yaml").exists():
        root = named.parent.parent if named.parent.name else named.resolve().parent.parent
        return Target(root=root, rules=frozenset(), signals=frozenset([named.name]))
    return Target(root=path)


def run_suite(
    targets: Iterable[Target], asked: Asked, *, cage: Cage, today: date, progress: Callable[[str], None]
) -> tuple[Suite, tuple[Problem, ...]]:
    """
    Test what is asked; return what it came to, and the warnings about the rules.

    A file that is broken spoils only what depends on it. Scripts run in the cage only.

    Raises:
        NothingNamed: a rule that is asked for does not exist, a signal that is named has no
            cases, or no case has the text in its name.
    """
    surveys = [(target, survey_repository(target.root, today=today)) for target in targets]
    _refuse_unknown(asked, [survey for _, survey in surveys])
    found = _Found()
    warnings: list[Problem] = []
    for target, survey in surveys:
        warnings.extend(survey.repository.warnings)
        rules, signals = _chosen(target, survey, asked)
        found.tested.extend(_broken_files(target, survey, rules, is_part=bool(asked.rules) or target.rules is not None))
        for name in sorted(rules & survey.repository.rules.keys()):
            progress(f"testing {name}, {len(found.tested)} cases so far")
            _test_rule(target.root / name / _TESTS, survey.repository, name, asked, cage, found)
        for name in sorted(signals & survey.repository.signals.keys()):
            progress(f"testing {name}, {len(found.tested)} cases so far")
            path = target.root / "signals" / name / _TESTS
            has_cases = _test_signal(path, survey.repository, name, asked, cage, found)
            if not has_cases and target.signals is not None:
                raise NothingNamed(f"signal {name} has no cases; write {path}, or name a rule that reads it")
    if asked.text and not any(each.name for each in found.tested):
        raise NothingNamed(f"--keyword {asked.text}: no case has this in its name or its rule's")
    suite = Suite(
        rules=found.rules,
        signals=found.signals,
        bare_signals=() if asked.text else tuple(found.bare_signals),
        tested=tuple(found.tested),
        coverage=tuple(found.coverage) if asked.coverage else None,
        survivors=tuple(found.survivors) if asked.mutants else None,
        mutants=found.mutants,
        unplanted=tuple(found.unplanted),
    )
    return suite, tuple(sorted(set(warnings)))


def _refuse_unknown(asked: Asked, surveys: Sequence[Survey]) -> None:
    known = frozenset(name for survey in surveys for name in survey.rules_found)
    for name in asked.rules:
        if name not in known:
            near = nearest(name, known)
            raise NothingNamed(f"--rule {name}: there is no such rule here" + (f"; {', '.join(near)}?" if near else ""))


def _chosen(target: Target, survey: Survey, asked: Asked) -> tuple[frozenset[str], frozenset[str]]:
    """Return the rules and the signals that are meant; whoever names rules means no signal."""
    rules = survey.rules_found if target.rules is None else target.rules
    if asked.rules:
        return rules & frozenset(asked.rules), frozenset()
    return rules, survey.signals_found if target.signals is None else target.signals


def _broken_files(target: Target, survey: Survey, chosen: frozenset[str], *, is_part: bool) -> Iterator[CheckedCase]:
    """Yield the problems of the repository; where only some rules are meant, of these and of the signals."""
    meant = {*chosen, "signals"}
    for problem in sorted(set(survey.problems)):
        try:
            below = Path(problem.place.file).relative_to(target.root).parts
        except ValueError:
            below = ()
        if not is_part or not below or below[0] in meant:
            yield broken_file(below[0] if len(below) > 1 else "", problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """The cases of one tests.yaml, or what is wrong with it."""

    cases: tuple[Case, ...] = ()
    fixes: tuple[FixCase, ...] = ()
    collectors: tuple[CollectCase, ...] = ()
    problems: tuple[Problem, ...] = ()


def _read(path: Path, take: Callable[[Document, Shape], _Read]) -> _Read:
    try:
        document, shape = survey_tests(path)
        found = take(document, shape)
        problems: Sequence[Problem] = document.problems
    except FilesError as exc:
        problems = exc.problems
    return _Read(problems=tuple(sorted(set(problems)))) if problems else found


def _test_rule(path: Path, repository: Repository, name: str, asked: Asked, cage: Cage, found: _Found) -> None:
    rule, signals = repository.rules[name], repository.signals
    found.rules += 1
    if not path.exists():
        found.tested.append(without_cases(rule, file=str(path)))
        return

    def take(document: Document, shape: Shape) -> _Read:
        fixes = load_fix_cases(document, signals, rule, shape)
        return _Read(cases=cases_of(document, repository, rule, shape), fixes=fixes)

    read = _read(path, take)
    if read.problems:
        found.tested.extend(broken_file(name, problem) for problem in read.problems)
        return
    meant = tuple(case for case in read.cases if _is_meant(name, case.name, asked))
    before = len(found.tested)
    found.tested.extend(check_cases(rule, meant, signals))
    is_sound = all(each.state is State.PASSED for each in found.tested[before:])
    if not asked.text:
        found.tested.extend(check_kinds(rule, read.cases, file=str(path)))
    if asked.coverage:
        found.coverage.append(rule_coverage(rule, meant, signals))
    if asked.mutants and not is_sound:
        found.unplanted.append(name)
    elif asked.mutants:
        planted, survivors = surviving_mutants(rule, meant, signals)
        found.mutants += planted
        found.survivors.extend(survivors)
    fixes = [case for case in read.fixes if _is_meant(name, case.name, asked)]
    found.tested.extend(_in_threads(lambda case: run_fix_cases([case], cage), fixes))


def _test_signal(path: Path, repository: Repository, name: str, asked: Asked, cage: Cage, found: _Found) -> bool:
    """Run the cases of a signal; return whether it has any, or a file that is broken."""
    signal = repository.signals[name]
    read = _Read()
    if path.exists():
        read = _read(path, lambda document, shape: _Read(collectors=load_collect_cases(document, signal, shape)))
    if not read.problems and not read.collectors:
        found.bare_signals.append(name)
        return False
    found.signals += 1
    found.tested.extend(broken_file(name, problem) for problem in read.problems)
    meant = [case for case in read.collectors if _is_meant(name, case.name, asked)]
    found.tested.extend(_in_threads(lambda case: run_collect_cases([case], cage), meant))
    return True


_Scripted = TypeVar("_Scripted", FixCase, CollectCase)


def _in_threads(run: Callable[[_Scripted], Iterable[CheckedCase]], cases: Sequence[_Scripted]) -> Iterator[CheckedCase]:
    """Yield what the cases came to, in their order; scripts mostly wait, so two at once pay even on one processor."""
    if not cases:
        return
    with ThreadPoolExecutor(max_workers=min(len(cases), _CAGES_MAX)) as pool:
        for checked in pool.map(lambda case: tuple(run(case)), cases):
            yield from checked


def _is_meant(owner: str, case: str, asked: Asked) -> bool:
    return asked.text.casefold() in f"{owner}: {case}".casefold()
