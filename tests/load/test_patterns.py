"""Host patterns: what they name, in whatever order, and what is refused."""

import time
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remedy.errors import NothingNamed, UsageError
from remedy.load import Inventory, select
from remedy.load.inventory import check_pattern
from remedy.load.inventory.hosts import Order
from remedy.load.inventory.ranges import host_term
from remedy.load.inventory.terms import read_term
from remedy.model import Host

GROUPS = {
    "all": ("db-1", "fe80::1", "web-1", "web-2", "web-3"),
    "ungrouped": ("fe80::1",),
    "web": ("web-1", "web-2", "web-3"),
    "db": ("db-1",),
    "dc1": ("db-1", "web-1"),
    "empty": (),
}
INVENTORY = Inventory(hosts={name: Host(name=name) for name in GROUPS["all"]}, groups=GROUPS, source="test")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("all", "db-1 fe80::1 web-1 web-2 web-3"),
        ("*", "db-1 fe80::1 web-1 web-2 web-3"),
        ("web-1", "web-1"),
        ("web", "web-1 web-2 web-3"),
        ("web,db", "db-1 web-1 web-2 web-3"),
        ("web:db", "db-1 web-1 web-2 web-3"),
        (" web , db ", "db-1 web-1 web-2 web-3"),
        ("web:&dc1", "web-1"),
        ("web,&dc1", "web-1"),
        ("web:!dc1", "web-2 web-3"),
        ("web,!web-2", "web-1 web-3"),
        ("!web-2:web", "web-1 web-3"),
        ("&dc1:web:db", "db-1 web-1"),
        ("!web-1:&dc1:web:db", "db-1"),
        ("web-*", "web-1 web-2 web-3"),
        ("w?b", "web-1 web-2 web-3"),
        ("web-[12x]", "web-1 web-2"),
        ("*-1:!web*", "db-1"),
        ("fe80::1", "fe80::1"),
        ("fe80::1,web-1", "fe80::1 web-1"),
        ("all,!fe80::1", "db-1 web-1 web-2 web-3"),
        ("ungrouped", "fe80::1"),
        ("empty", ""),
        ("web:&db", ""),
        ("web:&empty", ""),
        ("~w", "web-1 web-2 web-3"),
        ("~.*-1$", "db-1 web-1"),
        ("~^(web|db)-[12]$", "db-1 web-1 web-2"),
        ("all:!~.*-[13]", "fe80::1 web-2"),
        ("dc1:&~web.+", "web-1"),
        ("web[0]", "web-1"),
        ("web[-1]", "web-3"),
        ("web[-3]", "web-1"),
        ("web[0:1]", "web-1 web-2"),
        ("web[1:]", "web-2 web-3"),
        ("web[2:9]", "web-3"),
        ("web:!web[0]", "web-2 web-3"),
        ("web[0:1]:&dc1", "web-1"),
        ("web-1[0]", "web-1"),
        ("w*[0:1],db[0]", "db-1 web-1 web-2"),
    ],
)
def test_pattern_names_its_hosts(pattern: str, names: str) -> None:
    """Unions first, then intersections, then exclusions; names are sorted, and may be none."""
    assert select(pattern, INVENTORY, what="--limit") == tuple(names.split())


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "--limit: the host pattern is empty"),
        ("  ", "--limit: the host pattern is empty"),
        (",", "--limit: the host pattern is empty"),
        (" :,: ", "--limit: the host pattern is empty"),
        ("web:", "has an empty term"),
        ("web,,db", "has an empty term"),
        ("web:!", "has an empty term"),
        ("web,&", "has an empty term"),
        ("!web", "only takes hosts away; say first from which, such as 'all:!web'"),
        ("&web", "only takes hosts away"),
        ("!web:&db", "only takes hosts away"),
        ("~", "'~' needs a regular expression behind it"),
        ("all:!~web(", "'~web(' is no regular expression: missing ), unterminated subpattern"),
        ("~(?:web|db)", "',' and ':' stand between terms, also in a regular expression"),
        ("~(web|db)+", "repeats what has a choice in it, which may take for ever"),
        ("~((a+)b)*", "repeats what has a choice in it"),
        ("~" + "a?" * 13, "more than 6 repetitions or 12 options"),
        ("~" + "a*" * 7, "more than 6 repetitions or 12 options"),
        ("~" + "a" * 201, "may have 200 characters"),
        ("web[2:1]", "the subscript of 'web[2:1]' ends before it begins; turn it round"),
        ("web[9999999999]", "is too large a number"),
        ("web[0-9]", "'web[0-9]' could be a subscript or a set of characters; write [0:9] for the first ten hosts"),
        ("web[1-]", "could be a subscript"),
        ("web[1,2]", "has a ',' in brackets"),
        ("web-[a:c]", "'web-[a:c]' has a range in it, and ranges stand in inventories only; write web-a:web-b:web-c"),
        ("all:!web-[a:c]", "'web-[a:c]' has a range in it, and ranges stand in inventories only; write !web-a:!web-b:"),
        ("all:&web-[a:c]", "has a range in it, and ranges stand in inventories only; write the name of their group"),
        ("web-[a:f:2]", "; write web-a:web-c:web-e"),
        ("web-[01:03]", "; write web-01:web-02:web-03"),
        ("web[01:10]", "; write the name of their group, or a glob that names no others"),
        ("web-[1:3].example.org", "; write web-1.example.org:web-2.example.org:web-3.example.org"),
        ("web-[1:2][0]", "has a range in it"),
        ("web-[:c]", "has a ':' in brackets; a set of characters is such as [abc], and a subscript such as [0:2]"),
        ("web-[a:z:0]", "has a ':' in brackets; a set of characters is such as [abc], and a subscript such as [0:2]"),
        ("web-[!1:]", "has a ':' in brackets"),
        ("[fe80::1]", "has a ':' in brackets; write the address without them"),
        ("~web-[a:c]$", "has a range in it, and ranges stand in inventories only; write a set of characters such as"),
        ("~web-[01:10]", "has a range in it"),
        ("{{ target }}", "templates such as"),
        ("!!web,all", "cannot be read"),
        ("web:!@x", "cannot be read"),
        ("@not-there.txt", "there is no file 'not-there.txt'"),
    ],
)
def test_pattern_that_cannot_be_read_is_refused(pattern: str, message: str) -> None:
    """An empty pattern, one without a positive term, or an unsupported form is a usage error that says where."""
    with pytest.raises(UsageError) as caught:
        select(pattern, INVENTORY, what="--limit")

    assert str(caught.value).startswith("--limit: ")
    assert message in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("wbe-1", "r.yaml:7:8: hosts: no host or group is named 'wbe-1'; did you mean web-1"),
        ("all:!wbe", "no host or group is named 'wbe'; did you mean web"),
        ("all:&qqqq", "no host or group is named 'qqqq'; `remedy inventory` lists what there is"),
        ("web-9*", "no host or group is named 'web-9*'"),
        ("WEB", "no host or group is named 'WEB'; did you mean web"),
        ("all web", "no host or group is named 'all web'"),
        ("~eb-1", "no host or group is named '~eb-1'; `remedy inventory` lists what there is"),
        ("web[3]", "'web[3]' names nothing; web has 3 hosts, counted from 0"),
        ("web[-4]", "'web[-4]' names nothing; web has 3 hosts"),
        ("web[3:5]", "'web[3:5]' names nothing; web has 3 hosts"),
        ("all:!empty[0]", "'empty[0]' names nothing; empty has 0 hosts"),
        ("wbe[0]", "no host or group is named 'wbe[0]'; did you mean web"),
        (
            "web-[1:3],db",
            (
                "no group is named 'web-', of which [1:3] would take some hosts, and ranges stand in inventories only; "
                "write web-1:web-2:web-3"
            ),
        ),
        ("all:!web-[1:2]", "; write !web-1:!web-2"),
        ("all:!wbe[1:30]", "no host or group is named 'wbe[1:30]'; did you mean web"),
        ("web-[1:30]", "; write the name of their group, or a glob that names no others"),
        ("web-9[1:]", "no host or group is named 'web-9[1:]'"),
        ("web:\x1b[2J", "no host or group is named '\\x1b[2J'"),
    ],
)
def test_term_that_names_nothing_is_refused(pattern: str, message: str) -> None:
    """A term that names nothing is exit code 6 with the nearest names, also where it takes away."""
    with pytest.raises(NothingNamed) as caught:
        select(pattern, INVENTORY, what="r.yaml:7:8: hosts")

    assert message in str(caught.value)
    assert caught.value.exit_code == 6


