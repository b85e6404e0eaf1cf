"""Which host a person means by a name: clear, ambiguous, unknown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.host_names import hosts_meant

NAMES = ("web-1", "web-2.a.org", "web-3.a.org", "web-3.b.org", "DB-1", "10.0.0.1", "10.0.0.10")


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("web-1", ("web-1",)),
        ("WEB-1", ("web-1",)),
        (" web-1. ", ("web-1",)),
        ("web-1.example.org", ("web-1",)),
        ("Web-2", ("web-2.a.org",)),
        ("web-2.A.org", ("web-2.a.org",)),
        ("web-2.b.org", ()),
        ("web-3", ("web-3.a.org", "web-3.b.org")),
        ("db-1", ("DB-1",)),
        ("db-1.local", ("DB-1",)),
        ("10", ()),
        ("10.0.0", ()),
        ("10.0.0.1", ("10.0.0.1",)),
        ("web", ()),
        ("", ()),
        (".", ()),
    ],
)
def test_host_is_meant_when_it_is_clear(asked: str, meant: tuple[str, ...]) -> None:
    """Case and one side's domain do not count; two domains that differ, and parts of addresses, are never the same."""
    assert hosts_meant(asked, NAMES) == meant


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("192.0.2.7", ("web-1",)),
        ("192.0.2.8", ("DB-1", "web-2.a.org")),
        ("FE80::1", ("web-3.a.org",)),
        ("web-1", ("web-1",)),
        ("", ()),
    ],
)
def test_address_names_the_hosts_that_have_it(asked: str, meant: tuple[str, ...]) -> None:
    """An address leads to its hosts, behind every name; one that is not known leads nowhere."""
    addresses = {
        "web-1": "192.0.2.7",
        "web-2.a.org": "192.0.2.8",
        "DB-1": "192.0.2.8",
        "web-3.a.org": "fe80::1",
        "web-3.b.org": "web-1",
        "10.0.0.1": "",
    }

    assert hosts_meant(asked, NAMES, addresses=addresses) == meant


def test_whole_name_comes_before_one_without_its_domain() -> None:
    """A host of the whole name is meant, though others would be that name with a domain."""
    assert hosts_meant("WEB-1", ("web-1", "web-1.a.org", "web-1.b.org")) == ("web-1",)
    assert hosts_meant("web-1.A.org", ("web-1", "web-1.a.org")) == ("web-1.a.org",)


@given(names=st.lists(st.text("aB1.-", min_size=1, max_size=6), max_size=8), asked=st.text("aB1.-", max_size=6))
def test_what_is_meant_is_known_and_the_name_itself_wins(names: list[str], asked: str) -> None:
    """Only known hosts are meant, in order and once; a name that is known means itself, whatever else is like it."""
    found = hosts_meant(asked, names)

    assert set(found) <= set(names)
    assert list(found) == sorted(set(found))
    assert asked not in names or found == (asked,)
