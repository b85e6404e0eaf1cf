"""Which host a person means, who types a name as they know it: without case, with or without its domain, an address."""

import re
from collections.abc import Iterable, Mapping

__all__ = ["hosts_meant"]

_ADDRESS = re.compile(r"[0-9.]+|.*:.*")
"""What looks like an IP address has no domain that could be left out."""


def hosts_meant(asked: str, names: Iterable[str], *, addresses: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """
    Return the hosts that a name may mean, sorted: one when it is clear, several when it is not, none of an unknown one.

    The name itself comes first; then the same without case; then a name that is the
    other one without its domain (`web-1` and `web-1.example.org`, never two domains that
    differ); then, of `addresses` by host, the same address.
    """
    known = sorted(set(names))
    if asked in known:
        return (asked,)
    wanted, places = _folded(asked), addresses or {}
    alike = tuple(name for name in known if _folded(name) == wanted)
    shorter = tuple(name for name in known if wanted in _shorter(name) or _folded(name) in _shorter(asked))
    there = tuple(name for name in known if wanted and _folded(places.get(name, "")) == wanted)
    return alike or shorter or there


def _folded(name: str) -> str:
    return name.strip().casefold().removesuffix(".")


def _shorter(name: str) -> tuple[str, ...]:
    """Return a name without its domain; nothing of one without, or of an address."""
    folded = _folded(name)
    host, dot, _ = folded.partition(".")
    return (host,) if dot and host and not _ADDRESS.fullmatch(folded) else ()
