"""Calls of programs, whatever the language: the name, the words behind it, and where it stands."""

from collections.abc import Iterable
from dataclasses import dataclass

from remedy.lint.trees import Node

__all__ = ["HOLE", "Call", "Word", "base_name", "unwrapped"]

HOLE = "\0"
"""Stands in a word's text for what only the run knows: a variable, the output of a command."""

_DEPTH_MAX = 4

# What runs another program, with those of its options that take a value.
_WRAPPERS = {
    "sudo": "ugpChrtUDRT",
    "doas": "uC",
    "env": "uCS",
    "nohup": "",
    "setsid": "",
    "nice": "n",
    "ionice": "cnpP",
    "chrt": "TPD",
    "taskset": "",
    "timeout": "ks",
    "time": "fo",
    "command": "",
    "builtin": "",
    "exec": "a",
    "stdbuf": "",
    "chroot": "",
    "unshare": "",
    "xargs": "ILnPdEsa",
    "busybox": "",
}
_LEADING_OPERANDS = {"timeout": 1, "chroot": 1, "taskset": 1, "chrt": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word of a call without its quotes; HOLE where the run fills something in."""

    text: str
    node: Node

    @property
    def is_literal(self) -> bool:
        """Whether it is always the same."""
        return HOLE not in self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """
    A call: `name` in lower case without folder and .exe, HOLE or '' where nobody knows it.

    `via` are the wrappers in front of it (sudo, timeout), outermost first.
    """

    name: str
    words: tuple[Word, ...]
    node: Node
    via: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The words' texts."""
        return tuple(word.text for word in self.words)

    @property
    def operands(self) -> tuple[str, ...]:
        """The words that are no options."""
        return tuple(text for text in self.texts if not text.startswith("-"))

    @property
    def is_known(self) -> bool:
        """Whether all of its words are always the same."""
        return all(word.is_literal for word in self.words)

    def has(self, *options: str) -> bool:
        """Say whether one of the options is given: `-y` also within `-qy`, `--yes` also as `--yes=…`."""
        for text in self.texts:
            for option in options:
                if option.startswith("--") or len(option) > 2:
                    if text == option or text.startswith(option + "="):
                        return True
                elif text.startswith("-") and not text.startswith("--") and option[1] in text[1:]:
                    return True
        return False


def base_name(text: str) -> str:
    """Return a program's name as we compare it."""
    name = text.replace("\\", "/").rpartition("/")[2].casefold()
    return name.removesuffix(".exe").removesuffix(".com")


def unwrapped(call: Call) -> Iterable[Call]:
    """Yield a call, and what it calls in turn when it is sudo, timeout, env and the like."""
    for _ in range(_DEPTH_MAX):
        yield call
        inner = _inner(call)
        if inner is None:
            return
        call = inner


def _inner(call: Call) -> Call | None:
    with_value = _WRAPPERS.get(call.name)
    if with_value is None:
        return None
    words = list(call.words)
    operands = _LEADING_OPERANDS.get(call.name, 0)
    while words:
        text = words[0].text
        if text == "--":
            words.pop(0)
        elif text.startswith("-") and len(text) > 1:
            words.pop(0)
            if call.name == "command" and text in ("-v", "-V"):
                return None
            takes_value = not text.startswith("--") and text[-1] in with_value
            if takes_value and words:
                words.pop(0)
        elif call.name in ("env", "sudo") and "=" in text and not text.startswith("="):
            words.pop(0)
        elif operands:
            operands -= 1
            words.pop(0)
        else:
            break
    if not words:
        return None
    return Call(name=base_name(words[0].text), words=tuple(words[1:]), node=call.node, via=(*call.via, call.name))
