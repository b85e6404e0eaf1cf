"""A shell script as its tree says it: the calls, what is set, what stands where."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from remedy.lint.calls import HOLE, Call, Word, base_name, unwrapped
from remedy.lint.trees import Node

__all__ = [
    "ShellScript",
    "assigned_name",
    "in_function",
    "in_substitution",
    "is_condition",
    "operator_of",
    "reads_input",
    "shell_script",
    "variable_names",
    "word_of",
]

_EXPANSIONS = {
    "simple_expansion",
    "expansion",
    "command_substitution",
    "process_substitution",
    "arithmetic_expansion",
    "brace_expression",
}
_WITH_REDIRECTIONS = {"command", "redirected_statement", "function_definition"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellScript:
    """
    What the checks of shell scripts look at.

    `calls` has every call, those behind sudo and the like as well; `functions` are the
    names that the script defines. `nodes` are all nodes, by kind.
    """

    root: Node
    is_bash: bool
    shebang: str
    nodes: dict[str, list[Node]]
    calls: tuple[Call, ...]
    functions: frozenset[str]

    def of(self, *kinds: str) -> Iterator[Node]:
        """Yield the nodes of some kinds."""
        for kind in kinds:
            yield from self.nodes.get(kind, ())

    def sets(self, short: str, long: str) -> bool:
        """Say whether an option of the shell is set, by `set -e`, `set -o errexit` or the shebang."""
        shebang = self.shebang.split()[1:]
        if any(word.startswith("-") and short in word[1:] for word in shebang if short) or long in shebang:
            return True
        for call in self.calls:
            if call.name not in ("set", "shopt"):
                continue
            for word in call.texts:
                is_short = short and call.name == "set" and word.startswith("-") and not word.startswith("--")
                if word == long or (is_short and short in word[1:]):
                    return True
        return False


def shell_script(root: Node, *, is_bash: bool, first_line: str) -> ShellScript:
    """Return a script's tree with what the checks ask of it."""
    nodes: dict[str, list[Node]] = {}
    for node in root.walk():
        nodes.setdefault(node.kind, []).append(node)
    calls = [inner for node in nodes.get("command", []) for inner in unwrapped(_call(node))]
    names = [node.child("name") for node in nodes.get("function_definition", [])]
    return ShellScript(
        root=root,
        is_bash=is_bash,
        shebang=first_line if first_line.startswith("#!") else "",
        nodes=nodes,
        calls=tuple(calls),
        functions=frozenset(name.text for name in names if name is not None),
    )


def _call(node: Node) -> Call:
    name = node.child("name")
    words = [word_of(each) for each in node.children if each.field == "argument"]
    # The grammar takes what stands behind `>&2` into the redirection.
    for redirect in node.children:
        if redirect.kind == "file_redirect":
            words.extend(word_of(each) for each in _extra_words(redirect))
    outer = node.parent
    if outer is not None and outer.kind == "redirected_statement" and outer.child("body") is node:
        for redirect in outer.children:
            if redirect.kind == "file_redirect":
                words.extend(word_of(each) for each in _extra_words(redirect))
    text = word_of(name).text if name is not None else ""
    return Call(name=base_name(text), words=tuple(words), node=node)


def _extra_words(redirect: Node) -> Sequence[Node]:
    destinations = [each for each in redirect.children if each.field == "destination"]
    return destinations[1:]


def word_of(node: Node) -> Word:
    """Return a word without its quotes."""
    return Word(text=_literal(node), node=node)


def _literal(node: Node) -> str:
    if node.kind in _EXPANSIONS:
        return HOLE
    if node.kind == "raw_string":
        return node.text[1:-1]
    if node.kind == "ansi_c_string":
        return node.text[2:-1]
    if node.kind in ("string", "translated_string"):
        return _inside(node)
    if node.kind in ("concatenation", "command_name"):
        return "".join(_literal(child) for child in node.children)
    if any(child.kind in _EXPANSIONS for child in node.children):
        return HOLE
    return node.text.replace("\\\n", "").replace("\\", "")


def _inside(node: Node) -> str:
    """Return a string's text; the grammar leaves blanks between expansions to nobody."""
    parts = []
    raw = node.source[node.start : node.end]
    at = node.start + (2 if raw.startswith(b'$"') else 1)
    end = node.end - 1 if raw.endswith(b'"') and node.end - 1 >= at else node.end
    for child in node.children:
        if child.kind in _EXPANSIONS and child.start >= at:
            parts.append(_slice(node, at, child.start))
            parts.append(HOLE)
            at = child.end
    parts.append(_slice(node, at, end))
    return "".join(parts)


def _slice(node: Node, start: int, end: int) -> str:
    raw = node.source[start : max(start, end)].decode("utf-8", errors="replace")
    return raw.replace('\\"', '"').replace("\\$", "$").replace("\\\\", "\\")


def operator_of(node: Node) -> str:
    """Return the operator of a `list`: `&&` or `||`."""
    return next((child.kind for child in node.children if child.kind in ("&&", "||")), "")


def assigned_name(node: Node) -> str:
    """Return the name that a `variable_assignment` sets."""
    name = node.child("name")
    return name.text if name is not None else ""


def variable_names(node: Node) -> set[str]:
    """Return the variables that are read in a node."""
    return {
        each.text
        for each in node.walk()
        if each.kind in ("variable_name", "special_variable_name")
        and each.parent is not None
        and each.parent.kind in ("simple_expansion", "expansion", "subscript", "binary_expression", "unary_expression")
    }


def in_function(node: Node) -> bool:
    """Say whether a node stands in a function."""
    return any(outer.kind == "function_definition" for outer in node.ancestors())


def in_substitution(node: Node) -> bool:
    """Say whether what a node prints is taken by the script itself."""
    return any(outer.kind in ("command_substitution", "process_substitution") for outer in node.ancestors())


def reads_input(node: Node) -> bool:
    """Say whether a node has an input of its own: a pipe, a file, a here-document, or a function's caller's."""
    inner = node
    for outer in (node, *node.ancestors()):
        if outer.kind == "function_definition":
            return True
        if outer.kind == "pipeline" and inner is not outer and outer.named and outer.named[0] is not inner:
            return True
        if outer.kind in _WITH_REDIRECTIONS and any(_gives_input(child) for child in outer.children):
            return True
        inner = outer
    return False


def _gives_input(node: Node) -> bool:
    if node.kind in ("heredoc_redirect", "herestring_redirect"):
        return True
    return node.kind == "file_redirect" and any(child.kind in ("<", "<&", "<>") for child in node.children)


def is_condition(node: Node) -> bool:
    """Say whether a node's status decides something: the condition of an if or loop, the left of `&&` or `||`."""
    outer = node.parent
    if outer is None:
        return False
    if outer.kind in ("negated_command", "redirected_statement"):
        return is_condition(outer)
    if outer.kind == "list":
        return outer.named[0] is node or is_condition(outer)
    return node.field == "condition" and outer.kind in ("if_statement", "elif_clause", "while_statement")