LETTERED = Inventory(
    hosts={f"db-{each}": Host(name=f"db-{each}") for each in "abc"},
    groups={"all": ("db-a", "db-b", "db-c"), "ungrouped": (), "db": ("db-a", "db-b", "db-c")},
    source="test",
)


@pytest.mark.parametrize("pattern", ["db-[a:c]", "all:!db-[a:c]", "db:&db-[a:c]", "~db-[a:c]", "db-*,!db-[a:b]"])
def test_range_of_an_inventory_is_never_a_set_of_characters(pattern: str) -> None:
    """`db-[a:c]` gives three hosts in an inventory, so a pattern must not take two of them, nor leave one behind."""
    with pytest.raises(UsageError, match="has a range in it, and ranges stand in inventories only"):
        select(pattern, LETTERED, what="--limit")
    with pytest.raises(UsageError, match="has a range in it"):
        check_pattern(pattern)
    assert select("db-[abc]:!db-[a-b]", LETTERED, what="--limit") == ("db-c",)


@given(st.sampled_from(["1:3", "01:03", "a:c", "x:z", "1:9:2", "a:f:2", "08:10", "0:1"]), st.sampled_from(["", ".x"]))
def test_names_for_a_range_are_those_that_the_inventory_makes_of_it(bounds: str, end: str) -> None:
    """What is to be written in place of a range names exactly the hosts that an inventory makes of it."""
    names = tuple(host_term(f"n-[{bounds}]{end}").names())
    hosts = {name: Host(name=name) for name in names}
    inventory = Inventory(hosts=hosts, groups={"all": names, "ungrouped": names}, source="test")
    with pytest.raises((UsageError, NothingNamed)) as caught:
        select(f"n-[{bounds}]{end}", inventory, what="x")

    assert select(str(caught.value).rpartition("; write ")[2], inventory, what="x") == tuple(sorted(names))


