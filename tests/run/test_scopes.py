"""Which rules look at which hosts: what is named must exist, and nothing widens by mistake."""

from dataclasses import replace

import pytest

from remedy.errors import NothingNamed, Place, Problem, UsageError
from remedy.load.inventory.hosts import Inventory
from remedy.model import Connection, Exemption, Host, Transport
from remedy.run.scopes import choose_rules, choose_scopes, pattern_problems, without_aliases
from tests.run.rules import rule

NAMES = ("db-1", "db-2", "web-1", "web-2")
INVENTORY = Inventory(
    hosts={name: Host(name=name) for name in NAMES},
    groups={"all": NAMES, "db": ("db-1", "db-2"), "web": ("web-1", "web-2"), "empty": (), "ungrouped": ()},
    source="inventory.yaml",
)
RULES = {
    name: replace(rule(name), tags=tags)
    for name, tags in {"low-disk": ("disk",), "old-kernel": ("reboot",), "reboot-due": ("reboot", "disk")}.items()
}


def chosen(*, names=(), tags=()):
    """Return the names of the chosen rules."""
    return [each.name for each in choose_rules(RULES, names=names, tags=tags)]


@pytest.mark.parametrize(
    ("names", "tags", "expected"),
    [
        ((), (), ["low-disk", "old-kernel", "reboot-due"]),
        (("low-disk",), (), ["low-disk"]),
        (("reboot-due", "low-disk", "low-disk"), (), ["low-disk", "reboot-due"]),
        ((), ("reboot",), ["old-kernel", "reboot-due"]),
        ((), ("reboot", "disk"), ["low-disk", "old-kernel", "reboot-due"]),
        (("low-disk", "reboot-due"), ("reboot",), ["reboot-due"]),
    ],
)
def test_rules_are_those_named_that_carry_a_tag(names, tags, expected):
    """Names and tags narrow together; neither asked is all; the order is that of names, each rule once."""
    assert chosen(names=names, tags=tags) == expected


@pytest.mark.parametrize(
    ("names", "tags", "error", "message"),
    [
        (("low-dsk",), (), NothingNamed, "--rule low-dsk: there is no such rule; low-disk?; nobody was contacted"),
        (("low-disk", "nope"), (), NothingNamed, "--rule nope"),
        ((), ("dsk",), NothingNamed, "--tag dsk: there is no such tag; disk?"),
        (("low-disk",), ("reboot",), NothingNamed, "no rule carries"),
        (("",), (), UsageError, "an empty one"),
        ((), ("  ",), UsageError, "an empty one"),
        (("LOW-DISK",), (), NothingNamed, "low-disk?"),
    ],
)
def test_rules_that_are_named_and_are_not_there_are_errors(names, tags, error, message):
    """A rule or tag that exists nowhere is exit 6 with the nearest names; an empty one is a usage error."""
    with pytest.raises(error) as caught:
        choose_rules(RULES, names=names, tags=tags)

    assert message in str(caught.value)
    assert caught.value.exit_code == (6 if error is NothingNamed else 1)


def select(*patterns, limit=None):
    """Return the selection of rules with these patterns."""
    rules = [replace(rule(f"rule-{number}"), hosts=pattern) for number, pattern in enumerate(patterns)]
    return choose_scopes(rules, INVENTORY, limit=limit)


@pytest.mark.parametrize(
    ("pattern", "limit", "expected"),
    [
        ("all", None, ["db-1", "db-2", "web-1", "web-2"]),
        ("web", None, ["web-1", "web-2"]),
        ("all", "web", ["web-1", "web-2"]),
        ("web", "web-1,db-1", ["web-1"]),
        ("all:!db", "all:!web-1", ["web-2"]),
        ("web*", "*-2", ["web-2"]),
        ("web,db-1", "all", ["db-1", "web-1", "web-2"]),
    ],
)
def test_hosts_are_the_rules_own_that_limit_selects_too(pattern, limit, expected):
    """Selected hosts are the intersection of the rule's hosts and --limit; neither can widen the other."""
    selection = select(pattern, limit=limit)

    assert [host.name for host in selection.scopes[0].hosts] == expected
    assert list(selection.hosts) == expected


def test_rule_whose_hosts_limit_leaves_out_is_listed_as_empty():
    """A known but empty intersection is no error: it is listed, and the other rules go on."""
    selection = select("db", "web", limit="web-1")

    assert [scope.rule.name for scope in selection.scopes] == ["rule-1"]
    assert selection.empty == ("rule-0",)


@pytest.mark.parametrize(
    ("pattern", "limit", "error", "message"),
    [
        ("all", "web-9", NothingNamed, "--limit: no host or group is named 'web-9'"),
        ("all", "all:!wbe", NothingNamed, "did you mean web"),
        ("wbe", None, NothingNamed, "rules/flag-high/rule.yaml:1:1: hosts: no host or group is named 'wbe'"),
        ("all", "empty", NothingNamed, "--limit empty leaves no host; nobody was contacted"),
        ("all", "web:&db", NothingNamed, "leaves no host"),
        ("all", "", UsageError, "empty"),
        ("all", ",", UsageError, "empty"),
        ("all", "!web-1", UsageError, "only takes hosts away"),
        ("!web-1", None, UsageError, "only takes hosts away"),
    ],
)
def test_patterns_that_name_nothing_are_errors(pattern, limit, error, message):
    """A term that names nothing, a limit that leaves nobody, a pattern without a positive term: never 'all'."""
    with pytest.raises(error) as caught:
        select(pattern, limit=limit)

    assert message in str(caught.value)


