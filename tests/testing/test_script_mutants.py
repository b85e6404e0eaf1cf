"""Mistakes planted in the scripts of the starter rules: the cases of fixes and collectors notice them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest

from remedy.canonical import digest_text
from remedy.load import load_repository, starter_rules
from remedy.load.cases import read_tests
from remedy.load.fix_cases import CollectCase, FixCase, load_collect_cases, load_fix_cases
from remedy.model import Platform, Script
from remedy.testing.fixes import run_collect_cases, run_fix_cases
from remedy.testing.results import State
from remedy_runners.sandbox import BubblewrapCage
from tests.testing.script_mutants import ScriptMutant, script_mutants

_ROOT = starter_rules()
_REPOSITORY = load_repository(_ROOT)
_FIXED = sorted(name for name, rule in _REPOSITORY.rules.items() if Platform.LINUX in rule.fix)
_LEAST_NOTICED = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Count:
    planted: int
    noticed: int
    missed: tuple[str, ...]


def _noticed(mutant: ScriptMutant, script: Script, cases: tuple[FixCase | CollectCase, ...]) -> bool:
    """Say whether a case fails on the script with the mistake in it; the first that does is enough."""
    body = mutant.script.encode()
    changed = replace(script, body=body, sha256=digest_text(mutant.script))
    cage = BubblewrapCage()
    for case in cases:
        if isinstance(case, FixCase):
            [checked] = run_fix_cases([replace(case, script=changed)], cage)
        else:
            [checked] = run_collect_cases([replace(case, script=changed)], cage)
        if checked.state is State.FAILED:
            return True
    return False


def _count(script: Script, cases: tuple[FixCase | CollectCase, ...], mutants: list[ScriptMutant]) -> _Count:
    linux = tuple(case for case in cases if case.platform is Platform.LINUX)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda mutant: _noticed(mutant, script, linux), mutants))
    missed = [each for each, is_noticed in zip(mutants, found, strict=True) if not is_noticed]
    shown = tuple(f"{script.path}:{each.line}: {each.kind}: {each.shown}" for each in missed)
    return _Count(planted=len(mutants), noticed=sum(found), missed=shown)


@cache
def _of_collector(signal: str) -> _Count:
    document, _ = read_tests(_ROOT / "signals" / signal / "tests.yaml")
    one = _REPOSITORY.signals[signal]
    script = one.collect[Platform.LINUX]
    mutants = list(script_mutants(script.body.decode(), one.columns))
    return _count(script, load_collect_cases(document, one), mutants)


@cache
def _of_fix(rule: str) -> _Count:
    document, _ = read_tests(_ROOT / rule / "tests.yaml")
    one = _REPOSITORY.rules[rule]
    script = one.fix[Platform.LINUX]
    return _count(
        script, load_fix_cases(document, _REPOSITORY.signals, one), list(script_mutants(script.body.decode()))
    )


@pytest.fixture(autouse=True)
def _cage() -> None:
    """Skip where this machine has no cage, and say why."""
    document, _ = read_tests(_ROOT / "signals" / "disk" / "tests.yaml")
    [checked, *_] = run_collect_cases(load_collect_cases(document, _REPOSITORY.signals["disk"])[:1], BubblewrapCage())
    if checked.state is State.SKIPPED:
        pytest.skip(checked.message)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_most_mistakes_in_scripts_are_noticed() -> None:
    """Of exit codes, units and swapped columns in the Linux scripts of the starter rules, nine in ten are noticed."""
    counts = [*(_of_collector(name) for name in sorted(_REPOSITORY.signals)), *(_of_fix(name) for name in _FIXED)]
    planted, noticed = sum(each.planted for each in counts), sum(each.noticed for each in counts)
    print(f"mutants of scripts: {noticed} of {planted} noticed")
    for each in counts:
        print("\n".join(each.missed))

    assert planted >= 70
    assert noticed / planted >= _LEAST_NOTICED


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", sorted(_REPOSITORY.rules))
def test_each_rule_has_ten_mistakes_in_its_scripts_and_conditions(name: str) -> None:
    """At least ten mistakes are planted for each rule, in its conditions, its fix and the collector of its signal."""
    from remedy.testing.mutants import mutants_of

    rule = _REPOSITORY.rules[name]
    of_condition = list(mutants_of(rule, _REPOSITORY.signals))
    planted = len(of_condition) + _of_collector(rule.signal).planted + (_of_fix(name).planted if name in _FIXED else 0)

    assert planted >= 10


def test_mutants_differ_from_the_script_in_one_place() -> None:
    """Each mutant changes something, no two are the same, and none only a comment."""
    for path in sorted(Path(_ROOT).glob("signals/*/linux.sh")):
        script = path.read_text()
        columns = _REPOSITORY.signals[path.parent.name].columns
        mutants = list(script_mutants(script, columns))

        assert mutants, path
        assert len({each.script for each in mutants} | {script}) == len(mutants) + 1
        assert {each.kind for each in mutants} >= {"exit code"}