def test_all_unknown_terms_are_named_together() -> None:
    """Two mistyped terms are two lines of one message."""
    with pytest.raises(NothingNamed) as caught:
        select("wbe-1,dbb", INVENTORY, what="--limit")

    assert len(str(caught.value).splitlines()) == 2


def test_cases_may_name_what_is_not_there() -> None:
    """With must_exist false an unknown term names nobody, and the rest still counts."""
    assert select("all:!archive01", INVENTORY, what="case", must_exist=False) == GROUPS["all"]
    assert select("archive01", INVENTORY, what="case", must_exist=False) == ()
    assert select("web[7],~nobody,db", INVENTORY, what="case", must_exist=False) == ("db-1",)


def test_subscripts_count_in_the_order_of_the_files() -> None:
    """With an order, a group's own hosts come first, then those of its children, level by level."""
    order = Order(
        hosts=("z", "y", "x", "w"),
        direct={"all": (), "ungrouped": ("w",), "g": ("z",), "late": ("x",), "early": ("y", "z")},
        children={"all": ("ungrouped", "g"), "ungrouped": (), "g": ("late", "early"), "late": (), "early": ()},
    )
    groups = {
        "all": ("w", "x", "y", "z"),
        "ungrouped": ("w",),
        "g": ("x", "y", "z"),
        "late": ("x",),
        "early": ("y", "z"),
    }
    inventory = Inventory(hosts={name: Host(name=name) for name in "wxyz"}, groups=groups, source="x", order=order)
    chosen = [
        select(f"{group}[{at}]", inventory, what="x") for group in ("g", "all") for at in range(len(groups[group]))
    ]

    assert [name for [name] in chosen] == ["z", "x", "y", "w", "z", "x", "y"]


