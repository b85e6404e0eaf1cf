"""
What stands for a host in an inventory: a name, perhaps with a port, or a range of names.

`web[01:10:2].example.org`, `db-[a:f]`, `web-1:2222`, `[2001:db8::1]:22`. How many
names there are is known before the first of them is made.
"""

import ipaddress
import itertools
import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["RANGE_HOSTS_MAX", "HostTerm", "host_term"]

RANGE_HOSTS_MAX = 16_384
"""How many hosts one entry may stand for."""

_PORT_IN_BRACKETS = re.compile(r"\[(?P<name>.+)\]:(?P<port>[0-9]+)")
_PORT = re.compile(r"(?P<name>(?:[^:\[\]]|\[[^\]]*\])*):(?P<port>[0-9]+)")
_LABELS = re.compile(r"\w[\w-]*(?<![_-])(?:\.\w[\w-]*(?<![_-]))*")
_RANGE = re.compile(r"\[([^\[\]]*)\]")
_NUMBERS = re.compile(r"[0-9]{1,18}")
_PORT_MAX = 65_535
_LETTERS = string.ascii_letters


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTerm:
    """
    The names an entry stands for, and the port that it says.

    `pieces` are what is written and the texts of its ranges, in turn.
    """

    count: int
    port: int | None
    pieces: tuple[str | Sequence[str], ...]

    @property
    def is_range(self) -> bool:
        """Whether there are brackets, even if they stand for one name only."""
        return len(self.pieces) > 1

    @property
    def first(self) -> str:
        """The first of the names, by which all are known to be well formed."""
        return "".join(piece if isinstance(piece, str) else piece[0] for piece in self.pieces)

    def names(self) -> Iterator[str]:
        """Yield the names, the last range turning fastest."""
        columns = ([piece] if isinstance(piece, str) else piece for piece in self.pieces)
        for parts in itertools.product(*columns):
            yield "".join(parts)


class _Span(Sequence[str]):
    """The texts of one range; none is made before it is asked for."""

    def __init__(self, values: range, *, width: int, letters: str = "") -> None:
        self._values = values
        self._width = width
        self._letters = letters

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: int) -> str:  # type: ignore[override]
        value = self._values[index]
        return self._letters[value] if self._letters else str(value).zfill(self._width)


def host_term(text: str) -> HostTerm:
    """
    Return what an entry stands for.

    Raises:
        ValueError: a range, port or address that cannot be; the message says what and the cure after '; '.
    """
    name, port = _without_port(text)
    pieces: list[str | Sequence[str]] = []
    count = 1
    at = 0
    for found in _RANGE.finditer(name):
        span = _span(found[1])
        count *= len(span)
        if count > RANGE_HOSTS_MAX:
            raise ValueError(f"stands for more than {RANGE_HOSTS_MAX} hosts; write a smaller range")
        pieces += [name[at : found.start()], span]
        at = found.end()
    pieces.append(name[at:])
    if any(isinstance(piece, str) and ("[" in piece or "]" in piece) for piece in pieces):
        raise ValueError("has a bracket without its other half; a range is such as web[1:9]")
    if ":" in "".join(piece for piece in pieces if isinstance(piece, str)):
        _check_address(name, is_range=len(pieces) > 1)
    return HostTerm(count=count, port=port, pieces=tuple(pieces))


def _without_port(text: str) -> tuple[str, int | None]:
    found = _PORT_IN_BRACKETS.fullmatch(text) or _PORT.fullmatch(text)
    if found is None:
        if text.endswith(":") and not text.endswith("::"):
            raise ValueError("ends in ':' and says no port; remove it, or write one such as web-1:2222")
        return text, None
    digits = found["port"]
    port = int(digits) if len(digits) <= 5 else 0
    if not 0 < port <= _PORT_MAX or digits[0] == "0":
        raise ValueError("says a port that cannot be; write one from 1 to 65535")
    name = found["name"]
    if ":" not in name and not _LABELS.fullmatch(_RANGE.sub("0", name)):
        raise ValueError("says a port, and its name has a part that begins or ends in '-' or '_'; write ansible_port")
    return name, port


def _check_address(name: str, *, is_range: bool) -> None:
    if is_range:
        raise ValueError("is a range of IPv6 addresses, which is not supported; write each of them")
    try:
        ipaddress.IPv6Address(name)
    except ValueError:
        raise ValueError("is no IPv6 address, and a port stands last, such as web-1:2222") from None


def _span(bounds: str) -> _Span:
    parts = bounds.split(":")
    shown = "a range is such as [1:9], [01:10:2] or [a:f]"
    if len(parts) not in {2, 3} or not parts[1]:
        raise ValueError(f"has a range without begin and end; {shown}")
    begin, end = parts[0] or "0", parts[1]
    step = parts[2] if len(parts) == 3 else "1"
    if not _NUMBERS.fullmatch(step) or int(step) == 0:
        raise ValueError(f"has a range whose step is no whole number above 0; {shown}")
    if _NUMBERS.fullmatch(begin) and _NUMBERS.fullmatch(end):
        span = _numbers(begin, end, int(step))
    elif len(begin) == len(end) == 1 and begin in _LETTERS and end in _LETTERS:
        values = range(_LETTERS.index(begin), _LETTERS.index(end) + 1, int(step))
        span = _Span(values, width=0, letters=_LETTERS)
    else:
        raise ValueError(f"has a range of something else than whole numbers or single letters; {shown}")
    if not span:
        raise ValueError("has a range that ends before it begins; turn it round")
    return span


def _numbers(begin: str, end: str, step: int) -> _Span:
    width = len(begin) if begin[0] == "0" and len(begin) > 1 else 0
    if width and width != len(end):
        raise ValueError(f"has a range from {begin} to {end}, of unequal length; write both with as many digits")
    return _Span(range(int(begin), int(end) + 1, step), width=width)
