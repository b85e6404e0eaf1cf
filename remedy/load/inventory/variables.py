"""One host's effective variables, read by name: what is not supported bars the host, what is wrong is a problem."""

import re
from collections.abc import Callable, Mapping

from remedy.errors import Problem
from remedy.load.inventory.graph import Variable
from remedy.load.inventory.references import PRIVATE_KEY, REFERENCE_CURE, is_reference, is_template, nearly_reference
from remedy.load.nodes import ListNode, MappingNode, Node, OpaqueNode, ScalarNode, ScalarValue
from remedy.load.scalars import doubt_cure
from remedy.text import nearest, untrusted

__all__ = ["HostVariables", "shown_name"]

_ADDRESS = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]{0,252}")
_USER = re.compile(r"[^\s\x00-\x1f\x7f-][^\x00-\x1f\x7f]{0,255}")
_PATH = re.compile(r"(?:/|~/)[^\x00-\x1f\x7f]{1,4094}")
_FILE = re.compile(r"[^\x00-\x1f\x7f]{1,4096}")
_LITERAL = "a literal secret stands in the inventory and is never used"


def shown_name(name: str) -> str:
    """Return a text of an inventory as a message may show it."""
    return untrusted(name, characters_max=60)


class HostVariables:
    """
    One host's variables, by their names; several names are aliases, of which the first that is set counts.

    `barred` has the reasons why the host must be refused. Problems and warnings are
    those of the whole inventory, and stand at the place of a variable.
    """

    def __init__(
        self, variables: Mapping[str, Variable], *, problems: list[Problem], warnings: dict[Problem, None]
    ) -> None:
        self.barred: list[str] = []
        self._variables = variables
        self._problems = problems
        self._warnings = warnings

    def wrong(self, name: str, message: str, cure: str = "") -> None:
        """Add a problem with the value of a variable."""
        self._problems.append(self._variables[name].problem(message, cure))

    def warn(self, name: str, message: str, cure: str = "") -> None:
        """Add a warning about the value of a variable; once, however many hosts inherit it."""
        self._warnings[self._variables[name].problem(message, cure)] = None

    def has(self, names: tuple[str, ...]) -> bool:
        """Say whether one of the names is set, to whatever."""
        return any(not _is_unset(self._variables.get(name)) for name in names)

    def text(self, names: tuple[str, ...]) -> str | None:
        """Return the text under the first of the names that is set."""
        found = self._one_value(names)
        if found is None:
            return None
        variable, value = found
        if not isinstance(value, str):
            self._problems.append(variable.problem("must be text", variable.text_cure))
            return None
        return value

    def matching(self, names: tuple[str, ...], form: re.Pattern[str], what: str) -> str | None:
        """Return the text under the first of the names that is set; another form is a problem."""
        value = self.text(names)
        if value is not None and not form.fullmatch(value):
            variable = self._found(names)
            if variable is not None:
                self._problems.append(variable.problem(f"'{shown_name(value)}' is not {what}"))
            return None
        return value

    def is_word(self, name: str, word: str) -> bool:
        """Say whether a variable is this word."""
        variable = self._variables.get(name)
        return variable is not None and _scalar(variable) == word

    def choice(self, name: str, known: tuple[str, ...]) -> str | None:
        """Return which of the known words a variable is; another one is a problem."""
        value = self.text((name,))
        if value is None or value in known:
            return value
        near = nearest(value, known, most=1)
        cure = f"did you mean `{near[0]}`?" if near else ""
        self.wrong(name, f"must be {' or '.join(known)}, not '{shown_name(value)}'", cure)
        return None

    def words(self, name: str) -> tuple[str, ...]:
        """Return the words of a variable: a list, or one text with commas."""
        variable = self._found((name,))
        if variable is None:
            return ()
        if not isinstance(variable.node, ListNode):
            value = self.text((name,)) or ""
            return tuple(word for each in value.split(",") if (word := each.strip()))
        items = [each.value for each in variable.node.items if isinstance(each, ScalarNode) and not each.doubt]
        words = tuple(each for each in items if isinstance(each, str))
        if len(words) != len(variable.node.items):
            self._problems.append(variable.problem("must be a list of words"))
            return ()
        if any(is_template(word) for word in words):
            self._bar(variable, " is a template, which only Ansible can fill in; write the value")
            return ()
        return words

    def address(self, names: tuple[str, ...]) -> str | None:
        """Return the address or name to connect to."""
        return self.matching(names, _ADDRESS, "an address or a name")

    def user(self, names: tuple[str, ...]) -> str | None:
        """Return the account to log in with."""
        return self.matching(names, _USER, "the name of an account")

    def port(self, names: tuple[str, ...]) -> int | None:
        """Return the port; a text of digits is one, as in Ansible."""
        found = self._one_value(names)
        if found is None:
            return None
        variable, value = found
        digits = value if isinstance(value, str) else str(value)
        if isinstance(value, bool) or not re.fullmatch(r"[1-9][0-9]{0,4}", digits) or int(digits) > 65_535:
            self._problems.append(variable.problem("must be a port from 1 to 65535"))
            return None
        return int(digits)

    def password(self, names: tuple[str, ...]) -> str | None:
        """Return the reference to the password; anything else bars the host, and is not kept."""
        variable = self._found(names)
        if variable is None:
            return None
        node = variable.node
        if not isinstance(node, ScalarNode):
            what = node.what if isinstance(node, OpaqueNode) else "this form"
            self._bar(variable, f": {what} is not read by remedy; {REFERENCE_CURE}")
            return None
        text = node.value if isinstance(node.value, str) and not node.doubt else ""
        if is_reference(text):
            return text
        if is_template(text):
            self._bar(variable, f" is a template; {REFERENCE_CURE}")
            return None
        self._bar_literal(variable, str(node.value))
        return None

    def _bar_literal(self, variable: Variable, text: str) -> None:
        """Bar the host for a password, or what was meant as a reference to one, and warn about it; never show it."""
        warning, reason = _LITERAL, "a literal password is never used"
        if fault := nearly_reference(text):
            warning = reason = f"is nearly a reference, and none: {fault}"
        self.warn(variable.name, warning, REFERENCE_CURE)
        self.barred.append(f"{variable.name}: {reason}; {REFERENCE_CURE}")

    def path(self, name: str) -> str | None:
        """Return the path of a file of this machine; one that depends on the current folder bars the host."""
        value = self.text((name,))
        if value is None or _PATH.fullmatch(value):
            return value
        # It is not shown: somebody may have put a secret here.
        self.barred.append(f"{name} is no absolute path of a file; write /PATH or ~/PATH")
        return None

    def file(self, names: tuple[str, ...]) -> str | None:
        """Return the name of a file, whose meaning is up to ssh; what can be none bars the host."""
        value = self.text(names)
        if value is None or (_FILE.fullmatch(value) and PRIVATE_KEY not in value):
            return value
        variable = self._found(names)
        # It is not shown, as in `path`.
        self.barred.append(f"{variable.name if variable else names[0]} is no path of a file; write /PATH or ~/PATH")
        return None

    def bar(self, name: str, reason: str) -> None:
        """Bar the host for a variable that is set; the reason is followed by where it stands."""
        self._bar(self._variables[name], reason)

    def bar_others(
        self,
        says_how: Callable[[str], bool],
        *,
        harmless: Mapping[str, frozenset[str]],
        cure: Callable[[str], str],
        meant: Callable[[str], str] = lambda _name: "",
    ) -> None:
        """
        Bar the host for every variable that says how to reach it and is not followed; values may be harmless.

        `meant` returns the name that a mistyped one was meant as, or ''.
        """
        for name in sorted(self._variables):
            if not says_how(name) or _is_unset(self._variables[name]):
                continue
            if near := meant(name):
                self._bar(self._variables[name], f" is not known; did you mean {near}?")
                continue
            value = _scalar(self._variables[name])
            if value is None or is_template(str(value)):
                self._bar(self._variables[name], f" is not supported; {cure(name)}")
            elif str(value) not in harmless.get(name, ()):
                self.barred.append(f"{name} is not supported; {cure(name)}")

    def _bar(self, variable: Variable, reason: str) -> None:
        """Bar the host for a variable that only Ansible could make out; the reason names where it stands."""
        self.barred.append(f"{variable.name}{reason} ({variable.place})")

    def _found(self, names: tuple[str, ...]) -> Variable | None:
        """Return the variable by its first name, or by an older one; two that differ bar the host."""
        present = [self._variables[name] for name in names if not _is_unset(self._variables.get(name))]
        if not present:
            return None
        first = present[0]
        for other in present[1:]:
            if _scalar(other) != _scalar(first) or _scalar(first) is None:
                self.barred.append(f"{first.name} and {other.name} differ; keep one of them")
        return first

    def _one_value(self, names: tuple[str, ...]) -> tuple[Variable, str | float | bool] | None:
        variable = self._found(names)
        if variable is None:
            return None
        node = variable.node
        if not isinstance(node, ScalarNode):
            self._no_value(variable, node)
            return None
        if PRIVATE_KEY in str(node.value):
            self.warn(variable.name, _LITERAL, "keep the key in a file, and name that")
        if isinstance(node.value, str) and is_template(node.value):
            self._bar(variable, " is a template, which only Ansible can fill in; write the value")
            return None
        if node.doubt:
            self._problems.append(variable.problem(node.doubt, doubt_cure(node.doubt)))
            return None
        return None if node.value is None else (variable, node.value)

    def _no_value(self, variable: Variable, node: Node) -> None:
        if isinstance(node, OpaqueNode):
            self._bar(variable, f": {node.what} is not read by remedy; write the value")
        elif isinstance(node, MappingNode) and any(key.startswith("__ansible_") for key in node.entries):
            self._bar(variable, " is encrypted or marked by Ansible; write the value")
        else:
            self._problems.append(variable.problem("must be one value, not a list or a mapping"))


def _is_unset(variable: Variable | None) -> bool:
    if variable is None:
        return True
    return isinstance(variable.node, ScalarNode) and variable.node.value in {None, ""} and not variable.node.doubt


def _scalar(variable: Variable) -> ScalarValue:
    return variable.node.value if isinstance(variable.node, ScalarNode) else None
