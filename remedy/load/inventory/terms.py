"""One term of a host pattern, read: a sign, then a name, glob or regular expression, perhaps with a subscript."""

import re
import warnings
from dataclasses import dataclass

from remedy.errors import UsageError
from remedy.load.inventory.ranges import host_term
from remedy.text import untrusted

__all__ = ["Subscript", "Term", "range_cure", "read_term"]

_SUBSCRIPT = re.compile(r"(?P<name>.+)\[(?:(?P<one>-?[0-9]+)|(?P<first>[0-9]+):(?P<last>[0-9]*))\]", re.DOTALL)
_OLD_SUBSCRIPT = re.compile(r".+\[[0-9]+-[0-9]*\]", re.DOTALL)
_RANGE = re.compile(r"\[(?:[0-9]*:[0-9]+|[A-Za-z]:[A-Za-z])(?::[0-9]*[1-9][0-9]*)?\]")
_COLON = re.compile(r"\[[^\[\]]*:[^\[\]]*\]")
_PADDED = re.compile(r"0[0-9]+")
_NAMES_MAX = 5
"""So many names are written out in place of a range."""
_INDEX_DIGITS_MAX = 9
_TEMPLATE = re.compile(r"\{\{|\{%")
_EXPRESSION_CHARACTERS_MAX = 200
_REPEATS_MAX = 6
_QUANTIFIERS_MAX = 12
_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<open>\((?:\?(?:P<\w*>|[^()\w]*))?)|(?P<close>\))|(?P<or>\|)"
    r"|(?P<quantifier>(?:[*+?]|\{[0-9]*,?[0-9]*\})[?+]?)|.",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscript:
    """Which hosts of a group: from the first to the last of these, both counted from 0; or one, -1 the last."""

    first: int
    last: int | None = None
    is_one: bool = False

    def of(self, hosts: list[str]) -> list[str]:
        """Return the hosts that it takes; none when there are not so many."""
        if self.is_one:
            return [hosts[self.first]] if -len(hosts) <= self.first < len(hosts) else []
        return hosts[self.first :] if self.last is None else hosts[self.first : self.last + 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """
    One term: '' adds, '&' keeps only, '!' takes away.

    `name` is what is written, `expressed` that without its subscript; an
    `expression` matches from the start of a name.
    """

    sign: str
    name: str
    expressed: str
    subscript: Subscript | None = None
    expression: re.Pattern[str] | None = None


def read_term(piece: str) -> Term:
    """
    Return a term of a pattern.

    Raises:
        UsageError: it cannot be read; the message says what to write.
    """
    sign = piece[0] if piece[0] in "!&" else ""
    name = piece[len(sign) :].strip()
    shown = untrusted(name, characters_max=80)
    if name.startswith(("!", "&", "@")):
        raise UsageError(f"'{untrusted(piece, characters_max=80)}' cannot be read; write one sign and a name")
    if _TEMPLATE.search(name):
        raise UsageError(f"templates such as '{shown}' are not supported; write the names")
    if name.startswith("~"):
        return Term(sign=sign, name=name, expressed=name, expression=_expression(name[1:], shown))
    if _OLD_SUBSCRIPT.fullmatch(name):
        cure = "write [0:9] for the first ten hosts, or a glob such as web[0-9]*"
        raise UsageError(f"'{shown}' could be a subscript or a set of characters; {cure}")
    if "," in name:
        raise UsageError(f"'{shown}' has a ',' in brackets, and ',' stands between terms; write the names")
    found = _SUBSCRIPT.fullmatch(name)
    if found is not None and any(each and _PADDED.fullmatch(each) for each in (found["first"], found["last"])):
        found = None
    _refuse_range(sign, name, before=name if found is None else found["name"])
    if found is None:
        return Term(sign=sign, name=name, expressed=name)
    return Term(sign=sign, name=name, expressed=found["name"], subscript=_subscript(found, shown))


def range_cure(sign: str, name: str) -> str:
    """Return what to write in place of a term with a range: its names, where they are few."""
    try:
        term = host_term(name)
    except ValueError:
        term = None
    # Each '&' keeps only its own hosts, so several of them keep none.
    if term is None or sign == "&" or term.count > _NAMES_MAX:
        return "write the name of their group, or a glob that names no others"
    return f"write {untrusted(':'.join(f'{sign}{each}' for each in term.names()), characters_max=400)}"


def _refuse_range(sign: str, name: str, *, before: str) -> None:
    """
    Refuse a ':' in brackets, but for the subscript behind `before`.

    To Ansible `db-[a:c]` is a glob: it takes db-a and db-c, and leaves db-b behind.
    """
    if _COLON.search(before) is None:
        return
    shown = untrusted(name, characters_max=80)
    if _RANGE.search(before) is not None:
        raise UsageError(f"'{shown}' has a range in it, and ranges stand in inventories only; {range_cure(sign, name)}")
    cure = "a set of characters is such as [abc], and a subscript such as [0:2]"
    if name.startswith("[") and name.count(":") > 1:
        cure = "write the address without them"
    raise UsageError(f"'{shown}' has a ':' in brackets; {cure}")


def _subscript(found: re.Match[str], shown: str) -> Subscript:
    if any(each and len(each) > _INDEX_DIGITS_MAX for each in (found["one"], found["first"], found["last"])):
        raise UsageError(f"the subscript of '{shown}' is too large a number")
    if found["one"] is not None:
        return Subscript(first=int(found["one"]), is_one=True)
    last = int(found["last"]) if found["last"] else None
    first = int(found["first"])
    if last is not None and last < first:
        raise UsageError(f"the subscript of '{shown}' ends before it begins; turn it round")
    return Subscript(first=first, last=last)


def _expression(text: str, shown: str) -> re.Pattern[str]:
    if not text:
        raise UsageError("'~' needs a regular expression behind it, such as ~web[0-9]+")
    if len(text) > _EXPRESSION_CHARACTERS_MAX:
        raise UsageError(f"a regular expression may have {_EXPRESSION_CHARACTERS_MAX} characters; write a shorter one")
    if _RANGE.search(text):
        cure = "write a set of characters such as [a-c], or the cases with | between them"
        raise UsageError(f"'{shown}' has a range in it, and ranges stand in inventories only; {cure}")
    _refuse_slow(text, shown)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(text)
    except (re.error, OverflowError, RecursionError) as exc:
        cure = "',' and ':' stand between terms, also in a regular expression"
        raise UsageError(
            f"'{shown}' is no regular expression: {untrusted(str(exc), characters_max=80)}; {cure}"
        ) from None


def _refuse_slow(text: str, shown: str) -> None:
    """Refuse what could take for ever on a long name: choices inside of a repetition, or too many of them."""
    choices = [False]
    closed = False
    repeats = quantifiers = 0
    for token in _TOKEN.finditer(text):
        was_closed, closed = closed, False
        match token.lastgroup:
            case "open":
                choices.append(False)
            case "close" if len(choices) > 1:
                closed = choices.pop()
                choices[-1] = choices[-1] or closed
            case "or":
                choices[-1] = True
            case "quantifier":
                choices[-1] = True
                quantifiers += 1
                repeats += token[0][0] != "?"
                if was_closed and token[0][0] != "?":
                    cure = "write the cases out, or a glob"
                    raise UsageError(f"'{shown}' repeats what has a choice in it, which may take for ever; {cure}")
    if repeats > _REPEATS_MAX or quantifiers > _QUANTIFIERS_MAX:
        raise UsageError(f"'{shown}' has more than {_REPEATS_MAX} repetitions or {_QUANTIFIERS_MAX} options in all")
