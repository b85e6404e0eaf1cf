"""
What is allowed and hardly meant: each doubt is decided by one function, and says where and what to do.

None of them keeps a rule from being used; `remedy validate` says them, and with
--strict they fail.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from remedy.conditions import CheckedCondition
from remedy.conditions.reach import Wanted, can_hold
from remedy.conditions.tree import ColumnRead, OtherRead, walk
from remedy.errors import Place, Problem
from remedy.load.cases import Case
from remedy.load.document import Document, Route
from remedy.load.inventory import Inventory
from remedy.model import Condition, Host, Mode, Params, Platform, Risk, RowPromise, Rule, Signal, VerifyUntil

__all__ = ["DOUBTS", "Doubt", "Subject", "doubts_of_hosts", "doubts_of_rule"]

DOUBTS: Mapping[str, str] = {
    "hosts-none": "`hosts` selects no host of the inventory",
    "hosts-every": "`hosts` takes some away, or names a pattern, and still selects every host of the inventory",
    "platform-none": "the signal has no collector, or the rule no fix, for any host that `hosts` selects",
    "when-never": "`when` can never be true: the rule matches no host",
    "when-always": "`when` can never be false: the rule matches every host",
    "until-never": "`verify.until` can never be true of a row that `when` has let go",
    "until-nothing-new": "a fix that is not safe is proven by the columns of `when` alone",
    "rows-any": "a fix that is not safe counts as proven when its row is gone",
    "match-untested": "the rule fixes, and no case of its tests.yaml has a match",
    "host-barred": "a host can never be reached as it is written",
    "hosts-one-machine": "several names lead to one machine, and each of them is refused",
}
"""Every doubt by its code, in one sentence."""

_NAMED_MAX = 3
_NARROWS = re.compile(r"[!&~*?\[]")
"""What excludes, intersects, or describes names; somebody who writes it means less than all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A doubt, with its code."""

    code: str
    problem: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """
    A rule to look at: its file, its signal, its cases (None: not known).

    `hosts` are those of the inventory that it selects, None without an inventory,
    which has `inventory_hosts` in all.
    """

    rule: Rule
    document: Document
    signal: Signal
    cases: Sequence[Case] | None
    inventory_hosts: int = 0
    hosts: tuple[Host, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    route: Route
    message: str
    cure: str


_Look = Callable[[Subject], _Said | None]


def doubts_of_rule(subject: Subject) -> Iterator[Doubt]:
    """Yield what is doubtful about a rule."""
    for code, look in _LOOKS.items():
        said = look(subject)
        if said is not None:
            place = subject.document.place(said.route)
            yield Doubt(code=code, problem=Problem(place=place, message=said.message, cure=said.cure))


def doubts_of_hosts(inventory: Inventory, without_aliases: Inventory) -> Iterator[Doubt]:
    """
    Yield, for each reason why hosts can never be reached as they are written, these hosts together.

    `without_aliases` is the same inventory in which names of one machine are barred.
    What a warning of the inventory says already is not said again.
    """
    barred: dict[str, list[str]] = {}
    aliases: dict[str, list[str]] = {}
    for name, host in inventory.hosts.items():
        reason = host.connection.barred
        if reason is None and (shared := without_aliases.hosts[name].connection.barred) is not None:
            aliases.setdefault(shared, []).append(name)
        if reason is not None and not _is_warned_of(reason, inventory.warnings):
            barred.setdefault(reason, []).append(name)
    for reason, names in barred.items():
        yield _of_hosts("host-barred", inventory, names, f"{_listed(names)} can never be reached as written: {reason}")
    for reason, names in aliases.items():
        yield _of_hosts("hosts-one-machine", inventory, names, reason)


def _of_hosts(code: str, inventory: Inventory, names: Sequence[str], said: str) -> Doubt:
    """Return a doubt about hosts, at the first place where one of them is named; the cure is what is said last."""
    message, _, cure = said.rpartition("; ")
    place = min(inventory.places.get(name, Place(file=inventory.source)) for name in names)
    problem = Problem(place=place, message=message or cure, cure=cure if message else "")
    return Doubt(code=code, problem=problem)


def _is_warned_of(barred: str, warnings: Sequence[Problem]) -> bool:
    name = re.split(r"\W", barred, maxsplit=1)[0]
    return any(
        f": {name}: " in warning.message and barred.partition("; ")[2] == warning.cure
        for warning in warnings
        if warning.cure
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED_MAX])
    more = len(names) - _NAMED_MAX
    return f"{shown} and {more} more" if more > 0 else shown


def _selects_no_host(subject: Subject) -> _Said | None:
    if subject.hosts is None or subject.hosts:
        return None
    message = f"hosts: '{subject.rule.hosts}' selects no host of the inventory"
    return _Said(route=["hosts"], message=message, cure="correct it, or list the hosts")


def _narrows_nothing(subject: Subject) -> _Said | None:
    hosts = subject.hosts
    if hosts is None or len(hosts) < max(2, subject.inventory_hosts):
        return None
    if subject.rule.hosts.strip() == "*" or not _NARROWS.search(subject.rule.hosts):
        return None
    message = f"hosts: '{subject.rule.hosts}' leaves no host out: it selects all {len(hosts)}"
    return _Said(route=["hosts"], message=message, cure="write all if that is meant")


def _fits_no_platform(subject: Subject) -> _Said | None:
    if not subject.hosts:
        return None
    rule, signal = subject.rule, subject.signal
    platforms = {host.platform for host in subject.hosts}
    found = " and ".join(sorted(platform.value for platform in platforms))
    if not platforms & signal.collect.keys():
        there = " or ".join(sorted(platform.value for platform in signal.collect))
        message = (
            f"hosts: all that it selects are {found}, and the signal {signal.name} has a collector for {there} only"
        )
        return _Said(route=["hosts"], message=message, cure=_platform_cure(platforms))
    if rule.mode is Mode.FIX and not platforms & rule.fix.keys():
        there = " or ".join(sorted(platform.value for platform in rule.fix))
        message = f"fix: all hosts that `hosts` selects are {found}, and there is a fix for {there} only"
        return _Said(route=["fix"], message=message, cure=_platform_cure(platforms))
    return None


def _platform_cure(platforms: set[Platform]) -> str:
    return f"add one for {' and '.join(sorted(platform.value for platform in platforms))}, or select other hosts"


def _never_matches(subject: Subject) -> _Said | None:
    whose = _whose_params(subject, lambda params: not _can([(subject.rule.when, True)], params))
    if whose is None:
        return None
    message = f"when: can never be true{whose}: the rule matches no host"
    return _Said(route=["when"], message=message, cure="two of its parts contradict each other; correct one of them")


def _always_matches(subject: Subject) -> _Said | None:
    whose = _whose_params(subject, lambda params: not _can([(subject.rule.when, False)], params))
    if whose is None:
        return None
    message = f"when: can never be false{whose}: the rule matches every host that can be read"
    return _Said(route=["when"], message=message, cure="compare with what a healthy machine has")


def _never_proves(subject: Subject) -> _Said | None:
    """Decide whether no row can prove a fix; silent where `when` itself is never true, or never false."""
    rule = subject.rule
    if not isinstance(rule.verify, VerifyUntil):
        return None
    until = rule.verify.until

    def is_out_of_reach(params: Params) -> bool:
        return (
            not _can([(rule.when, False), (until, True)], params)
            and _can([(rule.when, False)], params)
            and _can([(rule.when, True)], params)
        )

    whose = _whose_params(subject, is_out_of_reach)
    if whose is None:
        return None
    alone = all(not _can([(until, True)], params) for params, _ in _params_of(subject))
    how = "can never be true" if alone else "can never be true once `when` is false"
    message = f"verify.until: {how}{whose}: no fix would ever count as fixed"
    return _Said(route=["verify", "until"], message=message, cure="write what a mended row looks like")


def _can(wanted: Sequence[tuple[Condition, bool]], params: Params) -> bool:
    trees: list[Wanted] = [(each.tree, want) for each, want in wanted if isinstance(each, CheckedCondition)]
    return len(trees) < len(wanted) or can_hold(trees, params)


def _params_of(subject: Subject) -> list[tuple[Params, tuple[str, ...]]]:
    """Return the parameters that the rule has, each with the hosts that have set them so; its own come with nobody."""
    rule = subject.rule
    hosts = subject.hosts or ()
    own = [host for host in hosts if host.params.get(rule.name)]
    found: list[tuple[Params, list[str]]] = []
    for host in own:
        params = rule.params_for(host)
        names = next((names for known, names in found if known == params), None)
        if names is None:
            found.append((params, [host.name]))
        else:
            names.append(host.name)
    sets = [(params, tuple(names)) for params, names in found]
    return sets if own and len(own) == len(hosts) else [(rule.params, ()), *sets]


def _whose_params(subject: Subject, is_so: Callable[[Params], bool]) -> str | None:
    """Return with whose parameters something is so: '' for those of the rule itself; None when it is never so."""
    sets = _params_of(subject)
    concerned = [names for params, names in sets if is_so(params)]
    if not concerned:
        return None
    if len(concerned) == len(sets) or () in concerned:
        return ""
    return f" with the parameters of {_listed([name for names in concerned for name in names])}"


def _proves_nothing_new(subject: Subject) -> _Said | None:
    rule = subject.rule
    if rule.risk is Risk.SAFE or not isinstance(rule.verify, VerifyUntil):
        return None
    read, proven = _reads(rule.when), _reads(rule.verify.until)
    if not proven or not proven <= read:
        return None
    message = f"verify.until: names no column beyond those of `when`, and the rule is {rule.risk.value}"
    cure = "prove with a column that shows the machine at work again, such as running_s >= 30"
    return _Said(route=["verify", "until"], message=message, cure=cure)


def _reads(condition: Condition) -> frozenset[ColumnRead | OtherRead]:
    if not isinstance(condition, CheckedCondition):
        return frozenset()
    nodes = (node for node, _ in walk(condition.tree))
    return frozenset(node for node in nodes if isinstance(node, (ColumnRead, OtherRead)))


def _proves_by_absence(subject: Subject) -> _Said | None:
    rule, signal = subject.rule, subject.signal
    is_proven = rule.risk is not Risk.SAFE and isinstance(rule.verify, VerifyUntil)
    if not is_proven or signal.rows is not RowPromise.ANY:
        return None
    message = (
        f"signal: {signal.name} has `rows: any`, so a {rule.risk.value} fix after which the row is gone is `fixed`"
    )
    return _Said(route=["signal"], message=message, cure="let the signal print a row in any case, with rows: some")


def _is_untested(subject: Subject) -> _Said | None:
    if subject.rule.mode is not Mode.FIX or subject.cases is None:
        return None
    if any(expected.match for case in subject.cases for expected in case.expect.values()):
        return None
    message = "mode: the rule fixes, and no case of its tests.yaml has a match"
    return _Said(route=["mode"], message=message, cure="add a case with a host that must match")


_LOOKS: Mapping[str, _Look] = {
    "hosts-none": _selects_no_host,
    "hosts-every": _narrows_nothing,
    "platform-none": _fits_no_platform,
    "when-never": _never_matches,
    "when-always": _always_matches,
    "until-never": _never_proves,
    "until-nothing-new": _proves_nothing_new,
    "rows-any": _proves_by_absence,
    "match-untested": _is_untested,
}