@given(st.text(alphabet="ab(|)*+?{1,9}[^]\\.$", max_size=60))
@settings(deadline=2_000)
def test_expression_is_slow_for_no_name(text: str) -> None:
    """Whatever expression is taken, a long name that nearly matches is answered soon."""
    try:
        term = read_term("~" + text)
    except UsageError:
        return
    assert term.expression is not None
    started = time.process_time()
    for name in ("a" * 60 + "!", "ab" * 30 + "!"):
        term.expression.match(name)

    assert time.process_time() - started < 1


def test_file_holds_terms_a_line(tmp_path: Path) -> None:
    """`@file` adds the patterns of its lines; comments and empty lines are nothing."""
    file = tmp_path / "hosts.txt"
    file.write_text("# tonight\nweb-1\n\nweb-2  # slow\n!web-2\nfe80::1\n")

    assert select(f"@{file}", INVENTORY, what="--limit") == ("fe80::1", "web-1")
    assert select(f"db,@{file}", INVENTORY, what="--limit") == ("db-1", "fe80::1", "web-1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "names no host"),
        (b"# nobody\n\n", "names no host"),
        (b"!web-1\n", "only takes hosts away"),
        (b"@other.txt\n", "cannot be read"),
        (b"\xff\n", "is not UTF-8"),
    ],
)
def test_file_that_names_nobody_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """An empty file, one that only takes away, or one that names another file is a usage error."""
    file = tmp_path / "hosts.txt"
    file.write_bytes(content)

    with pytest.raises(UsageError, match=message):
        select(f"@{file}", INVENTORY, what="--limit")


def test_rule_may_not_name_a_file() -> None:
    """A rule's hosts must not depend on a file beside it."""
    with pytest.raises(UsageError, match="are for --limit"):
        check_pattern("web,@hosts.txt", files=False)
    check_pattern("@hosts.txt")


_NAMES = st.sampled_from([*GROUPS["all"], *GROUPS, "web-*", "*"])
_SIGNED = st.lists(st.tuples(st.sampled_from(["", "&", "!"]), _NAMES), min_size=1, max_size=6)


@given(_SIGNED, st.randoms(use_true_random=False))
def test_order_of_terms_does_not_matter(terms: list[tuple[str, str]], random: Random) -> None:
    """The same terms in another order name the same hosts, and exclusions always win."""
    terms = [*terms, ("", "all")]
    shuffled = random.sample(terms, len(terms))

    first = select(",".join(sign + name for sign, name in terms), INVENTORY, what="x")
    second = select(",".join(sign + name for sign, name in shuffled), INVENTORY, what="x")

    assert first == second
    for sign, name in terms:
        if sign == "!":
            assert not set(first) & set(select(name, INVENTORY, what="x"))


@given(_SIGNED, st.permutations(list(GROUPS["all"])))
def test_order_of_the_inventory_does_not_matter(terms: list[tuple[str, str]], names: list[str]) -> None:
    """The answer is sorted and does not depend on the order in which hosts and groups are held."""
    turned = Inventory(
        hosts={name: Host(name=name) for name in names},
        groups={name: tuple(reversed(GROUPS[name])) for name in reversed(GROUPS)},
        source="turned",
    )
    pattern = ",".join(["all", *(sign + name for sign, name in terms)])

    assert select(pattern, turned, what="x") == select(pattern, INVENTORY, what="x")


@given(st.text(max_size=30))
def test_any_text_is_hosts_or_an_error_of_ours(pattern: str) -> None:
    """No text makes the selection fail in another way than with its own errors."""
    try:
        names = select(pattern, INVENTORY, what="x")
    except (UsageError, NothingNamed):
        return
    assert set(names) <= set(GROUPS["all"])
