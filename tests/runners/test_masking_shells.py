"""What the shells of this machine make of a value when they print it is masked, whatever characters it has."""

import os
import re
import shutil
import subprocess

import pytest

from remedy.secrets import Secret
from remedy_runners.masking import Mask

_VALUES = (
    r"CORP\backup:hunter2xyz",
    r"\alpha\beta\fox\nox\rex\tax\vex",
    r"tail\\host\share\\end",
    r"octal\0101\101\1\08\0777x\377y\12345",
    r"octal\0\\0a\7end-of-it",
    r"hex\x41\x4a4\xzz-end\u0041bc\u00e9-\u",
    r"escape\e[31mred\E[0m",
    r"quotes\"a\'b\/c\?d\qe\&f",
    r"prefix-of-it\cut-is-here",
    r"prefix-of-it\\cut\\not",
    "back at the end\\",
    r"\\\\servers\\share$",
    "ab,cd$ef,gh12",
    "a~b=~c:~d#e~/f#g",
    "~home#at#start",
    "p%q%%r%41s100%",
    "tab\tin it",
    "two  blanks   in it",
    "star*and?[mark]{a,b}!h^x",
    "tök'n-\"9f$A/b&<c>+d=e%20`x\\y",
    "'quoted'\"twice\"'\\''",
    "-----BEGIN KEY-----\nMIIE\\bwIBAAKCAQEA\nq8Zr5b0f\\nxQ==aaa\n-----END KEY-----",
    "(paren);semi|pipe&amp<less>more",
    "plain-token-0123456789",
)
_OTHER_WORDS = {b"export", b"declare", b"typeset", b"PATH"}
_SHELLS = ("dash", "bash", "busybox sh", "zsh", "ksh", "mksh")
_WAYS = {
    "echo": 'echo "$V"',
    "echo -e": 'echo -e "$V"',
    "echo of words": "echo x $V",
    "printf %s": "printf '%s\\n' \"$V\"",
    "printf %b": "printf '%b\\n' \"$V\"",
    "set -x": 'exec 2>&1; set -x; : "$V"',
    "export -p": "unset NAMES PATH HOME OLDPWD PWD SHLVL LC_ALL LOGNAME; export -p",
    "read": 'printf "%s\\n" "$V" | while IFS= read line; do printf "%s\\n" "$line"; done',
    "awk -v": "awk -v v=\"$V\" 'BEGIN { print v }'",
    "here document": "cat <<END\n$V\nEND",
}  # fmt: skip
_WAYS_OF = {
    "bash": {
        "printf %q": "printf '%q\\n' \"$V\"",
        "@Q": 'echo "${V@Q}"',
        "declare -p": "declare -p V",
        "xpg_echo": 'shopt -s xpg_echo; echo "$V"',
    },
    "zsh": {"(qq)": 'print -r -- "${(qq)V}"'},
}


def _printed(shell: str, way: str) -> list[bytes]:
    """Return what one shell prints of each value in one way."""
    environment = {f"V{number}": value for number, value in enumerate(_VALUES)}
    way = way.replace("NAMES", " ".join(environment))
    marked = "".join(f"(V=${name}; export V; {way}\n); printf '=====\\n'\n" for name in environment)
    done = subprocess.run(
        [*shell.split(), "-c", marked],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return done.stdout.split(b"=====\n")[:-1]


_MASKS = {value: Mask().hiding("secret", Secret(value)) for value in _VALUES}


def _masked(value: str, raw: bytes) -> bytes:
    stream = _MASKS[value].stream()
    return stream.feed(raw) + stream.rest()


@pytest.mark.parametrize("shell", [each for each in _SHELLS if shutil.which(each.split()[0])])
def test_value_that_a_shell_prints_is_masked(shell: str) -> None:
    """`echo` of dash, `printf %b`, `awk -v`, `read` without -r, and all that a shell quotes leave no word of it."""
    ways = {**_WAYS, **_WAYS_OF.get(shell, {})}
    left = {
        (name, value, raw, masked)
        for name, way in ways.items()
        for value, raw in zip(_VALUES, _printed(shell, way), strict=True)
        for masked in [_masked(value, raw)]
        if set(re.findall(rb"[0-9A-Za-z]{4,}", masked)) - _OTHER_WORDS
    }

    assert left == set()