def test_inventory_without_hosts_is_an_error():
    """No hosts at all is exit 6, not a run over nothing that succeeds."""
    nobody = Inventory(hosts={}, groups={"all": (), "ungrouped": ()}, source="x")

    with pytest.raises(NothingNamed, match="the inventory has no hosts"):
        choose_scopes([rule()], nobody, limit=None)


@pytest.mark.parametrize(
    ("limit", "named"),
    [
        (None, ()),
        ("web", ()),
        ("web-1", ("web-1",)),
        ("web-2,web-1", ("web-1", "web-2")),
        ("db:web-1", ("web-1",)),
        ("all:!web-1", ()),
        ("web-*", ()),
    ],
)
def test_named_hosts_are_those_written_out_in_limit(limit, named):
    """Only a host whose very name stands in --limit counts as named; groups, globs and exclusions name nobody."""
    assert select("all", limit=limit).named == named


def test_exemptions_cover_the_names_their_patterns_select():
    """Each exemption's pattern is resolved over the whole inventory, in the order of the exemptions."""
    exempt = tuple(
        Exemption(hosts=pattern, where=None, reason="because", until=None) for pattern in ("db", "web-1", "empty")
    )

    selection = choose_scopes([replace(rule(), exempt=exempt)], INVENTORY, limit="web")

    assert selection.scopes[0].exempt_names == (frozenset({"db-1", "db-2"}), frozenset({"web-1"}), frozenset())


def test_exemption_that_names_nothing_is_an_error():
    """A mistyped exemption would let a fix loose on the host it was meant to spare."""
    exempt = (Exemption(hosts="wbe-1", where=None, reason="because", until=None),)

    with pytest.raises(NothingNamed, match=r"exempt\[0\].hosts: no host or group is named 'wbe-1'"):
        choose_scopes([replace(rule(), exempt=exempt)], INVENTORY, limit=None)


def test_pattern_problems_have_each_pattern_at_its_own_place():
    """What a rule's hosts and its exemptions name wrongly is told once, where it stands, with the nearest names."""
    there = Place(file="rule.yaml", line=17, column=12)
    exempt = (
        Exemption(hosts="web", where=None, reason="because", until=None),
        Exemption(hosts="wbe-1,xyz", where=None, reason="because", until=None, hosts_place=there),
    )
    wrong = replace(rule(), hosts="webb", hosts_place=Place(file="rule.yaml", line=7, column=8), exempt=exempt)

    assert pattern_problems(wrong, INVENTORY) == (
        Problem(
            place=Place(file="rule.yaml", line=7, column=8),
            message="hosts: no host or group is named 'webb'",
            cure="did you mean web or web-2 or web-1?",
        ),
        Problem(
            place=there,
            message="exempt[1].hosts: no host or group is named 'wbe-1'",
            cure="did you mean web-1 or db-1 or web-2?",
        ),
        Problem(
            place=there,
            message="exempt[1].hosts: no host or group is named 'xyz'",
            cure="`remedy inventory` lists what there is",
        ),
    )
    assert pattern_problems(replace(wrong, hosts="web", exempt=()), INVENTORY) == ()


def test_exemption_is_refused_at_its_own_place():
    """A run that would start with a mistyped exemption names the exemption's own line."""
    there = Place(file="rule.yaml", line=17, column=12)
    exempt = (Exemption(hosts="wbe-1", where=None, reason="because", until=None, hosts_place=there),)

    with pytest.raises(NothingNamed, match=r"^rule.yaml:17:12: exempt\[0\].hosts: no host"):
        choose_scopes([replace(rule(), exempt=exempt)], INVENTORY, limit=None)


def test_second_name_of_a_machine_bars_both():
    """Two names with one address and port are barred, also when only one of them would be selected; others are not."""
    hosts = {
        "db-1": Host(name="db-1", connection=Connection(address="192.0.2.1")),
        "alias": Host(name="alias", connection=Connection(address="192.0.2.1", port=22)),
        "jump": Host(name="jump", connection=Connection(address="192.0.2.1", port=2222)),
        "web-1": Host(name="web-1"),
        "WEB-1.": Host(name="WEB-1.", connection=Connection(address="WEB-1")),
        # http and https of one WinRM service.
        "win-1": Host(name="win-1", transport=Transport.WINRM, connection=Connection(address="192.0.2.9", port=5985)),
        "win-2": Host(name="win-2", transport=Transport.WINRM, connection=Connection(address="192.0.2.9", port=5986)),
    }

    found = without_aliases(Inventory(hosts=hosts, groups={}, source="x")).hosts

    barred = {name: host.connection.barred for name, host in found.items() if host.connection.barred}
    assert set(barred) == {"db-1", "alias", "web-1", "WEB-1.", "win-1", "win-2"}
    assert barred["db-1"] == "alias, db-1 all lead to one machine; keep one name for each machine"
