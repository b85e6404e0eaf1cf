"""A PowerShell script as its tree says it: the calls, and what stands where."""

from collections.abc import Iterator
from dataclasses import dataclass

from remedy.lint.calls import HOLE, Call, Word, base_name
from remedy.lint.trees import Node

__all__ = ["HOLES", "PowerShellScript", "abbreviates", "folded", "is_silent", "powershell_script", "variable_base"]

_ALIASES = {
    "rm": "remove-item",
    "ri": "remove-item",
    "rd": "remove-item",
    "rmdir": "remove-item",
    "del": "remove-item",
    "erase": "remove-item",
    "iex": "invoke-expression",
    "iwr": "invoke-webrequest",
    "wget": "invoke-webrequest",
    "curl": "invoke-webrequest",
    "irm": "invoke-restmethod",
    "start": "start-process",
    "saps": "start-process",
    "echo": "write-output",
    "write": "write-output",
    "spsv": "stop-service",
    "gwmi": "get-wmiobject",
    "gcim": "get-ciminstance",
    "icim": "invoke-cimmethod",
    "ogv": "out-gridview",
}
HOLES = {"variable", "sub_expression", "parenthesized_expression", "array_expression", "script_block_expression"}
HOLES |= {
    "member_access",
    "invocation_expression",
    "invokation_expression",
    "element_access",
    "hash_literal_expression",
}
_WAITS = {"-filepath", "-argumentlist", "-args"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerShellScript:
    """What the checks of PowerShell scripts look at; `functions` are the names, in lower case, that it defines."""

    root: Node
    nodes: dict[str, list[Node]]
    calls: tuple[Call, ...]
    functions: frozenset[str]

    def of(self, *kinds: str) -> Iterator[Node]:
        """Yield the nodes of some kinds."""
        for kind in kinds:
            yield from self.nodes.get(kind, ())


def powershell_script(root: Node) -> PowerShellScript:
    """Return a script's tree with what the checks ask of it."""
    nodes: dict[str, list[Node]] = {}
    for node in root.walk():
        nodes.setdefault(node.kind, []).append(node)
    calls = [call for node in nodes.get("command", []) for call in _calls(node)]
    functions = frozenset(folded(node) for node in nodes.get("function_name", []))
    return PowerShellScript(root=root, nodes=nodes, calls=tuple(calls), functions=functions)


def folded(node: Node) -> str:
    """Return a node's text in lower case, for PowerShell's names have no case."""
    return node.text.casefold()


def _calls(node: Node) -> Iterator[Call]:
    words: list[Word] = []
    is_joined = False
    for child in node.children:
        for each in child.children if child.kind == "command_elements" else ():
            if each.kind == "command_argument_sep":
                is_joined = each.text.strip() == ":"
            elif each.is_named and each.kind not in ("redirection", "redirections", "comment"):
                if is_joined and words:  # -Confirm:$false
                    words[-1] = Word(text=f"{words[-1].text.rstrip(':')}:{each.text}", node=words[-1].node)
                else:
                    words.append(Word(text=_literal(each), node=each))
                is_joined = False
    name = next((each for each in node.children if each.kind in ("command_name", "command_name_expr")), None)
    text = "" if name is None else _name(name)
    call = Call(name=_ALIASES.get(text, text), words=tuple(words), node=node)
    yield call
    inner = _inner(call)
    if inner is not None:
        yield inner


def _name(node: Node) -> str:
    name = base_name(_literal(node).strip("'\""))
    return HOLE if HOLE in name else name


def _inner(call: Call) -> Call | None:
    """Return what `Start-Process` and `cmd /c` start, as far as it stands there."""
    if call.name == "start-process":
        plain = [word for word in call.words if word.text.casefold() not in _WAITS]
        plain = [word for word in plain if not word.text.startswith("-")] or plain
        return _split(plain, call.node)
    if call.name in ("cmd", "powershell", "pwsh"):
        for index, word in enumerate(call.words):
            if word.text.casefold() in ("/c", "/k", "-c", "-command"):
                return _split(list(call.words[index + 1 :]), call.node)
    return None


def _split(words: list[Word], node: Node) -> Call | None:
    parts = [Word(text=text, node=word.node) for word in words for text in word.text.replace(",", " ").split()]
    parts = [Word(text=each.text.strip("'\"@()"), node=each.node) for each in parts]
    if not parts:
        return None
    name = base_name(parts[0].text)
    return Call(name=_ALIASES.get(name, name), words=tuple(parts[1:]), node=node)


def _literal(node: Node) -> str:
    """Return a word without its quotes; HOLE for each part that only the run knows."""
    parts: list[str] = []
    at = node.start
    for each in _outermost_holes(node):
        parts.extend((node.source[at : each.start].decode("utf-8", errors="replace"), HOLE))
        at = each.end
    parts.append(node.source[at : node.end].decode("utf-8", errors="replace"))
    text = "".join(parts)
    for quote in ('"', "'"):
        if len(text) > 1 and text.startswith(quote) and text.endswith(quote):
            return text[1:-1].replace("`", "")
    return text


def _outermost_holes(node: Node) -> list[Node]:
    found: list[Node] = []
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if each.kind in HOLES:
            found.append(each)
        else:
            waiting.extend(reversed(each.children))
    return found


def abbreviates(text: str, parameter: str, *, least: int = 2) -> bool:
    """Say whether a word is a parameter, maybe cut short or with its value: `-Rec` is `-recurse`."""
    name = text.casefold().partition(":")[0]
    return len(name) >= least and parameter.startswith(name)


def is_silent(call: Call) -> bool:
    """Say whether a call's own errors are silenced."""
    texts = [text.casefold() for text in call.texts]
    for index, text in enumerate(texts[:-1]):
        if text in ("-ea", "-erroraction") and texts[index + 1] in ("silentlycontinue", "ignore", "0"):
            return True
    return False


def variable_base(text: str) -> str:
    """Return a variable's name in lower case: `${Dir}` and `$Dir` are `dir`, with `env:` and scopes kept."""
    return text.lstrip("$@").strip("{}").casefold()
